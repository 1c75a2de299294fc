//! When to send a call a second time because the first is slow: after the time that a share of the answers (p95:
//! 95 %) stays within, so that about the rest of the calls are hedged. The budget bounds how many are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::exchange::CoreId;

use super::latency::Latency;
use crate::upstream::epoch::{Epoch, nanos};

/// How long a quantile is good for, in nanoseconds.
const FRESH: u64 = 250_000_000;

/// No delay known.
const NONE: u64 = u64::MAX;

/// The delay before a hedge, learned from the answers.
#[derive(Debug)]
pub struct HedgeDelay {
    latency: Latency,
    quantile: f64,
    epoch: Epoch,
    /// When the delay is to be worked out again, in nanoseconds from the epoch.
    stale: AtomicU64,
    /// In nanoseconds.
    delay: AtomicU64,
}

impl HedgeDelay {
    /// A hedge after the quantile (0 to 1) of the answer times, for `cores` cores.
    #[must_use]
    pub fn new(quantile: f64, cores: usize) -> HedgeDelay {
        HedgeDelay {
            latency: Latency::new(cores),
            quantile,
            epoch: Epoch::default(),
            stale: AtomicU64::new(0),
            delay: AtomicU64::new(NONE),
        }
    }

    /// An answer took this long. A call that was left for its hedge's answer counts with the time it was left at.
    #[inline]
    pub fn observe(&self, core: CoreId, took: Duration, now: Instant) {
        self.latency.observe(core, took, now);
    }

    /// How long to wait for the first answer before the hedge is sent; none while too few answers are known. Worked
    /// out four times a second at most.
    #[inline]
    pub fn delay(&self, now: Instant) -> Option<Duration> {
        let moment = self.epoch.nanos(now);
        let stale = self.stale.load(Ordering::Relaxed);
        if moment >= stale {
            self.refresh(stale, moment, now);
        }
        match self.delay.load(Ordering::Relaxed) {
            NONE => None,
            delay => Some(Duration::from_nanos(delay)),
        }
    }

    /// The core that moves the moment on does the work; the others go on with the delay of before.
    #[cold]
    fn refresh(&self, stale: u64, moment: u64, now: Instant) {
        let next = moment.saturating_add(FRESH);
        if self.stale.compare_exchange(stale, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let delay = self.latency.quantile(self.quantile, now).map_or(NONE, nanos);
            self.delay.store(delay, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_follows_the_answers_four_times_a_second() {
        let (hedge, start) = (HedgeDelay::new(0.95, 1), Instant::now());
        assert_eq!(hedge.delay(start), None);
        for answer in 1..=100 {
            hedge.observe(CoreId(0), Duration::from_millis(answer), start);
        }
        assert_eq!(hedge.delay(start + Duration::from_millis(249)), None);
        let known = hedge.delay(start + Duration::from_millis(250));
        assert!(known.is_some_and(|delay| delay.abs_diff(Duration::from_millis(95)).as_millis() <= 6));
        let later = start + Duration::from_secs(60);
        assert_eq!(hedge.delay(later), None);
    }
}
