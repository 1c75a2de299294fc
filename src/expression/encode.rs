//! Writes values into the place they land in, so that they cannot change its shape.

use crate::exchange::authority::host_address;
use crate::exchange::target::percent_decode;

/// Appends bytes with everything but the unreserved ones percent-encoded (RFC 3986 section 2.3).
pub fn encode(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Appends a piece of a normalised path as a single value: decoded once, then encoded, so escapes stay what they are.
pub(super) fn recode(raw: &str, out: &mut String) {
    encode(&percent_decode(raw), out);
}

/// Appends a piece of a normalised path as a path: slashes and escapes stay. `first`: the path begins with it, and
/// so at least with a slash.
pub(super) fn join_path(raw: &str, first: bool, out: &mut String) {
    if first {
        out.push('/');
    }
    let raw = match out.ends_with('/') {
        true => raw.strip_prefix('/').unwrap_or(raw),
        false => raw,
    };
    out.push_str(raw);
}

/// Whether the text can be a part of a host and nothing more: letters, digits, `-`, `.`, `_`, or an address in
/// brackets.
pub(super) fn is_host(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.starts_with('[') {
        return host_address(text).is_some();
    }
    !text.is_empty() && text.bytes().all(name)
}

/// Whether the segment around `at` has become empty or a dot segment; its `;parameters` aside.
pub(super) fn is_broken_segment(target: &str, at: usize) -> bool {
    let start = target[..at].rfind('/').map_or(0, |slash| slash + 1);
    let end = target[at..].find(['/', '?', '#']).map_or(target.len(), |length| at + length);
    let segment = &target[start..end];
    matches!(segment.split(';').next(), None | Some("" | "." | ".."))
}

/// Where in a URL or a path a hole of a template is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spot {
    Scheme,
    Host,
    /// The beginning of the path, for a value that is a path itself.
    Root,
    Path,
    /// The query or the fragment.
    Query,
}

/// Stands for a hole while spots are looked for; no literal may hold it.
pub(super) const HOLE: char = '\u{0}';

/// As [`HOLE`], for a value that is a path itself.
pub(super) const PATH_HOLE: char = '\u{1}';

/// Whether a template begins with a scheme or `//`, and the spot of each hole in it.
pub(super) fn spots(skeleton: &str) -> (bool, Vec<Spot>) {
    let colon = skeleton.find("://").filter(|at| !skeleton[..*at].contains(['/', '?', '#']));
    let host = colon.map(|at| at + 3).or(skeleton.starts_with("//").then_some(2));
    let end = |host: usize| {
        let end = skeleton[host..].find(['/', '?', '#', PATH_HOLE]);
        end.map_or(skeleton.len(), |at| host + at)
    };
    let path = host.map_or(0, end);
    let query = skeleton[path..].find(['?', '#']).map_or(skeleton.len(), |at| path + at);
    let spots = skeleton.match_indices([HOLE, PATH_HOLE]).map(|(at, hole)| match at {
        _ if at >= query => Spot::Query,
        // A path right after the slashes would be read as the host.
        _ if at == path && Some(at) != host && hole.starts_with(PATH_HOLE) => Spot::Root,
        _ if at >= path && Some(at) != host => Spot::Path,
        _ if colon.is_some_and(|colon| at < colon) => Spot::Scheme,
        _ => Spot::Host,
    });
    (host.is_some(), spots.collect())
}
