//! The request target, parsed and normalised once.
//!
//! The form made here is the form that routes match, policies read and upstreams get, so no two stations can
//! read one request as two different paths. What cannot be brought into one form safely is refused.

mod bytes;
mod refused;

pub use bytes::percent_decode;
use bytes::{Class, class, escape_at, escaped, plain_length};
pub use refused::TargetError;

use super::authority::{authority_length, valid};

/// A normalised request target: the path, then `?` and the query as they were sent.
///
/// The path starts with `/` (only the asterisk-form does not), holds no `//`, no dot segment and no escape of an
/// unreserved character; other escapes stand exactly as they came, and what browsers leave unencoded is encoded (`[`, `]`,
/// `^`, `|`). Normalising it again changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    text: String,
    path_end: usize,
    held: Held,
}

/// What a path holds that [`PathRules`] speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    encoded_slash: bool,
    semicolon: bool,
}

/// A target as it was read from a request line, with the authority that an absolute-form target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedTarget {
    /// The normalised target.
    pub target: Target,
    /// Host and optional port of an absolute-form target, judged and as sent; it replaces `Host` (RFC 9112 section 3.2.2).
    pub authority: Option<String>,
}

/// What a path may hold beyond the strict default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Pass `%2F` on as it came; refused otherwise.
    pub encoded_slash_keep: bool,
    /// Take `;` as an ordinary character of its segment; refused otherwise.
    pub semicolon_keep: bool,
}

impl PathRules {
    /// Keeps everything that can be kept.
    pub const KEEP: PathRules = PathRules { encoded_slash_keep: true, semicolon_keep: true };

    /// What is kept where either is in force.
    #[must_use]
    pub fn or(self, other: PathRules) -> PathRules {
        PathRules {
            encoded_slash_keep: self.encoded_slash_keep || other.encoded_slash_keep,
            semicolon_keep: self.semicolon_keep || other.semicolon_keep,
        }
    }
}

impl Target {
    /// Reads the target of a request line (RFC 9112 section 3.2): origin-form, absolute-form with `http` or
    /// `https`, or `*`. The length is judged by whoever reads the head, and that `*` comes with `OPTIONS` alone
    /// by whoever knows the method.
    ///
    /// The query is kept byte for byte, invalid escapes included: forms in the wild send `?q=100%`, and nothing
    /// here matches on it. Control bytes, non-ASCII bytes, spaces and `#` are refused there too.
    ///
    /// # Errors
    /// A [`TargetError`] for everything that has no single safe reading.
    pub fn parse(raw: &[u8], rules: PathRules) -> Result<ParsedTarget, TargetError> {
        match raw.first() {
            Some(b'/') => Ok(ParsedTarget { target: normalise(raw, rules)?, authority: None }),
            Some(b'*') if raw.len() == 1 => {
                let target = Self { text: "*".to_owned(), path_end: 1, held: Held::default() };
                Ok(ParsedTarget { target, authority: None })
            }
            _ => parse_absolute(raw, rules),
        }
    }

    /// Normalises a path with an optional query that a rewrite produced.
    ///
    /// # Errors
    /// As [`Target::parse`]; only a text that starts with `/` is a target here.
    pub fn from_rewritten(path_and_query: &str, rules: PathRules) -> Result<Self, TargetError> {
        if path_and_query.starts_with('/') {
            normalise(path_and_query.as_bytes(), rules)
        } else {
            Err(TargetError::Form)
        }
    }

    /// The normalised path.
    pub fn path(&self) -> &str {
        &self.text[..self.path_end]
    }

    /// What follows the first `?`, byte for byte; an empty query is not the same as none.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_end + 1..)
    }

    /// Path and query as they go on a request line.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is the `*` of `OPTIONS *`.
    pub fn is_asterisk(&self) -> bool {
        self.text == "*"
    }

    /// Judges the path by the rules of a route, where it was parsed by wider ones before its route was known.
    ///
    /// # Errors
    /// [`TargetError::EncodedSlash`] or [`TargetError::Semicolon`] for what the rules do not keep.
    pub fn check(&self, rules: PathRules) -> Result<(), TargetError> {
        if self.held.encoded_slash && !rules.encoded_slash_keep {
            return Err(TargetError::EncodedSlash);
        }
        if self.held.semicolon && !rules.semicolon_keep {
            return Err(TargetError::Semicolon);
        }
        Ok(())
    }
}

/// The authority that an absolute-form target names, before it is judged; `None` in every other form.
pub fn authority_of(raw: &[u8]) -> Option<&[u8]> {
    if raw.first() == Some(&b'/') {
        return None;
    }
    let rest = &raw[scheme_of(raw)?..];
    Some(&rest[..authority_length(rest)])
}

/// How long the scheme of an absolute-form target is, with what ends it.
fn scheme_of(raw: &[u8]) -> Option<usize> {
    let is =
        |scheme: &&&[u8]| raw.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    [&b"http://"[..], b"https://"].iter().find(is).map(|scheme| scheme.len())
}

fn parse_absolute(raw: &[u8], rules: PathRules) -> Result<ParsedTarget, TargetError> {
    let rest = &raw[scheme_of(raw).ok_or(TargetError::Form)?..];
    let (authority, rest) = rest.split_at(authority_length(rest));
    let authority = Some(parse_authority(authority)?);
    let target = if rest.first() == Some(&b'/') {
        normalise(rest, rules)?
    } else {
        // RFC 9110 section 4.2.3: an empty path is `/`.
        normalise(&[b"/", rest].concat(), rules)?
    };
    Ok(ParsedTarget { target, authority })
}

fn parse_authority(raw: &[u8]) -> Result<String, TargetError> {
    if raw.contains(&b'@') {
        return Err(TargetError::UserInfo);
    }
    if !valid(raw) {
        return Err(TargetError::Authority);
    }
    String::from_utf8(raw.to_vec()).map_err(|_| TargetError::Authority)
}

/// Brings `raw`, which starts with `/`, into its one form.
fn normalise(raw: &[u8], rules: PathRules) -> Result<Target, TargetError> {
    if let Some(path_end) = normal_path_end(raw) {
        check_query(&raw[path_end..])?;
        return finish(raw.to_vec(), path_end, Held::default());
    }
    let raw_end = memchr::memchr(b'?', raw).unwrap_or(raw.len());
    let (path, query) = raw.split_at(raw_end);
    check_query(query)?;
    let mut held = Held::default();
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = path;
    while let [b'/', after @ ..] = rest {
        let end = memchr::memchr(b'/', after).unwrap_or(after.len());
        let (segment, next) = after.split_at(end);
        let found = push_segment(&mut out, segment, next.is_empty(), rules)?;
        held.encoded_slash |= found.encoded_slash;
        held.semicolon |= found.semicolon;
        rest = next;
    }
    let path_end = out.len();
    out.extend_from_slice(query);
    finish(out, path_end, held)
}

fn finish(bytes: Vec<u8>, path_end: usize, held: Held) -> Result<Target, TargetError> {
    // Every byte was judged to be ASCII, so this never fails.
    let text = String::from_utf8(bytes).map_err(|_| TargetError::NonAscii)?;
    Ok(Target { text, path_end, held })
}

/// Where the path of `raw` ends, if that path is in its one form already.
///
/// One look at each byte, and a closer one at what is not plain; anything that might need a change or a refusal leaves
/// it to the long way.
fn normal_path_end(raw: &[u8]) -> Option<usize> {
    let mut at = plain_length(raw);
    // A slash is judged together with what follows it.
    if raw[..at].last() == Some(&b'/') {
        at -= 1;
    }
    while let Some(&byte) = raw.get(at) {
        match class(byte) {
            Class::Unreserved | Class::Delimiter => at += 1,
            Class::Slash => {
                let next = &raw[at + 1..];
                if matches!(next, [b'/', ..] | [b'%', b'3', b'b' | b'B', ..]) || starts_with_dot_segment(next)
                {
                    return None;
                }
                at += 1;
            }
            Class::Percent => match class(escape_at(raw, at)?) {
                Class::Unreserved | Class::Slash | Class::Backslash | Class::Control => return None,
                Class::Unescaped if raw[at + 1..at + 3].iter().any(u8::is_ascii_lowercase) => return None,
                _ => at += 3,
            },
            Class::Query => return Some(at),
            _ => return None,
        }
    }
    Some(at)
}

/// Whether `text` starts with one or two dots that no ordinary character follows.
fn starts_with_dot_segment(text: &[u8]) -> bool {
    let Some(after) = text.strip_prefix(b".") else { return false };
    let after = after.strip_prefix(b".").unwrap_or(after);
    matches!(after, [] | [b'/' | b'?' | b';' | b'%', ..])
}

fn check_query(query: &[u8]) -> Result<(), TargetError> {
    for &byte in query {
        match class(byte) {
            Class::Control => return Err(TargetError::Control),
            Class::NonAscii => return Err(TargetError::NonAscii),
            Class::Space => return Err(TargetError::Character),
            Class::Fragment => return Err(TargetError::Fragment),
            _ => {}
        }
    }
    Ok(())
}

/// Adds `/` and one segment to a normalised path, or takes the last one away for `..`. Returns what the segment holds.
fn push_segment(out: &mut Vec<u8>, raw: &[u8], last: bool, rules: PathRules) -> Result<Held, TargetError> {
    let start = out.len();
    out.push(b'/');
    let encoded_slash = decode_unreserved(out, raw)?;
    if encoded_slash && !rules.encoded_slash_keep {
        return Err(TargetError::EncodedSlash);
    }
    let segment = &out[start + 1..];
    let held = Held { encoded_slash, semicolon: segment.contains(&b';') };
    // Seen as any decoder might: an encoded `/` splits, an encoded `;` starts parameters.
    let mut parts = Parts { rest: Some(segment) };
    if parts.any(|part| matches!(name_of(part), b"." | b"..") && part.len() != segment.len()) {
        return Err(TargetError::EncodedSlash);
    }
    let climbs = match name_of(segment) {
        name if name.len() == segment.len() => match name {
            b"" | b"." => false,
            b".." => true,
            _ => return Ok(held),
        },
        b"." | b".." => return Err(TargetError::DotParameters),
        b"" if !last => return Err(TargetError::BareParameters),
        _ if held.semicolon && !rules.semicolon_keep => return Err(TargetError::Semicolon),
        _ => return Ok(held),
    };
    out.truncate(start);
    if climbs {
        let parent = memchr::memrchr(b'/', out).ok_or(TargetError::Climb)?;
        out.truncate(parent);
    }
    if last {
        out.push(b'/');
    }
    Ok(held)
}

/// Copies a segment with its unreserved characters decoded, what browsers leave unencoded encoded, and everything unsafe
/// refused.
fn decode_unreserved(out: &mut Vec<u8>, raw: &[u8]) -> Result<bool, TargetError> {
    let mut encoded_slash = false;
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        match class(byte) {
            Class::Unreserved | Class::Delimiter | Class::Semicolon => out.push(byte),
            Class::Unescaped => out.extend_from_slice(&escaped(byte)),
            Class::Percent => {
                let decoded = escape_at(raw, at - 1).ok_or(TargetError::Escape)?;
                match class(decoded) {
                    Class::Unreserved => out.push(decoded),
                    Class::Control => return Err(TargetError::Control),
                    Class::Backslash => return Err(TargetError::Backslash),
                    kept => {
                        encoded_slash |= kept == Class::Slash;
                        if kept == Class::Unescaped {
                            // Written as the character itself comes out: one path has one form.
                            out.extend_from_slice(&escaped(decoded));
                        } else {
                            out.extend_from_slice(&raw[at - 1..at + 2]);
                        }
                    }
                }
                at += 2;
            }
            Class::Fragment => return Err(TargetError::Fragment),
            Class::Backslash => return Err(TargetError::Backslash),
            Class::Control => return Err(TargetError::Control),
            Class::NonAscii => return Err(TargetError::NonAscii),
            // A slash ends the segment and a question mark the path before this is called.
            Class::Slash | Class::Query | Class::Space | Class::Forbidden => {
                return Err(TargetError::Character);
            }
        }
    }
    Ok(encoded_slash)
}

/// The segment up to its first `;`, raw or encoded.
fn name_of(segment: &[u8]) -> &[u8] {
    let end = (0..segment.len()).find(|&at| segment[at] == b';' || escape_at(segment, at) == Some(b';'));
    &segment[..end.unwrap_or(segment.len())]
}

/// The parts of a segment between its encoded slashes.
struct Parts<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match (0..rest.len()).find(|&at| escape_at(rest, at) == Some(b'/')) {
            Some(at) => {
                self.rest = Some(&rest[at + 3..]);
                Some(&rest[..at])
            }
            None => Some(rest),
        }
    }
}

#[cfg(test)]
mod tests;
