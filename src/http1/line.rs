//! The lines of a head or trailer section: where they end, and the first line of a head.

use std::ops::Range;

use http::{Method, StatusCode, Version};
use memchr::{memchr, memchr_iter, memchr2};

use super::HeadError;

/// The longest method; the registry's longest has 17 bytes.
pub const METHOD: usize = 32;

/// The length of every version.
const VERSION: usize = 8;

/// How a record of TLS begins that holds an alert, in every version (RFC 8446 section 5.1).
const ALERT: &[u8] = &[21, 3];

/// Looks for the blank line that ends a section, and says how long the section is with it. `None` where it has not come
/// yet.
///
/// # Errors
/// A line that ends without CR, or more lines than `max`, as soon as that line's end is there.
pub(super) fn section(bytes: &[u8], max: usize) -> Result<Option<usize>, HeadError> {
    let (mut start, mut lines) = (0, 0);
    for end in memchr_iter(b'\n', bytes) {
        if end == start || bytes[end - 1] != b'\r' {
            return Err(HeadError::Malformed("bare line feed"));
        }
        if end == start + 1 {
            return Ok(Some(end + 1));
        }
        lines += 1;
        if lines > max {
            return Err(HeadError::TooManyHeaders);
        }
        start = end + 1;
    }
    Ok(None)
}

/// The first line of `bytes` without its CRLF; `None` where its end has not come yet.
fn first(bytes: &[u8]) -> Result<Option<&[u8]>, HeadError> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) => Ok(Some(line)),
        None => Err(HeadError::Malformed("bare line feed")),
    }
}

/// A request line: method, where the target stands, version, and the bytes with the CRLF.
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) target: Range<usize>,
    pub(super) version: Version,
    pub(super) len: usize,
}

/// Reads a request line (RFC 9112 section 3): exactly one space between its three parts and none elsewhere.
///
/// # Errors
/// As soon as the method or the target is too long, otherwise when the line is complete.
pub(super) fn request_line(bytes: &[u8], max_target: usize) -> Result<Option<RequestLine>, HeadError> {
    const BAD: HeadError = HeadError::Malformed("bad request line");
    let near = &bytes[..bytes.len().min(METHOD + 1)];
    // A handful of bytes: a search by vectors would not pay.
    let Some(method_end) = near.iter().position(|byte| matches!(byte, b' ' | b'\n')) else {
        return if near.len() > METHOD { Err(BAD) } else { Ok(None) };
    };
    if bytes[method_end] == b'\n' {
        return Err(BAD);
    }
    let start = method_end + 1;
    let target_end = memchr2(b' ', b'\n', &bytes[start..]).map(|end| start + end);
    if target_end.unwrap_or(bytes.len()) - start > max_target {
        return Err(HeadError::TargetTooLong);
    }
    let Some(target_end) = target_end else { return Ok(None) };
    if bytes[target_end] == b'\n' {
        return Err(BAD);
    }
    let rest = &bytes[target_end + 1..];
    let near = &rest[..rest.len().min(VERSION + 2)];
    let rest = match near {
        b"HTTP/1.1\r\n" => &near[..VERSION],
        near => match first(near)? {
            Some(rest) => rest,
            None if near.len() > VERSION + 1 => return Err(HeadError::Malformed("bad version")),
            None => return Ok(None),
        },
    };
    let method = Method::from_bytes(&bytes[..method_end]).map_err(|_| HeadError::Malformed("bad method"))?;
    let target = start..target_end;
    if target.is_empty() || !bytes[target.clone()].iter().fold(true, |all, byte| all & in_target(*byte)) {
        return Err(HeadError::Malformed("bad request target"));
    }
    Ok(Some(RequestLine { method, target, version: version(rest)?, len: target_end + 1 + rest.len() + 2 }))
}

/// Visible ASCII; a fragment is never part of a target (RFC 9112 section 3.2).
const fn in_target(byte: u8) -> bool {
    // Without branches, so that many bytes are judged at once.
    (byte.wrapping_sub(b'!') < 0x7f - b'!') & (byte != b'#')
}

/// A version: a higher minor one of HTTP/1 is HTTP/1.1 to those who do not know it (RFC 9110 section 2.5).
fn version(bytes: &[u8]) -> Result<Version, HeadError> {
    match bytes {
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::HTTP_11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadError::VersionNotSupported),
        _ => Err(HeadError::Malformed("bad version")),
    }
}

/// Reads a status line (RFC 9112 section 4): its version, its status, and its bytes with the CRLF. The reason phrase
/// says nothing and may be missing together with the space before it, as some servers send it.
///
/// # Errors
/// When the line is complete.
pub(super) fn status_line(bytes: &[u8]) -> Result<Option<(Version, StatusCode, usize)>, HeadError> {
    const BAD: HeadError = HeadError::Malformed("bad status line");
    // A service that wants TLS answers with an alert, which need not have a line (RFC 8446 section 6). Before anything else,
    // so that it does not depend on how the bytes were cut.
    if bytes.starts_with(ALERT) {
        return Err(HeadError::Malformed("it answers with an alert of TLS: is its URL `https://`?"));
    }
    let Some(line) = first(bytes)? else { return Ok(None) };
    let (start, rest) = line.split_at_checked(8).ok_or(BAD)?;
    let version = version(start)?;
    let (code, reason) = rest.strip_prefix(b" ").and_then(|rest| rest.split_at_checked(3)).ok_or(BAD)?;
    let status = StatusCode::from_bytes(code).map_err(|_| BAD)?;
    let plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    match reason {
        [] => {}
        [b' ', phrase @ ..] if phrase.iter().all(plain) => {}
        _ => return Err(BAD),
    }
    Ok(Some((version, status, line.len() + 2)))
}
