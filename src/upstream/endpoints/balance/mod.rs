//! Who gets the next call: the words that a balancer and the set of endpoints share.
//!
//! A balancer sees the set through a function, reads no clock and owns no endpoint. What it remembers lies in cells
//! that a core has for itself, so that cores do not fight over a cache line for every call.

use crate::exchange::CoreId;
use crate::runtime::random::Rng;

pub(super) mod cells;
pub mod consistent_hash;
mod draw;
pub mod hash;
pub mod kinds;
pub mod least_request;
pub mod ramp;
pub mod random;
pub mod round_robin;
#[cfg(test)]
mod tests;

/// The greatest weight that counts; more than this is taken for this.
pub const MAX_WEIGHT: u32 = 1 << 20;

/// The units of one weight in [`Candidate::share`].
const UNITS: u64 = 256;

/// What a balancer knows of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its part of the calls, against the weights of the others; 0 counts as 1.
    pub weight: u32,
    /// Calls under way.
    pub active: u32,
    /// Healthy, not ejected, and not tried already for this call.
    pub usable: bool,
    /// How much of its weight counts, 0 to 1 (slow start; see [`ramp::ramp`]).
    pub ramp: f32,
    /// Of its address: the same whatever else is in the set (see [`hash::stable`]).
    pub hash: u64,
}

impl Candidate {
    /// The weight that counts now, in 1/256 of a weight; never 0.
    fn share(&self) -> u64 {
        let full = full_share(self.weight);
        if self.ramp >= 1.0 { full } else { ((full as f64 * f64::from(self.ramp)) as u64).max(1) }
    }
}

/// The share of an endpoint that is past its slow start.
fn full_share(weight: u32) -> u64 {
    u64::from(weight.clamp(1, MAX_WEIGHT)) * UNITS
}

/// Chooses the endpoint of a call.
pub trait Balancer: Send + Sync {
    /// The index of an endpoint among `of(i)` for i in 0..len, or `None` where none is usable.
    ///
    /// `key` is the hash of what calls of one kind have in common; only consistent hashing looks at it.
    fn pick(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        key: Option<u64>,
        core: CoreId,
        random: &mut Rng,
    ) -> Option<usize>;

    /// The set has changed: these are its endpoints (hash of the address, weight), in the order of their indices.
    fn rebuilt(&self, endpoints: &[(u64, u32)]);
}
