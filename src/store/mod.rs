//! Counters that limits share: where they live and how one decision is taken.
//!
//! Start with [`Store`]: the budgets of one limit, one for each key. What counts is decided by the pure state
//! machines of `algorithm/`, which take the time as an argument; `memory/` keeps their states in this process, and
//! `redis/` keeps them where several replicas share them. A decision is one step: the clock is read under the lock
//! that guards the state, because a thread that was put to sleep between reading the clock and taking the lock would
//! deny falsely.

pub mod algorithm;
pub mod memory;
pub mod redis;
pub mod registry;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crate::runtime::clock;

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
        clock::read()
    }
}

/// How a limit counts; the formulas stand in `docs/limits.md` and in the files of `algorithm/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Algorithm {
    /// Never more than the limit in any interval as long as the window.
    #[default]
    SlidingWindow,
    /// Never more than the limit between the first hit and the end of the window that it started.
    FixedWindow,
    /// A bucket of `burst` permits that refills at `limit` permits per window (GCRA).
    TokenBucket,
}

/// What a key may spend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// How it is counted.
    pub algorithm: Algorithm,
    /// Permits per window; at most `u32::MAX`; 0 admits nothing.
    pub limit: u64,
    /// Length of the window in microseconds; at least 1000.
    pub window_us: u64,
    /// Size of the bucket of [`Algorithm::TokenBucket`], at most `u32::MAX`; the same as `limit` for the windows.
    pub burst: u64,
    /// The smallest `limit` above 0 among the tiers that share the budgets: a key is remembered for as long as what it
    /// spent would take to refill at it. Decides nothing itself.
    pub slowest: u64,
}

impl Limit {
    /// The most that can be taken at once: the bucket, or the whole window.
    pub fn capacity(&self) -> u64 {
        match self.algorithm {
            Algorithm::TokenBucket if self.limit > 0 => self.burst,
            _ => self.limit,
        }
    }
}

/// The outcome of one decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether the request may pass.
    pub admitted: bool,
    /// Permits that are left after this decision.
    pub remaining: u64,
    /// Microseconds until `remaining` grows next (a window ends, a permit comes back), 0 where nothing is spent.
    /// For a refusal: until the same cost fits.
    pub reset_us: u64,
    /// Whether waiting helps: `false` where the cost is more than the key can ever have at once.
    pub possible: bool,
    /// Who decided.
    pub source: Source,
    /// What giving these permits back needs.
    pub ticket: Ticket,
}

/// Who took a decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The counters of this process, where the limit is kept in memory.
    Memory,
    /// Redis, asked for this request.
    Redis,
    /// Permits that this replica had taken from Redis before.
    Lease,
    /// This replica's own share, because Redis is away (`when_store_fails: local`).
    Local,
    /// Nobody: Redis is away, and the limit admits then (`when_store_fails: allow`). The numbers mean nothing.
    Allow,
}

/// When permits were taken, on the clock of the store that counted them, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ticket {
    /// The moment that the store counts them at.
    pub at_us: u64,
    /// Tells the stores behind one limit apart: its own business.
    pub origin: u8,
}

/// Redis is away, and the limit refuses then (`when_store_fails: deny`): why, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unavailable(pub String);

/// A decision that is there, or one that has to be waited for.
pub enum Taken<'a> {
    /// Decided already.
    Ready(Result<Decision, Unavailable>),
    /// Decided elsewhere, within the store's own deadline.
    Wait(Pin<Box<dyn Future<Output = Result<Decision, Unavailable>> + 'a>>),
}

/// The budgets of one limit. Those that are this process's own are `memory::Memory`: several such limits are asked in
/// one step (`memory::take_all`).
pub trait Store: Any + Send + Sync {
    /// Takes `cost` permits from the key's budget, all or none. A cost of 0 is always admitted and takes nothing. The
    /// key is read before this returns: a store that waits keeps its own copy.
    fn take<'a>(&'a self, key: &[u8], limit: &Limit, cost: u64) -> Taken<'a>;

    /// Gives back what an earlier decision took and nobody shall have spent. Never more than is spent in the window
    /// that the ticket names: what has come back by itself already is not given twice. Never waits.
    fn give_back(&self, key: &[u8], limit: &Limit, cost: u64, ticket: Ticket);
}

/// What a limit wants of its store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The name its budgets are kept under, over reloads and, in Redis, over replicas.
    pub name: crate::exchange::Name,
    /// Where they live.
    pub place: Place,
    /// The most keys that this process keeps for the limit.
    pub max_keys: usize,
    /// What happens while Redis is away.
    pub when_store_fails: WhenStoreFails,
    /// How many permits a replica takes ahead.
    pub lease: Lease,
}

/// Where the budgets of a limit live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// In this process.
    #[default]
    Memory,
    /// In Redis, shared by all replicas.
    Redis,
}

/// What happens to requests while Redis is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenStoreFails {
    /// Each replica keeps to the limit divided by the replicas it saw last.
    #[default]
    Local,
    /// All are admitted.
    Allow,
    /// All are refused (503).
    Deny,
}

/// How many permits a replica may take ahead for a key that is asked often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lease {
    /// None: every request asks Redis.
    None,
    /// At most this share of the limit, in percent (1..=50), is held unspent by one replica.
    Share(u8),
}

impl Default for Lease {
    fn default() -> Lease {
        Lease::Share(5)
    }
}

/// Where a limit gets its budgets from when it is built.
pub trait Counters {
    /// The budgets of this limit: those it had before a reload, where it had some.
    fn of(&self, wanted: &Wanted) -> Arc<dyn Store>;
}
