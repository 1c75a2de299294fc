//! The fixed window: it starts with the first hit after the last one ended.
//!
//! With `start` the time of that hit, a request of cost `c` at `t` is admitted if and only if
//! `spent + c <= limit`, where `spent` is what was admitted in `[start, start + window)`. Over the border of two windows a
//! client may spend twice the limit in less than a window; the sliding window is there for those who mind.

use super::Verdict;
use crate::store::Limit;

/// One key's window; over where `ends` has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FixedWindow {
    /// When it ends.
    pub ends: u64,
    /// Permits spent in it.
    pub spent: u64,
}

impl FixedWindow {
    /// Takes `cost` permits, all or none.
    pub fn take(&mut self, now: u64, limit: &Limit, cost: u64) -> Verdict {
        let mut next = *self;
        // A window that a reload has shortened ends no later than a new one would.
        next.ends = next.ends.min(now + limit.window_us);
        if next.ends <= now {
            next = FixedWindow { ends: now + limit.window_us, spent: 0 };
        }
        let admitted = cost == 0 || next.spent.saturating_add(cost) <= limit.limit;
        if admitted {
            next.spent += cost;
        }
        if admitted && cost > 0 {
            *self = next;
        }
        Verdict {
            admitted,
            remaining: limit.limit.saturating_sub(next.spent),
            reset_us: if next.spent == 0 && admitted { 0 } else { next.ends - now },
        }
    }

    /// Gives back what was taken at `at`, if the window is still the same.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) {
        if self.ends > now && at.saturating_add(limit.window_us) >= self.ends && at <= now {
            self.spent = self.spent.saturating_sub(cost);
        }
    }

    /// Permits that count at `now`.
    pub fn used(&self, now: u64) -> u64 {
        if self.ends > now { self.spent } else { 0 }
    }
}
