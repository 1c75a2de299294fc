//! How many frames of a kind a client may send that ask for work and carry none (RFC 9113 section 10.5).

use std::time::{Duration, Instant};

/// A bounded number of frames, which time and useful work fill again.
pub(super) struct Allowance {
    left: u32,
    most: u32,
    /// How many a second time gives back.
    rate: u32,
    /// Up to when time has given back.
    since: Instant,
}

/// The numbers of an allowance.
pub(super) struct Numbers {
    /// So many frames at the beginning.
    pub(super) first: u32,
    /// The most that may be left.
    pub(super) most: u32,
    /// So many come back a second.
    pub(super) rate: u32,
}

impl Allowance {
    /// An allowance of a connection that begins now.
    pub(super) fn new(Numbers { first: left, most, rate }: Numbers, now: Instant) -> Allowance {
        Allowance { left, most, rate, since: now }
    }

    /// Takes one frame; `false` once there are none left. The time is only asked for then.
    pub(super) fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            self.refill(now());
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }

    /// Gives so many back.
    pub(super) fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.most);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let earned = passed.saturating_mul(u128::from(self.rate)) / 1000;
        if earned > 0 {
            // Parts of a frame are kept for the next time.
            let used = u64::try_from(earned * 1000 / u128::from(self.rate)).unwrap_or(u64::MAX);
            self.since = self.since.checked_add(Duration::from_millis(used)).unwrap_or(now);
            self.earn(u32::try_from(earned).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_work_give_back_up_to_the_most() {
        let start = Instant::now();
        let mut allowance = Allowance::new(Numbers { first: 3, most: 5, rate: 10 }, start);
        assert!((0..3).all(|_| allowance.spend(|| start)));
        assert!(!allowance.spend(|| start), "all are spent");
        assert!(!allowance.spend(|| start + Duration::from_millis(99)));
        assert!(allowance.spend(|| start + Duration::from_millis(150)), "one after a tenth of a second");
        assert!(!allowance.spend(|| start + Duration::from_millis(199)));
        assert!(allowance.spend(|| start + Duration::from_millis(200)), "the half of one was kept");
        allowance.earn(100);
        assert!((0..5).all(|_| allowance.spend(|| start + Duration::from_millis(200))));
        assert!(!allowance.spend(|| start + Duration::from_millis(200)));
        let late = start + Duration::from_secs(3600);
        assert!((0..5).all(|_| allowance.spend(|| late)) && !allowance.spend(|| late));
    }
}
