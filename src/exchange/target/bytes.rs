//! What single bytes and percent-escapes mean inside a target (RFC 3986 sections 2 and 3).

use std::borrow::Cow;

/// Decodes the escapes of a path segment or of one of its parts, once. Invalid escapes stay as they are; a
/// normalised path has none.
pub fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else { return Cow::Borrowed(bytes) };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut at = first;
    while let Some(&byte) = bytes.get(at) {
        match escape_at(bytes, at) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// What a byte means inside a target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Unreserved: never needs an escape.
    Unreserved,
    /// Allowed raw in a path, but not the same as its escape.
    Delimiter,
    /// As a delimiter; begins the parameters of a segment for some services.
    Semicolon,
    Slash,
    Percent,
    Query,
    Fragment,
    Backslash,
    Control,
    NonAscii,
    Space,
    /// Allowed by RFC 3986 in no path, but sent there unencoded by browsers (WHATWG URL, path percent-encode set): its
    /// escape is meant. In queries it stays as it is.
    Unescaped,
    /// Allowed by RFC 3986 in no path; let through in queries, where browsers send some of it.
    Forbidden,
}

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Forbidden; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = match index as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
                Class::Delimiter
            }
            b';' => Class::Semicolon,
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'?' => Class::Query,
            b'#' => Class::Fragment,
            b'\\' => Class::Backslash,
            0..=0x1F | 0x7F => Class::Control,
            0x80..=0xFF => Class::NonAscii,
            b' ' => Class::Space,
            b'[' | b']' | b'^' | b'|' => Class::Unescaped,
            _ => Class::Forbidden,
        };
        index += 1;
    }
    table
}

/// The bytes that stand for themselves wherever they are in a segment; a dot does not at its beginning.
static PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let classes = classes();
    let mut table = [false; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = matches!(classes[index], Class::Unreserved | Class::Delimiter);
        index += 1;
    }
    table
}

/// How many bytes from the start of a path are in their one form beyond doubt: no escapes, no parameters, no segment
/// that is empty or begins with a dot.
pub(super) fn plain_length(path: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let is_plain =
            PLAIN[usize::from(*byte)] || (*byte == b'/' && !matches!(path.get(at + 1), Some(b'/' | b'.')));
        if !is_plain {
            break;
        }
        at += 1;
    }
    at
}

pub(super) fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// The escape of a byte (RFC 3986 section 2.1).
pub(super) fn escaped(byte: u8) -> [u8; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// The byte that the escape at `at` stands for, if there is a whole one.
pub(super) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let &[b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}
