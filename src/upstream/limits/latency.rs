//! How long answers take: quantiles over the last 10 to 20 seconds.
//!
//! Each core counts its answers in a histogram of its own, one for the current stretch of ten seconds and one for the
//! stretch before; a quantile sums both over all cores. A power of two of nanoseconds is divided into sixteen buckets
//! of equal width, and a quantile lies in its bucket in proportion to the answers there, so it is off by at most 1/16
//! (6.25 %), and mostly by far less. Times below 8 microseconds count as that; times above 137 seconds count as that.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::exchange::CoreId;

use crate::upstream::epoch::{Epoch, nanos};

/// Answers that a quantile needs at least.
pub const MIN_SAMPLES: u64 = 20;

/// The length of a stretch in nanoseconds.
const STRETCH: u64 = 10_000_000_000;

/// Times count from 2^LOW to 2^HIGH nanoseconds, a power of two in 2^FINE buckets.
const LOW: u32 = 13;
const HIGH: u32 = 37;
const FINE: u32 = 4;
const BUCKETS: usize = ((HIGH - LOW) << FINE) as usize;

/// A stretch that no histogram belongs to.
const NONE: u64 = u64::MAX;

/// Answer times of an upstream, shared by all cores.
#[derive(Debug)]
pub struct Latency {
    epoch: Epoch,
    cores: Box<[Core]>,
}

/// The histograms of one core, written by that core alone: a stretch goes to the one of its parity.
#[repr(align(128))]
#[derive(Debug)]
struct Core([Histogram; 2]);

#[derive(Debug)]
struct Histogram {
    /// The stretch it counts.
    stretch: AtomicU64,
    counts: [AtomicU32; BUCKETS],
}

impl Histogram {
    fn new() -> Histogram {
        Histogram { stretch: AtomicU64::new(NONE), counts: array::from_fn(|_| AtomicU32::new(0)) }
    }

    fn count(&self, stretch: u64, bucket: usize) {
        if self.stretch.load(Ordering::Relaxed) != stretch {
            self.begin(stretch);
        }
        let count = &self.counts[bucket];
        count.store(count.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    #[cold]
    fn begin(&self, stretch: u64) {
        // Out of sight while it is cleared.
        self.stretch.store(NONE, Ordering::Release);
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
        self.stretch.store(stretch, Ordering::Release);
    }
}

impl Latency {
    /// No answers yet, for `cores` cores.
    #[must_use]
    pub fn new(cores: usize) -> Latency {
        let core = |_| Core([Histogram::new(), Histogram::new()]);
        Latency { epoch: Epoch::default(), cores: (0..cores.max(1)).map(core).collect() }
    }

    /// An answer took this long. Only the core itself may say so.
    #[inline]
    pub fn observe(&self, core: CoreId, took: Duration, now: Instant) {
        let stretch = self.epoch.nanos(now) / STRETCH;
        let Core(histograms) = self.cores.get(core.0).unwrap_or(&self.cores[0]);
        histograms[(stretch % 2) as usize].count(stretch, bucket(took));
    }

    /// The time that the share `q` (0 to 1) of the answers stays within; none under [`MIN_SAMPLES`] answers. Sums all
    /// cores, a few microseconds: not for every call (see the hedge, which keeps its answer for a while).
    pub fn quantile(&self, q: f64, now: Instant) -> Option<Duration> {
        let stretch = self.epoch.nanos(now) / STRETCH;
        let mut counts = [0_u64; BUCKETS];
        for histogram in self.cores.iter().flat_map(|core| &core.0) {
            let counted = histogram.stretch.load(Ordering::Acquire);
            // Cores read the clock each for itself: one may be a little ahead.
            if counted == NONE || counted.saturating_add(1) < stretch {
                continue;
            }
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += u64::from(count.load(Ordering::Relaxed));
            }
        }
        let all: u64 = counts.iter().sum();
        if all < MIN_SAMPLES {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * all as f64).ceil() as u64).clamp(1, all);
        let mut before = 0;
        for (bucket, &count) in counts.iter().enumerate() {
            if before + count >= rank {
                return Some(time(bucket, rank - before, count));
            }
            before += count;
        }
        None
    }
}

/// The bucket of a time.
fn bucket(took: Duration) -> usize {
    let took = nanos(took).clamp(1 << LOW, (1 << HIGH) - 1);
    let power = took.ilog2();
    let part = (took >> (power - FINE)) - (1 << FINE);
    (((power - LOW) << FINE) as usize) + part as usize
}

/// The time of the `rank`-th of `count` answers (from 1) in a bucket, as if they were spread evenly.
fn time(bucket: usize, rank: u64, count: u64) -> Duration {
    let (power, part) = (LOW + (bucket >> FINE) as u32, (bucket & ((1 << FINE) - 1)) as u64);
    let width = (1_u64 << (power - FINE)) as f64;
    let share = (rank as f64 - 0.5) / count as f64;
    Duration::from_nanos((1 << power) + ((part as f64 + share) * width) as u64)
}

#[cfg(test)]
mod tests;
