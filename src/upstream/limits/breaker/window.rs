//! How many calls the last window has seen: one set of buckets a core, written by that core alone.

use crate::runtime::sync::atomic::{AtomicU64, Ordering};

/// Buckets in a window: it moves on in tenths.
pub(super) const BUCKETS: u64 = 10;

/// A bucket is one word: its tick above, its calls in the lower bits.
const CALL_BITS: u32 = 28;
const CALLS: u64 = (1 << CALL_BITS) - 1;

/// The calls of one core. On a cache line (and its neighbour) of its own, so that cores do not slow each other.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Calls {
    /// The epoch that the buckets belong to.
    epoch: AtomicU64,
    buckets: [AtomicU64; BUCKETS as usize],
}

impl Calls {
    /// One call has ended. Only the core that owns these buckets may say so.
    pub(super) fn count(&self, epoch: u64, tick: u64) {
        if self.epoch.load(Ordering::Relaxed) != epoch {
            for bucket in &self.buckets {
                bucket.store(0, Ordering::Relaxed);
            }
            // Published last: a reader that sees the new epoch sees empty buckets too.
            self.epoch.store(epoch, Ordering::Release);
        }
        let bucket = &self.buckets[(tick % BUCKETS) as usize];
        let seen = bucket.load(Ordering::Relaxed);
        let counted = match (seen >> CALL_BITS).cmp(&tick) {
            std::cmp::Ordering::Equal if seen & CALLS < CALLS => seen + 1,
            std::cmp::Ordering::Less => tick << CALL_BITS | 1,
            _ => return,
        };
        bucket.store(counted, Ordering::Relaxed);
    }

    /// The calls of `epoch` in the window that ends with `tick`.
    pub(super) fn sum(&self, epoch: u64, tick: u64) -> u64 {
        if self.epoch.load(Ordering::Acquire) != epoch {
            return 0;
        }
        let seen = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        seen.filter(|seen| in_window(seen >> CALL_BITS, tick)).map(|seen| seen & CALLS).sum()
    }
}

/// The failures of all cores, kept behind the breaker's lock.
#[derive(Default)]
pub(super) struct Failures([(u64, u64); BUCKETS as usize]);

impl Failures {
    /// One call has failed.
    pub(super) fn count(&mut self, tick: u64) {
        let bucket = &mut self.0[(tick % BUCKETS) as usize];
        match bucket.0.cmp(&tick) {
            std::cmp::Ordering::Equal => bucket.1 += 1,
            std::cmp::Ordering::Less => *bucket = (tick, 1),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// The failures in the window that ends with `tick`.
    pub(super) fn sum(&self, tick: u64) -> u64 {
        self.0.iter().filter(|bucket| in_window(bucket.0, tick)).map(|bucket| bucket.1).sum()
    }
}

/// Cores read the clock each for itself: a bucket that is a little ahead is in the window too.
fn in_window(bucket: u64, tick: u64) -> bool {
    bucket + BUCKETS > tick
}
