//! How paths are read, for a listener or a route.

use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;

/// How paths are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// `%2F` passes as it came; else it is refused.
    pub keep_encoded_slash: bool,
}

const PATH: &[Key] = &[Key::needed(
    "encoded_slash",
    || shape::choice(&["keep"]),
    "`keep` passes %2F on as it came; without it such a path is refused",
)];

/// The schema of `path`.
pub(super) fn schema() -> Schema {
    shape::object(PATH)
}

/// Reads `path`.
pub(super) fn read(field: Field<'_>) -> Option<PathRules> {
    let section = Section::open(field, PATH)?;
    let keep_encoded_slash = section.get("encoded_slash")?.choice(&[("keep", true)], &[])?;
    Some(PathRules { keep_encoded_slash })
}
