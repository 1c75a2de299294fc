//! What the budgets of a limit in Redis count of themselves.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many decisions were taken by whom, and what Redis was asked for, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Decisions of a trip.
    pub redis: u64,
    /// Decisions from what this replica held or knew.
    pub lease: u64,
    /// Decisions of this replica's own share while Redis was away.
    pub local: u64,
    /// Requests admitted unseen while Redis was away.
    pub allow: u64,
    /// Requests without a decision.
    pub unavailable: u64,
    /// Trips sent.
    pub trips: u64,
    /// Permits given back.
    pub returned: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) redis: AtomicU64,
    pub(super) local: AtomicU64,
    pub(super) allow: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) trips: AtomicU64,
    pub(super) returned: AtomicU64,
}

impl Counts {
    /// All of them, beside the decisions from leases, which the shards count.
    pub(super) fn statistics(&self, lease: u64) -> Statistics {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Statistics {
            redis: read(&self.redis),
            lease,
            local: read(&self.local),
            allow: read(&self.allow),
            unavailable: read(&self.unavailable),
            trips: read(&self.trips),
            returned: read(&self.returned),
        }
    }
}
