//! `cache`: how much the store of answers may hold.

use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;

/// The bounds of the store of answers; one for the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheBounds {
    /// The most bytes of all answers together.
    pub max_size: u64,
    /// The most bytes of one answer, its head included.
    pub max_entry: u64,
}

impl CacheBounds {
    /// The most bytes of one answer, unless told otherwise: 1 MiB.
    pub const MAX_ENTRY: u64 = 1 << 20;
}

impl Default for CacheBounds {
    fn default() -> CacheBounds {
        CacheBounds { max_size: 64 << 20, max_entry: CacheBounds::MAX_ENTRY }
    }
}

const CACHE: &[Key] = &[
    Key::optional("max_size", shape::size, "Size of all answers together (default 64MiB)"),
    Key::optional("max_entry", shape::size, "Size of one answer with its head (default 1MiB)"),
];

/// The schema of `cache`.
pub(super) fn schema() -> Schema {
    shape::object(CACHE)
}

/// Reads `cache`.
pub(super) fn read(field: Field<'_>) -> Option<CacheBounds> {
    let section = Section::open(field, CACHE)?;
    let default = CacheBounds::default();
    let max_size = section.read("max_size", default.max_size, |f| f.size());
    let written = section.get("max_entry");
    let max_entry = written.and_then(|f| f.size()).unwrap_or(default.max_entry.min(max_size));
    if let Some(written) = written.filter(|_| max_entry > max_size) {
        written.error("one answer may be larger than all together", "write a larger `max_size`");
        return None;
    }
    Some(CacheBounds { max_size, max_entry })
}
