//! An address that takes no connections: it is left out for a second after the first failure, twice as long after
//! each one that follows, at most 30 s. One connection ends that.
//!
//! A name often leads to addresses of which some serve nobody: `localhost` has two families, and few services listen
//! on both.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::upstream::epoch::{Epoch, nanos};

/// How long it is left out at first.
const FIRST: Duration = Duration::from_secs(1);
/// How long it is left out at most.
const LONGEST: Duration = Duration::from_secs(30);

/// The failed connections of one address since the last that came about, shared by all cores.
#[derive(Default, Debug)]
pub(super) struct Refusals {
    epoch: Epoch,
    row: AtomicU32,
    /// The end of the rest in nanoseconds from the epoch; 0 for none.
    until: AtomicU64,
}

impl Refusals {
    /// A connection failed. While the address rests nothing counts: what fails then was tried before.
    pub(super) fn more(&self, now: Instant) {
        let moment = self.epoch.nanos(now);
        let until = self.until.load(Ordering::Relaxed);
        if until != 0 && moment < until {
            return;
        }
        let row = self.row.fetch_add(1, Ordering::Relaxed).min(5);
        let rest = FIRST.saturating_mul(1 << row).min(LONGEST);
        self.until.store(moment.saturating_add(nanos(rest)).max(1), Ordering::Relaxed);
    }

    /// A connection came about.
    pub(super) fn end(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// Whether it is left out.
    pub(super) fn hold(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && self.epoch.nanos(now) < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_doubles_until_a_connection_comes_about() {
        let (refusals, mut now) = (Refusals::default(), Instant::now());
        assert!(!refusals.hold(now));
        for rest in [1, 2, 4, 8, 16, 30, 30] {
            refusals.more(now);
            refusals.more(now + Duration::from_millis(10));
            assert!(refusals.hold(now + Duration::from_millis(rest * 1000 - 1)), "{rest}");
            now += Duration::from_secs(rest);
            assert!(!refusals.hold(now), "{rest}");
        }
        refusals.more(now);
        refusals.end();
        assert!(!refusals.hold(now));
        refusals.more(now);
        assert!(!refusals.hold(now + FIRST));
    }
}
