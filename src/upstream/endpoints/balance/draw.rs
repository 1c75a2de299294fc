//! Draws a usable endpoint by chance, each as often as its share says.
//!
//! An endpoint is taken from all alike and kept with the chance share / scale, where `scale` is the greatest share:
//! with shares that are all alike that is one look, however many endpoints there are. Where that does not soon find
//! one (most are out, or the greatest is far greater than the rest), or there is but one to take, the whole set is
//! gone through once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidate, full_share};
use crate::runtime::random::Rng;

/// How often it is tried before the set is gone through.
const TRIES: usize = 16;

/// Draws by share.
#[derive(Debug, Default)]
pub(super) struct Draw {
    /// The greatest share of a usable endpoint, as far as it has been seen. Written only when that changes.
    scale: AtomicU64,
}

impl Draw {
    /// The set has changed.
    pub(super) fn rebuilt(&self, endpoints: &[(u64, u32)]) {
        let greatest = endpoints.iter().map(|(_, weight)| full_share(*weight)).max();
        self.scale.store(greatest.unwrap_or(0), Ordering::Relaxed);
    }

    /// A usable endpoint other than `without`, which is one of them.
    pub(super) fn one(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        without: Option<usize>,
        random: &mut Rng,
    ) -> Option<(usize, Candidate)> {
        let others = len - usize::from(without.is_some() && len > 0);
        let tries = if others > 1 { TRIES } else { 0 };
        let scale = self.scale.load(Ordering::Relaxed);
        for _ in 0..tries {
            let drawn = random.usize(..others);
            let index = if without.is_some_and(|without| drawn >= without) { drawn + 1 } else { drawn };
            let candidate = of(index);
            if !candidate.usable {
                continue;
            }
            let share = candidate.share();
            if share > scale {
                self.scale.store(share, Ordering::Relaxed);
            }
            if share >= scale || random.u64(..scale) < share {
                return Some((index, candidate));
            }
        }
        self.scan(len, of, without, random)
    }

    /// Goes through the set once: each takes the place of the one before with the chance share / sum so far.
    fn scan(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        without: Option<usize>,
        random: &mut Rng,
    ) -> Option<(usize, Candidate)> {
        let (mut sum, mut greatest, mut drawn) = (0, 0, None);
        for index in (0..len).filter(|index| Some(*index) != without) {
            let candidate = of(index);
            if candidate.usable {
                let share = candidate.share();
                sum += share;
                greatest = greatest.max(share);
                if sum == share || random.u64(..sum) < share {
                    drawn = Some((index, candidate));
                }
            }
        }
        // Without the one that is left out the greatest may be another.
        if without.is_none() && greatest != 0 && greatest != self.scale.load(Ordering::Relaxed) {
            self.scale.store(greatest, Ordering::Relaxed);
        }
        drawn
    }
}
