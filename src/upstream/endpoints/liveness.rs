//! What the responses of an endpoint say about an attempt that its caller cut short.
//!
//! A caller with a short timeout of its own learns little about the service: it may simply need longer than that. Such
//! an attempt counts as a failure of the service only if both hold:
//!
//! - no call to the endpoint has received a response's head since the attempt began, or since the last piece of its body,
//!   and
//! - the attempt waited at least as long as the slowest response of late took, counted from the last piece of a body that
//!   had begun (and then for half of the attempt's time at least), or the endpoint has left attempts without a head for as long as its `response`
//!   timeout.
//!
//! Of an endpoint that has never answered nothing is known: ten times as long as the attempt waited is enough then, if
//! that is at least a second and less than `response`.
//!
//! So impatient callers never accuse a service that answers others, and a service that hangs is accused by them too: at
//! once where it used to answer faster than they wait, else once that time has passed since the first attempt that came
//! to nothing. "Of late" is the running stretch of 30 s and the last one before it in which anything was answered:
//! a quiet service keeps what is known of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::upstream::epoch::{Epoch, nanos};

/// How long a stretch is over which the slowest response is kept, in nanoseconds.
const STRETCH: u64 = 30_000_000_000;

/// Moments are kept to the millisecond: cores that answer at once need not write each time.
const GRAIN: u64 = 1_000_000;

/// What is known of the responses of one endpoint; shared by all cores.
#[derive(Default, Debug)]
pub struct Liveness {
    epoch: Epoch,
    /// When the last head came, in nanoseconds from the epoch, and one; 0 for never.
    last: AtomicU64,
    /// Of the running stretch: its number in the upper 24 bits, its slowest response in microseconds below.
    slowest: AtomicU64,
    /// Of the stretch before, likewise.
    before: AtomicU64,
    /// When the first attempt began that was cut since the last head, and which head that was.
    unanswered: Mutex<Option<(Instant, u64)>>,
}

/// How long an endpoint that has never answered may keep silent at least.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How many bits the slowest response of a stretch has.
const TOOK: u32 = 40;

impl Liveness {
    /// A response came, `took` after its attempt began.
    #[inline]
    pub fn answered(&self, took: Duration, now: Instant) {
        let moment = self.epoch.nanos(now);
        let last = self.last.load(Ordering::Relaxed);
        if last == 0 || moment >= last + GRAIN {
            self.last.fetch_max(moment + 1, Ordering::Relaxed);
        }
        let seen = self.slowest.load(Ordering::Relaxed);
        let own = pack(moment / STRETCH, took);
        if own > seen {
            self.slower(own, seen);
        }
    }

    /// Replaces the slowest response of the running stretch; a new stretch begins with the first response in it.
    #[cold]
    fn slower(&self, own: u64, mut seen: u64) {
        while own > seen {
            if own >> TOOK != seen >> TOOK {
                // Before the stretch is replaced: at no moment is the last one unknown.
                self.before.store(seen, Ordering::Relaxed);
            }
            match self.slowest.compare_exchange_weak(seen, own, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether an attempt that began at `began`, and to which nothing came after `since`, accuses the service where its
    /// caller cuts it at `now`. A patient caller would have waited for `response`.
    #[cold]
    pub fn accuses(&self, (began, since): (Instant, Instant), response: Duration, now: Instant) -> bool {
        let seen = self.last.load(Ordering::Relaxed);
        let last = seen.checked_sub(1).and_then(|last| self.epoch.moment(last));
        if last.is_some_and(|last| last > since) {
            return false;
        }
        let first = {
            let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
            let first =
                unanswered.filter(|(_, head)| *head == seen).map_or(since, |(first, _)| first.min(since));
            *unanswered = Some((first, seen));
            first
        };
        let waited = now.saturating_duration_since(since);
        // A body may pause for longer than the heads of a quick service take: one that moved until late is not silent.
        let is_silent = waited * 2 >= now.saturating_duration_since(began);
        let silence = now.saturating_duration_since(first);
        match last {
            Some(_) => (is_silent && waited >= self.slowest()) || silence >= response,
            None => silence >= response.min(waited.saturating_mul(10).max(UNKNOWN)),
        }
    }

    /// The slowest response of the running stretch and the one before it.
    fn slowest(&self) -> Duration {
        [&self.slowest, &self.before]
            .into_iter()
            .map(|cell| Duration::from_micros(cell.load(Ordering::Relaxed) & ((1 << TOOK) - 1)))
            .max()
            .unwrap_or_default()
    }
}

fn pack(stretch: u64, took: Duration) -> u64 {
    let micros = (nanos(took) / 1_000).min((1 << TOOK) - 1);
    stretch << TOOK | micros
}

#[cfg(test)]
mod tests;
