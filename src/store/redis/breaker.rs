//! Whether asking Redis makes sense: what keeps requests from waiting for a server that does not answer.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// So many waits in vain in a row, and nobody waits any more.
const PATIENCE: u32 = 3;

/// Whether the server is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody knows yet: the first connection is being made. Requests may wait for it.
    Connecting,
    /// It answers.
    Up,
    /// It does not.
    Away,
}

impl State {
    /// The word for documents.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Up => "up",
            State::Away => "away",
        }
    }
}

/// Opens at once where the connection breaks, and after a few waits in vain; closes with the first answer in time to
/// a probe. Shared by every core.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: AtomicU8,
    in_vain: AtomicU32,
}

impl Breaker {
    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Connecting,
            1 => State::Up,
            _ => State::Away,
        }
    }

    /// A wait in vain, or an answer that is none; tells whether this one opened it.
    pub(super) fn in_vain(&self) -> bool {
        let so_far = self.in_vain.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        so_far >= PATIENCE && self.opened()
    }

    /// The connection is broken; tells whether this opened it.
    pub(super) fn opened(&self) -> bool {
        self.state.swap(2, Ordering::Relaxed) != 2
    }

    /// An answer in time to a request. It does not close what is open: that is for a probe.
    pub(super) fn answered(&self) {
        // Nearly always zero: a store would have every core fetch the line anew.
        if self.in_vain.load(Ordering::Relaxed) != 0 {
            self.in_vain.store(0, Ordering::Relaxed);
        }
    }

    /// An answer in time to a probe; tells what the state was before.
    pub(super) fn probed(&self) -> State {
        let before = self.state();
        self.in_vain.store(0, Ordering::Relaxed);
        self.state.store(1, Ordering::Relaxed);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_three_waits_in_vain_and_closes_with_a_probe() {
        let breaker = Breaker::default();
        assert_eq!(breaker.state(), State::Connecting);
        assert_eq!(breaker.probed(), State::Connecting);
        assert!(!breaker.in_vain() && !breaker.in_vain());
        breaker.answered();
        assert!(!breaker.in_vain() && !breaker.in_vain());
        assert_eq!(breaker.state(), State::Up);
        assert!(breaker.in_vain());
        assert_eq!(breaker.state(), State::Away);
        assert!(!breaker.in_vain(), "it opens once");
        breaker.answered();
        assert_eq!(breaker.state(), State::Away, "a late answer closes nothing");
        assert_eq!(breaker.probed(), State::Away);
        assert_eq!(breaker.state(), State::Up);
        assert!(breaker.opened());
        assert!(!breaker.opened());
    }
}
