//! Budgets that replicas share through Redis or Valkey.
//!
//! Start with [`Remote`]: what the budgets ask of the connection. A [`Trip`] takes permits of one key in one step of a
//! script that runs on the server and reads the server's clock, so replicas whose clocks differ agree. The caller is
//! never blocked: the answer comes to a callback, and who waits for it keeps its own deadline.

mod away;
mod breaker;
pub mod budgets;
mod connect;
mod drive;
mod heartbeat;
mod key;
mod lease;
pub mod link;
mod script;
mod shard;
mod shared;
mod tally;
mod trips;
mod waiting;

use std::time::Duration;

use super::Limit;

/// What is asked of one key in one round trip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trip {
    /// The whole key in Redis.
    pub key: Box<[u8]>,
    /// What the key may spend.
    pub limit: Limit,
    /// Permits that are needed at least: fewer are none.
    pub cost: u64,
    /// Permits to take at most, no fewer than `cost`: what is over is spent later without asking.
    pub want: u64,
    /// How long the permits may be held unspent, in microseconds: they count as spent at the server's now plus this.
    /// 0 where they are spent at once.
    pub hold_us: u64,
    /// Permits that were admitted here while Redis was away: they are counted first, whatever is left.
    pub owed: u64,
}

/// What a trip brought home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Permits taken; 0 is a refusal (or a cost of 0).
    pub granted: u64,
    /// Permits that are left after it.
    pub remaining: u64,
    /// As [`super::Decision::reset_us`].
    pub reset_us: u64,
    /// How long the permits may be spent, in microseconds since the trip was sent.
    pub valid_us: u64,
    /// The moment that the server counts them at, in microseconds: giving them back needs it.
    pub at_us: u64,
}

/// Permits that nobody spent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Return {
    /// The whole key in Redis.
    pub key: Box<[u8]>,
    /// What the key may spend.
    pub limit: Limit,
    /// How many.
    pub permits: u64,
    /// [`Grant::at_us`] of the trip that took them.
    pub at_us: u64,
}

/// What runs when a trip has come to its end.
pub type Done = Box<dyn FnOnce(Result<Grant, String>) + Send>;

/// The connection as the budgets see it.
pub trait Remote: Send + Sync {
    /// Whether asking makes sense. `false`: do not wait, fall back at once.
    fn is_up(&self) -> bool;
    /// Replicas that share this Redis, as seen last; at least 1.
    fn replicas(&self) -> u64;
    /// How long a request waits for an answer.
    fn timeout(&self) -> Duration;
    /// What the keys in Redis begin with.
    fn namespace(&self) -> &str;
    /// Asks. Never blocks; `done` runs on the connection's thread, also after the time is up, and it must be quick.
    fn trip(&self, trip: Trip, done: Done);
    /// Gives back; fire and forget.
    fn give_back(&self, back: Return);
    /// Somebody gave up waiting: the breaker counts it.
    fn timed_out(&self);
}

#[cfg(test)]
mod tests;
