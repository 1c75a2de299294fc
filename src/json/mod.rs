//! JSON as bytes: judged, cut and put together without building a tree.
//!
//! Start with [`check`], which tells whether bytes are one JSON value (RFC 8259), and [`Selection`], which keeps, drops and
//! renames members of a value that streams by. Nothing here knows an exchange; what is kept is carried as it came.

mod members;
mod path;
mod scan;
mod select;
mod text;
mod utf8;

use std::fmt;

pub use members::{Member, Missing, Part, find, members};
pub use path::{Path, PathError, Step};
pub use scan::{MAX_DEPTH, Scanner};
pub use select::{Conflict, Rules, Selection, Selector};
pub use text::{push_quoted, same_name, unescaped};
pub use utf8::Utf8;

/// Bytes that are not exactly one JSON value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Not UTF-8.
    NotUtf8,
    /// A byte that cannot stand where it stands.
    Byte(u8),
    /// The bytes end before the value does.
    Incomplete,
    /// Containers nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Something follows the value.
    Trailing,
    /// A member's name too long to be looked up.
    LongName,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::NotUtf8 => f.write_str("not UTF-8"),
            Invalid::Byte(byte) => write!(f, "no JSON: the byte 0x{byte:02x} cannot stand there"),
            Invalid::Incomplete => f.write_str("no JSON: it ends early"),
            Invalid::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH}"),
            Invalid::Trailing => f.write_str("no JSON: something follows the value"),
            Invalid::LongName => f.write_str("JSON with a member's name that is too long"),
        }
    }
}

impl std::error::Error for Invalid {}

/// The byte order mark of UTF-8: some services send one, though RFC 8259 section 8.1 forbids it. No JSON inside JSON
/// may begin with it.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether the bytes, without a byte order mark, are exactly one JSON value with nothing but blanks around it.
///
/// # Errors
/// What is wrong with them, the first fault that was met.
pub fn check(bytes: &[u8]) -> Result<(), Invalid> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Invalid::NotUtf8);
    }
    let mut scanner = Scanner::new(0);
    match scanner.feed(bytes)? {
        Some(end) if bytes[end..].iter().all(|byte| is_blank(*byte)) => Ok(()),
        Some(_) => Err(Invalid::Trailing),
        None => scanner.finish(),
    }
}

/// Whether the byte may stand between tokens (RFC 8259 section 2).
pub const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
