//! Whether connections to an endpoint come about: one that refused is tried less, at once.
//!
//! After a failed connection the endpoint is not picked for 1 s, doubled with each further failure in a row up to 16 s,
//! as long as another can be picked; the first connection that opens ends that. It says nothing about the service's
//! responses and needs no configuration: a call that meets such an endpoint goes on to the next one anyway.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::upstream::epoch::{Epoch, nanos};

/// How long an endpoint is avoided after its first failure.
const FIRST: Duration = Duration::from_secs(1);

/// How often that is doubled at most.
const DOUBLED: u32 = 4;

/// Failed connections in a row; shared by all cores.
#[derive(Default, Debug)]
pub struct Reach {
    epoch: Epoch,
    /// Until when it is avoided, in nanoseconds from the epoch; 0 for not at all.
    until: AtomicU64,
    failures: AtomicU32,
}

impl Reach {
    /// Whether nothing speaks against a connection.
    #[inline]
    pub fn is_open(&self, now: Instant) -> bool {
        match self.until.load(Ordering::Relaxed) {
            0 => true,
            until => self.epoch.nanos(now) >= until,
        }
    }

    /// A connection was opened.
    pub fn opened(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// A connection failed. Failures of attempts that began together count once.
    #[cold]
    pub fn failed(&self, now: Instant) {
        if !self.is_open(now) {
            return;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let length = nanos(FIRST) << before.min(DOUBLED);
        self.until.store(self.epoch.nanos(now).saturating_add(length).max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_refuses_is_avoided_longer_each_time_until_it_opens() {
        let (reach, start) = (Reach::default(), Instant::now());
        assert!(reach.is_open(start));
        let mut now = start;
        for length in [1, 2, 4, 8, 16, 16] {
            reach.failed(now);
            reach.failed(now);
            let end = now + Duration::from_secs(length);
            assert!(!reach.is_open(end - Duration::from_millis(1)), "{length} s");
            assert!(reach.is_open(end), "{length} s");
            now = end;
        }
        reach.failed(now);
        reach.opened();
        assert!(reach.is_open(now));
        reach.failed(now);
        assert!(reach.is_open(now + FIRST), "it begins anew");
    }
}
