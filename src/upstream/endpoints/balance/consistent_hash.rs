//! Calls with one key go to one endpoint, and few keys move when the set changes.
//!
//! Every endpoint has points on a ring, as many as its weight says; a key belongs to the next point after its own
//! place. An endpoint that goes, or is not usable, hands its keys to whoever follows each of its points: about 1/n of
//! all keys move, none of the others. A ring has at most 2^18 points; where the weights would make more, all endpoints
//! have the same fraction of theirs.
//!
//! Load is bounded: an endpoint that carries more than 1.25 times its part of the calls under way is passed over, so
//! that one hot key does not take one endpoint down; four calls are never too many. The sum of calls is exact up to 128 endpoints, and taken from 128
//! of them, evenly spaced, beyond. In its slow start an endpoint gets its keys bit by bit, and keeps each it got.
//!
//! Where the walk along the ring finds nobody in 64 steps, the whole set is asked: the key belongs to whoever draws the
//! highest number with it (rendezvous hashing, weighted), so it stays put even then. Without a key: by chance.

use std::sync::{Arc, PoisonError, RwLock};

use super::cells::Cells;
use super::draw::Draw;
use super::hash::{fraction, mix};
use super::{Balancer, Candidate, MAX_WEIGHT};
use crate::exchange::CoreId;
use crate::runtime::random::Rng;

/// Points of an endpoint for each weight.
const POINTS: u64 = 128;

/// Points of a ring.
const MAX_POINTS: u64 = 1 << 18;

/// The bits of a point that tell the endpoint; the others are its place.
const INDEX_BITS: u32 = 20;

/// Steps along the ring before the whole set is asked.
const STEPS: usize = 64;

/// How many times its part an endpoint may carry.
const BOUND: f64 = 1.25;

/// Calls under way that never are too many: on a quiet set 1.25 times a part is less than one call.
const FREE: u32 = 4;

/// Endpoints whose calls are summed.
const SAMPLE: usize = 128;

/// The balancer `consistent_hash`.
#[derive(Debug)]
pub struct ConsistentHash {
    /// One ring, held by each core's cell: a look at it writes to a cache line of that core alone.
    rings: Cells<RwLock<Arc<Ring>>>,
    draw: Draw,
}

impl Default for ConsistentHash {
    fn default() -> ConsistentHash {
        let empty = Arc::new(Ring::default());
        ConsistentHash { rings: Cells::new(|_| RwLock::new(Arc::clone(&empty))), draw: Draw::default() }
    }
}

/// The points, by place, and the hashes of the endpoints by index.
#[derive(Debug, Default)]
struct Ring {
    points: Vec<u64>,
    hashes: Vec<u64>,
}

impl Ring {
    fn new(endpoints: &[(u64, u32)]) -> Ring {
        let endpoints = &endpoints[..endpoints.len().min(1 << INDEX_BITS)];
        let weight = |weight: u32| u64::from(weight.clamp(1, MAX_WEIGHT));
        let sum: u64 = endpoints.iter().map(|endpoint| weight(endpoint.1)).sum();
        // Halves, not just what fits: a set that grows by one endpoint seldom crosses a power of two.
        let mut halvings = 0;
        while (sum * POINTS) >> halvings > MAX_POINTS {
            halvings += 1;
        }
        let count = |endpoint: &(u64, u32)| ((weight(endpoint.1) * POINTS) >> halvings).max(1);
        let mut points = Vec::with_capacity(endpoints.iter().map(|endpoint| count(endpoint) as usize).sum());
        for (index, endpoint) in endpoints.iter().enumerate() {
            let place = |number: u64| mix(mix(endpoint.0).wrapping_add(number)) >> INDEX_BITS << INDEX_BITS;
            points.extend((0..count(endpoint)).map(|number| place(number) | index as u64));
        }
        points.sort_unstable();
        Ring { points, hashes: endpoints.iter().map(|endpoint| endpoint.0).collect() }
    }

    /// The endpoints after the place of a key, each with its hash, once around.
    fn after(&self, key: u64) -> impl Iterator<Item = (usize, u64)> {
        let place = mix(key);
        let start = self.points.partition_point(|point| *point < place);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|point| {
            let index = (*point & ((1 << INDEX_BITS) - 1)) as usize;
            (index, self.hashes[index])
        })
    }
}

/// Whether an endpoint carries too much. The sum of all is taken when it is first needed.
struct Bound<'a> {
    len: usize,
    of: &'a dyn Fn(usize) -> Candidate,
    start: usize,
    each: Option<f64>,
}

impl Bound<'_> {
    fn exceeded(&mut self, candidate: &Candidate) -> bool {
        if candidate.active < FREE {
            return false;
        }
        let each = *self.each.get_or_insert_with(|| {
            let step = self.len.div_ceil(SAMPLE).max(1);
            let (mut active, mut shares) = (1, 0);
            for index in (self.start % step..self.len).step_by(step) {
                let candidate = (self.of)(index);
                if candidate.usable {
                    active += u64::from(candidate.active);
                    shares += candidate.share();
                }
            }
            active as f64 / shares.max(1) as f64
        });
        f64::from(candidate.active) >= (BOUND * each * candidate.share() as f64).ceil()
    }
}

/// Whether a key has come over to an endpoint in its slow start.
fn has_come(key: u64, candidate: &Candidate) -> bool {
    candidate.ramp >= 1.0 || fraction(!key, candidate.hash) < f64::from(candidate.ramp)
}

/// The usable endpoint that draws the highest number with a key; among those within the bound, if there is one.
fn rendezvous(key: u64, len: usize, of: &dyn Fn(usize) -> Candidate, bound: &mut Bound<'_>) -> Option<usize> {
    let mut best: Option<(bool, f64, usize)> = None;
    for index in 0..len {
        let candidate = of(index);
        if candidate.usable {
            let number = fraction(key, candidate.hash).ln() / candidate.share() as f64;
            let drawn = (!bound.exceeded(&candidate), number, index);
            if best.is_none_or(|best| (drawn.0, drawn.1) > (best.0, best.1)) {
                best = Some(drawn);
            }
        }
    }
    best.map(|(_, _, index)| index)
}

impl Balancer for ConsistentHash {
    fn pick(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        key: Option<u64>,
        core: CoreId,
        random: &mut Rng,
    ) -> Option<usize> {
        if len == 1 {
            return of(0).usable.then_some(0);
        }
        let Some(key) = key else { return self.draw.one(len, of, None, random).map(|(index, _)| index) };
        let mut bound = Bound { len, of, start: random.usize(..), each: None };
        let ring = self.rings.of(core).read().unwrap_or_else(PoisonError::into_inner);
        let mut last = usize::MAX;
        for (index, hash) in ring.after(key).take(STEPS) {
            // Two points in a row of one endpoint: it has been asked.
            if index == last || index >= len {
                continue;
            }
            last = index;
            let candidate = of(index);
            // The ring may be that of the set before for a moment; another endpoint has this index then.
            let own = candidate.hash == hash;
            if own && candidate.usable && has_come(key, &candidate) && !bound.exceeded(&candidate) {
                return Some(index);
            }
        }
        drop(ring);
        rendezvous(key, len, of, &mut bound)
    }

    fn rebuilt(&self, endpoints: &[(u64, u32)]) {
        let ring = Arc::new(Ring::new(endpoints));
        for cell in self.rings.all() {
            *cell.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        }
        self.draw.rebuilt(endpoints);
    }
}
