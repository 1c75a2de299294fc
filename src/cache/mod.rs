//! Answers that are kept: one store for the process, bounded in bytes, and the rules of RFC 9111 for what may be kept.
//!
//! Start with [`Cache`]; an [`Entry`] is an answer with the time it is good for, a [`Key`] is what it is found by.
//! [`control`] reads what an answer says of its keeping. This room decides nothing: who uses it (the policy `cache`,
//! sources of aggregates) asks when something is fresh, and says what becomes of it.

pub mod control;
mod draft;
mod entry;
mod invalid;
mod key;
mod numbers;
mod shard;
mod store;

pub use draft::Draft;
pub use entry::Entry;
pub use invalid::Resource;
pub use key::{Key, identity_parts, plain_host};
pub use numbers::{Outcome, Statistics};
pub use store::{Cache, Claim};
