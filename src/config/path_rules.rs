//! How paths are read, for a listener or a route.

use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;

/// How paths are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// `%2F` passes as it came; else it is refused.
    pub keep_encoded_slash: bool,
    /// `;` is an ordinary character of its segment; else it is refused.
    pub keep_semicolon: bool,
}

const PATH: &[Key] = &[
    Key::optional(
        "encoded_slash",
        choice,
        "`keep` passes %2F on as it came; `refuse` (default) answers such a path with 400",
    ),
    Key::optional(
        "semicolon",
        choice,
        "`keep` takes `;` as any other character of a segment; `refuse` (default) answers such a path with 400",
    ),
];

fn choice() -> Schema {
    shape::choice(&["refuse", "keep"])
}

/// The schema of `path`.
pub(super) fn schema() -> Schema {
    shape::object(PATH)
}

/// Reads `path`.
pub(super) fn read(field: Field<'_>) -> Option<PathRules> {
    let section = Section::open(field, PATH)?;
    let keeps =
        |key| section.read(key, false, |field| field.choice(&[("refuse", false), ("keep", true)], &[]));
    Some(PathRules { keep_encoded_slash: keeps("encoded_slash"), keep_semicolon: keeps("semicolon") })
}
