//! What is remembered of a request until its answer comes.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::{Claim, Entry, Key, Resource};
use crate::exchange::Headers;

use super::judge::Asker;

/// A request that could not be answered from the store, whatever is there.
pub(super) struct Passed;

/// A request that the service was asked.
pub(super) struct Asked {
    /// The key before `Vary` is known.
    pub(super) primary: Key,
    /// The key that was looked under.
    pub(super) key: Key,
    /// What it names.
    pub(super) resource: Resource,
    /// When it was asked.
    pub(super) at: Instant,
    /// Its lines as they came.
    pub(super) headers: Headers,
    /// Who asked.
    pub(super) asker: Asker,
    /// Whether it is a `HEAD`, whose answer may renew what is kept but is not kept itself.
    pub(super) head: bool,
    /// Whether it lets its answer be kept.
    pub(super) keeps: bool,
    /// Why the store did not answer: a word of RFC 9211 section 2.2.
    pub(super) why: &'static str,
    /// What is there, but is not fresh.
    pub(super) stale: Option<Arc<Entry>>,
    /// Whether the service was asked if that has changed.
    pub(super) conditional: bool,
    /// The leave to fetch it anew, while others get what is stale.
    pub(super) claim: Option<Claim>,
}
