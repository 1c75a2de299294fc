//! Counters that limits share: where they live and how one decision is taken.
//!
//! Start with [`Store`]. A decision is one step: the clock is read under the lock that guards the state, because a
//! thread that was put to sleep between reading the clock and taking the lock would deny falsely.

pub mod memory;

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

/// Where "now" comes from; tests pass their own.
pub trait Clock: Send + Sync {
    /// The present moment; never goes back.
    fn now(&self) -> Instant;
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// What a key may spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Requests per window.
    pub limit: u64,
    /// Length of the window in milliseconds.
    pub window_ms: u64,
}

/// The outcome of one decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether the request may pass.
    pub admitted: bool,
    /// What is left of the limit after this decision.
    pub remaining: u64,
    /// Milliseconds until the window of this key starts anew.
    pub reset_ms: u64,
}

/// A decision that is there, or one that has to be waited for.
pub enum Taken<'a> {
    /// Decided in memory.
    Ready(Decision),
    /// Decided elsewhere. `Err` is a store that is away.
    Wait(Pin<Box<dyn Future<Output = Result<Decision, String>> + 'a>>),
}

/// Shared counters.
pub trait Store: Send + Sync {
    /// Takes one from the key's budget, if there is one left. The key is read before this returns: a store that waits
    /// keeps its own copy.
    fn take<'a>(&'a self, key: &[u8], limit: Limit, clock: &'a dyn Clock) -> Taken<'a>;
}
