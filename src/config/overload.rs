//! `overload`: when the process takes no more.

use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;

/// The bounds of the whole process; none is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Overload {
    /// Requests that are under way.
    pub max_in_flight: Option<u64>,
    /// Client connections that are open, of all listeners together.
    pub max_connections: Option<u64>,
    /// Resident memory in bytes.
    pub max_memory: Option<u64>,
}

const OVERLOAD: &[Key] = &[
    Key::optional(
        "max_connections",
        shape::integer,
        "Open client connections, of all listeners together (default: what the limit of open files leaves)",
    ),
    Key::optional(
        "max_in_flight",
        shape::integer,
        "Requests under way, of all listeners together (default: no bound)",
    ),
    Key::optional("max_memory", shape::size, "Resident memory of the process (default: no bound)"),
];

/// The schema of `overload`.
pub(super) fn schema() -> Schema {
    shape::object(OVERLOAD)
}

/// Reads `overload`.
pub(super) fn read(field: Field<'_>) -> Option<Overload> {
    let section = Section::open(field, OVERLOAD)?;
    let count = |key| section.get(key).and_then(|field| field.integer(1..=u64::from(u32::MAX)));
    Some(Overload {
        max_connections: count("max_connections"),
        max_in_flight: count("max_in_flight"),
        max_memory: section.get("max_memory").and_then(|field| field.size()),
    })
}
