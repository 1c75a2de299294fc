//! When resources were last changed, so that what was known of them before is over.
//!
//! A resource has many entries (one for each query, variant and client), under keys that nobody can list. So the moment
//! of a change is noted once, in a cell that its name leads to, and whatever was stored before it is over. Resources
//! that share a cell cost each other an answer now and then; no change is ever lost, and the memory is fixed.

use crate::runtime::hash::Seed;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Cells; a power of two. Half a mebibyte, taken with the first change.
const CELLS: usize = 1 << 16;

/// What a request names, as the cell that it leads to.
#[derive(Clone, Copy, Debug)]
pub struct Resource(usize);

pub(super) struct Invalid {
    /// The moment that cells count from.
    epoch: Instant,
    seed: Seed,
    /// Nanoseconds since the epoch, and one: 0 is never.
    cells: OnceLock<Box<[AtomicU64]>>,
}

impl Invalid {
    pub(super) fn new(epoch: Instant) -> Invalid {
        Invalid { epoch, seed: Seed::new(), cells: OnceLock::new() }
    }

    /// What bears this name.
    pub(super) fn resource(&self, name: &[&[u8]]) -> Resource {
        Resource(self.seed.hash_one(name) as usize & (CELLS - 1))
    }

    /// It was changed by now.
    pub(super) fn set(&self, resource: Resource, now: Instant) {
        let cells = self.cells.get_or_init(|| (0..CELLS).map(|_| AtomicU64::new(0)).collect());
        cells[resource.0].fetch_max(self.since(now) + 1, Ordering::Release);
    }

    /// Whether it was changed at that moment or later.
    pub(super) fn is_set(&self, resource: Resource, then: Instant) -> bool {
        self.cells.get().is_some_and(|cells| cells[resource.0].load(Ordering::Acquire) > self.since(then))
    }

    fn since(&self, then: Instant) -> u64 {
        u64::try_from(then.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX - 1)
    }
}
