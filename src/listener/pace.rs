//! How fast a body must come while it is waited for.

use std::time::{Duration, Instant};

/// What a client's body is held to.
#[derive(Clone, Copy)]
pub(super) struct BodyBounds {
    /// Bytes in all.
    pub(super) max: u64,
    /// The longest gap, and the span over which the rate is measured.
    pub(super) timeout: Duration,
    /// Bytes a second, at least.
    pub(super) rate: u64,
    /// Whether neither gap nor rate is bounded while the body is waited for: a call of gRPC may say nothing for long. The
    /// upstream's `idle` bounds it then.
    pub(super) unpaced: bool,
}

/// The pace of one body: every byte gives back the time that it may take at the least rate, so that only waiting which
/// the bytes do not make up for adds up. Time in which nobody asks for the body (a slow service) is not waiting.
#[derive(Default)]
pub(super) struct Pace {
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Some bytes came.
    pub(super) fn moved(&mut self, bytes: u64, now: Instant, bounds: BodyBounds) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        let nanos = (u128::from(bytes) * 1_000_000_000).checked_div(u128::from(bounds.rate));
        let earned =
            nanos.and_then(|nanos| u64::try_from(nanos).ok()).map_or(Duration::MAX, Duration::from_nanos);
        self.waited = self.waited.saturating_sub(earned);
    }

    /// Until when the next bytes must come; the waiting begins now, unless it has begun.
    pub(super) fn deadline(&mut self, now: Instant, bounds: BodyBounds) -> Instant {
        *self.waiting_since.get_or_insert(now) + bounds.timeout.saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: BodyBounds =
        BodyBounds { max: u64::MAX, timeout: Duration::from_secs(10), rate: 100, unpaced: false };

    #[test]
    fn waiting_ends_unless_enough_came() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.deadline(start, BOUNDS), start + BOUNDS.timeout);
        assert_eq!(pace.deadline(start + Duration::from_secs(9), BOUNDS), start + BOUNDS.timeout, "one wait");
        let next = start + Duration::from_secs(5);
        pace.moved(300, next, BOUNDS);
        let late = next + BOUNDS.timeout - Duration::from_secs(2);
        assert_eq!(pace.deadline(next, BOUNDS), late, "300 bytes make up for 3 s of 5");
        pace.moved(1_000, next, BOUNDS);
        assert_eq!(pace.deadline(next, BOUNDS), next + BOUNDS.timeout, "nothing is saved up");
    }

    #[test]
    fn whoever_keeps_the_rate_is_never_cut_and_whoever_does_not_is() {
        for timeout in [900, 1_900, 10_000].map(Duration::from_millis) {
            let bounds = BodyBounds { timeout, ..BOUNDS };
            // Bytes for each second, and whether they are enough.
            for (bytes, kept) in [(99, false), (2, false), (100, true), (172, true)] {
                let (mut pace, mut now) = (Pace::default(), Instant::now());
                let gap = timeout / 2;
                let cut = (0..1_000).any(|_| {
                    let deadline = pace.deadline(now, bounds);
                    now += gap;
                    pace.moved((gap.as_millis() as u64 * bytes).div_ceil(1_000), now, bounds);
                    now > deadline
                });
                // What is rounded up to whole bytes may make up for one byte a second too few.
                let rounded = bytes == 99 && timeout < Duration::from_secs(2);
                assert!(rounded || cut != kept, "{bytes} bytes a second, {timeout:?}");
            }
        }
    }

    #[test]
    fn nobody_waits_while_nobody_asks() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.deadline(start, BOUNDS);
        let waited = Duration::from_secs(1);
        pace.moved(0, start + waited, BOUNDS);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(pace.deadline(much_later, BOUNDS), much_later + BOUNDS.timeout - waited);
    }
}
