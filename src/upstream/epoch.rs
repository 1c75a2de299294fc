//! Moments as one number, so that an atomic can hold them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The first moment that a machine has been told of; every other one is counted from it in nanoseconds.
#[derive(Default, Debug)]
pub(in crate::upstream) struct Epoch(OnceLock<Instant>);

impl Epoch {
    /// Nanoseconds from the epoch to `now`. A moment before it (another core's clock reading, a little older)
    /// counts as the epoch itself.
    pub(in crate::upstream) fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(*self.0.get_or_init(|| now)))
    }

    /// The moment that lies `nanos` after the epoch; none while nothing has happened yet.
    pub(in crate::upstream) fn moment(&self, nanos: u64) -> Option<Instant> {
        self.0.get()?.checked_add(Duration::from_nanos(nanos))
    }
}

/// A length of time in nanoseconds; what is longer than 584 years is cut.
pub(in crate::upstream) fn nanos(length: Duration) -> u64 {
    length.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(length.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_as_they_were_and_older_ones_are_the_origin() {
        let (epoch, start) = (Epoch::default(), Instant::now());
        assert_eq!(epoch.moment(0), None);
        assert_eq!(epoch.nanos(start), 0);
        let later = start + Duration::from_millis(1_500);
        assert_eq!(epoch.nanos(later), 1_500_000_000);
        assert_eq!(epoch.moment(1_500_000_000), Some(later));
        assert_eq!(Epoch::nanos(&epoch, start.checked_sub(Duration::from_millis(1)).unwrap_or(start)), 0);
    }

    #[test]
    fn a_length_beyond_measure_is_cut() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }
}
