//! What the store tells of itself.

/// What a look into the store came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A fresh answer was given.
    Hit,
    /// There was nothing to give.
    Miss,
    /// An answer was given that is not fresh any more.
    Stale,
}

/// The numbers of the store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Statistics {
    /// Fresh answers that were given.
    pub hits: u64,
    /// Looks that found nothing to give.
    pub misses: u64,
    /// Answers that were given though they were not fresh.
    pub stale: u64,
    /// Answers that were stored.
    pub stores: u64,
    /// Answers that were given up for others.
    pub evictions: u64,
    /// Answers that are held.
    pub entries: u64,
    /// Bytes that they take: keys, heads and bodies.
    pub bytes: u64,
    /// The most bytes that they may take.
    pub max_bytes: u64,
}
