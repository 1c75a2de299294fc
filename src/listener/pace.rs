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
}

/// The pace of one body: a share of the allowed waiting is given back only by enough bytes. Time in which nobody asks
/// for the body (a slow service) is not waiting.
#[derive(Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Some bytes came.
    pub(super) fn moved(&mut self, bytes: u64, now: Instant, bounds: BodyBounds) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes += bytes;
        let enough = bounds.rate.saturating_mul(bounds.timeout.as_secs()).max(1);
        if self.bytes >= enough {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }

    /// Until when the next bytes must come; the waiting begins now, unless it has begun.
    pub(super) fn deadline(&mut self, now: Instant, bounds: BodyBounds) -> Instant {
        *self.waiting_since.get_or_insert(now) + bounds.timeout.saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: BodyBounds = BodyBounds { max: u64::MAX, timeout: Duration::from_secs(10), rate: 100 };

    #[test]
    fn waiting_ends_unless_enough_came() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.deadline(start, BOUNDS), start + BOUNDS.timeout);
        assert_eq!(pace.deadline(start + Duration::from_secs(9), BOUNDS), start + BOUNDS.timeout, "one wait");
        let next = start + Duration::from_secs(1);
        pace.moved(999, next, BOUNDS);
        let late = next + BOUNDS.timeout - Duration::from_secs(1);
        assert_eq!(pace.deadline(next, BOUNDS), late, "one byte short of the rate");
        pace.moved(1, next, BOUNDS);
        assert_eq!(pace.deadline(next, BOUNDS), next + BOUNDS.timeout);
    }

    #[test]
    fn a_trickle_gives_nothing_back_of_what_was_waited() {
        let waited = Duration::from_secs(4);
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.deadline(start, BOUNDS);
        let next = start + waited;
        pace.moved(999, next, BOUNDS);
        assert_eq!(pace.deadline(next, BOUNDS), next + BOUNDS.timeout - waited);
    }

    #[test]
    fn nobody_waits_while_nobody_asks() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.deadline(start, BOUNDS);
        let waited = Duration::from_secs(1);
        pace.moved(1, start + waited, BOUNDS);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(pace.deadline(much_later, BOUNDS), much_later + BOUNDS.timeout - waited);
    }
}
