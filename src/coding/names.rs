//! The names of the codings, and what Content-Encoding says (RFC 9110 section 8.4).

use std::fmt;

use smallvec::SmallVec;

use crate::exchange::Headers;

/// A content coding that the gate can undo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// `gzip` or `x-gzip` (RFC 1952).
    Gzip,
    /// `deflate`: zlib (RFC 1950), or a bare deflate stream (RFC 1951), which some servers send under that name.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878) with windows of at most 8 MiB (RFC 9659).
    Zstd,
}

impl Coding {
    /// The coding of a name, in any case; `None` where the gate does not know it (`identity` is no coding).
    pub fn of(name: &[u8]) -> Option<Coding> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            () if is("deflate") => Some(Coding::Deflate),
            () if is("br") => Some(Coding::Brotli),
            () if is("zstd") => Some(Coding::Zstd),
            () => None,
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// A Content-Encoding that the gate cannot undo: a coding it does not know, or more than two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownCoding(String);

impl fmt::Display for UnknownCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownCoding {}

/// As many codings as one answer may have.
const CODINGS: usize = 2;
/// As much of an unknown name as is told on.
const NAME_TOLD: usize = 32;

/// What Content-Encoding says, in the order in which the codings were applied: the last one is undone first.
/// `identity` and empty members of the list are left out, so an answer that is not coded has none.
///
/// # Errors
/// A coding that the gate does not know, or more than two.
pub fn codings(headers: &Headers) -> Result<SmallVec<[Coding; 2]>, UnknownCoding> {
    let mut found = SmallVec::new();
    let members = headers.all("content-encoding").flat_map(|value| value.split(|&byte| byte == b','));
    for name in members.map(<[u8]>::trim_ascii) {
        if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        let Some(coding) = Coding::of(name) else {
            let told = String::from_utf8_lossy(&name[..name.len().min(NAME_TOLD)]);
            return Err(UnknownCoding(format!("unknown content coding \"{}\"", told.escape_debug())));
        };
        if found.len() == CODINGS {
            return Err(UnknownCoding("more than two content codings".to_owned()));
        }
        found.push(coding);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
