//! The fixed window: it starts with the first hit after the last one ended.
//!
//! With `start` the time of that hit, a request of cost `c` at `t` is admitted if and only if
//! `spent + c <= limit`, where `spent` is what was admitted in `[start, start + window)`. Over the border of two windows a
//! client may spend twice the limit in less than a window; the sliding window is there for those who mind.
//!
//! The state holds no end, only when the hits were: at another window length the same hits are judged anew. Where all of
//! them fit into one window of the new length, that window counts. Otherwise a shortened window counts all of them
//! until a new window after the last one.

use super::Verdict;
use crate::store::Limit;

/// One key's window; there is none where nothing is spent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FixedWindow {
    /// The time of the first hit.
    pub start: u64,
    /// The time of the last hit.
    pub last: u64,
    /// Permits spent in it.
    pub spent: u64,
}

impl FixedWindow {
    /// So many permits, all spent at one moment.
    pub fn at(at: u64, spent: u64) -> FixedWindow {
        FixedWindow { start: at, last: at, spent }
    }

    /// When the window of this length starts that holds the hits. Does not depend on the present, so that a time a client
    /// was given stays true.
    fn begins(&self, window: u64) -> u64 {
        if self.last - self.start < window { self.start } else { self.last }
    }

    /// When nothing of it counts any more.
    pub fn ends(&self, window: u64) -> u64 {
        self.begins(window).saturating_add(window)
    }

    fn lives(&self, now: u64, window: u64) -> bool {
        self.spent > 0 && self.ends(window) > now
    }

    /// Takes `cost` permits, all or none.
    pub fn take(&mut self, now: u64, limit: &Limit, cost: u64) -> Verdict {
        let window = limit.window_us;
        let mut next = match self.lives(now, window) {
            true => FixedWindow { start: self.begins(window), ..*self },
            false => FixedWindow::at(now, 0),
        };
        let admitted = cost == 0 || next.spent.saturating_add(cost) <= limit.limit;
        if admitted && cost > 0 {
            next.spent += cost;
            next.last = now;
            *self = next;
        }
        Verdict {
            admitted,
            remaining: limit.limit.saturating_sub(next.spent),
            reset_us: if next.spent == 0 && admitted { 0 } else { next.start + window - now },
        }
    }

    /// Gives back what was taken at `at`; whether the window is still the same.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) -> bool {
        let same = self.lives(now, limit.window_us) && (self.start..=now).contains(&at);
        if same {
            self.spent = self.spent.saturating_sub(cost);
        }
        same
    }

    /// Permits that count at `now`.
    pub fn used(&self, now: u64, window: u64) -> u64 {
        if self.lives(now, window) { self.spent } else { 0 }
    }
}
