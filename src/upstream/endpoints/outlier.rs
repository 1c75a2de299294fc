//! Outlier detection: an endpoint whose own calls keep failing is taken out of its set for a while.
//!
//! - `consecutive` failures in a row eject it, if the set lets it go (see [`most_ejected`]). If the set does not, the
//!   row goes on and its next failure asks again.
//! - The n-th ejection lasts `eject` * n, at most `eject` * 10. For every `eject` that goes by after an ejection has
//!   ended, n falls by one.
//! - While it is ejected nothing counts: what fails then was sent before. It comes back with no failure counted.
//!
//! A good call reads one word that nobody writes while all is well; so does the question whether it is ejected.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::upstream::epoch::{Epoch, nanos};

/// The longest ejection, as a multiple of the first.
const LONGEST: u64 = 10;

/// What ejects an endpoint.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OutlierSettings {
    /// Failures in a row (at least 1).
    pub consecutive: u32,
    /// How long the first ejection lasts.
    pub eject: Duration,
    /// The share of a set that may be ejected at once, 0 to 1.
    pub max_ejected: f64,
}

// The share is read from a number or a percentage and never NaN.
impl Eq for OutlierSettings {}

impl Default for OutlierSettings {
    fn default() -> OutlierSettings {
        OutlierSettings { consecutive: 5, eject: Duration::from_secs(30), max_ejected: 0.5 }
    }
}

/// How many of a set's `endpoints` may be ejected at once: `max_ejected` of them rounded down, but at least one where
/// there are two or more (and the share is not zero). The only endpoint of a set is never ejected.
#[must_use]
pub fn most_ejected(max_ejected: f64, endpoints: usize) -> usize {
    if endpoints < 2 || max_ejected <= 0.0 {
        return 0;
    }
    // A hair's breadth for shares that binary fractions cannot hold.
    ((max_ejected * endpoints as f64 + 1e-9) as usize).clamp(1, endpoints)
}

/// One endpoint's failures and ejections, shared by all cores.
#[derive(Default, Debug)]
pub struct Outlier {
    epoch: Epoch,
    /// Failures in a row.
    row: AtomicU32,
    /// The end of the last ejection in nanoseconds from the epoch; 0 before the first.
    until: AtomicU64,
    /// The n of the last ejection. Its lock orders ejections.
    times: Mutex<u64>,
}

impl Outlier {
    /// An endpoint with no failures.
    #[must_use]
    pub fn new() -> Outlier {
        Outlier::default()
    }

    /// A call to the endpoint went well.
    #[inline]
    pub fn success(&self) {
        if self.row.load(Ordering::Relaxed) > 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// A call to the endpoint failed. Returns whether this has ejected it.
    ///
    /// `may_eject` is asked only when the row is long enough, and not for two failures of one endpoint at once. To
    /// keep a set's cap exactly, let it take the set's lock, count the endpoints that are out, and leave the guard in
    /// a variable of the caller: it then is held until this has returned, and the next one counts this ejection too.
    #[cold]
    pub fn failure(
        &self,
        now: Instant,
        settings: &OutlierSettings,
        may_eject: impl FnOnce() -> bool,
    ) -> bool {
        let moment = self.epoch.nanos(now);
        if moment < self.until.load(Ordering::Relaxed) {
            return false;
        }
        let row = self.row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if row < settings.consecutive {
            return false;
        }
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.until.load(Ordering::Relaxed);
        // Another core may have ejected it, or a success ended the row, while this one waited for the lock.
        let over = moment < until || self.row.load(Ordering::Relaxed) < settings.consecutive;
        if over || !may_eject() {
            return false;
        }
        let eject = nanos(settings.eject).max(1);
        let calm = if until == 0 { 0 } else { (moment - until) / eject };
        *times = (times.saturating_sub(calm) + 1).min(LONGEST);
        self.row.store(0, Ordering::Relaxed);
        self.until.store(moment.saturating_add(eject.saturating_mul(*times)), Ordering::Release);
        true
    }

    /// The end of the ejection under way; none while the endpoint is in the set.
    #[inline]
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        match self.until.load(Ordering::Acquire) {
            0 => None,
            until => self.epoch.moment(until).filter(|until| *until > now),
        }
    }
}

#[cfg(test)]
mod tests;
