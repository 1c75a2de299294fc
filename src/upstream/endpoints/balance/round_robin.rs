//! One after the other, each as often as its weight says.
//!
//! A count runs on over rounds of the whole set. An endpoint of the greatest share is taken in every round, one of a
//! share w in w of `scale` rounds, evenly spaced; who is passed over uses up its turn, so that the neighbour of an
//! endpoint that is out gets no more than the others. This needs no table and no lock, and where all weights are alike
//! it costs one look.
//!
//! Each core counts for itself (from a start of its own, so that a quiet gate does not begin at the first endpoint
//! on every core). What holds is therefore: of the calls of one core every endpoint gets its part to within two
//! calls and its part of one round, in any stretch without a change of the set; of the calls of n cores to within n
//! times that. Beyond 32 cores some share a count and may now and then take the same turn.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cells::Cells;
use super::{Balancer, Candidate, full_share};
use crate::exchange::CoreId;
use crate::runtime::random::Rng;

/// The balancer `round_robin`.
#[derive(Debug)]
pub struct RoundRobin {
    counts: Cells<AtomicU64>,
    /// The greatest share of a usable endpoint, as far as it has been seen. Written only when that changes.
    scale: AtomicU64,
}

impl Default for RoundRobin {
    fn default() -> RoundRobin {
        let start = |number| (number as u64).wrapping_mul(0x9e37_79b9) & 0xffff;
        RoundRobin { counts: Cells::new(|number| AtomicU64::new(start(number))), scale: AtomicU64::new(0) }
    }
}

impl RoundRobin {
    /// Goes on by at most one round, and gives the endpoint whose turn it is.
    fn round(
        &self,
        count: &mut u64,
        scale: u64,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
    ) -> Option<usize> {
        for _ in 0..len {
            let (round, index) = (*count / len as u64, (*count % len as u64) as usize);
            *count += 1;
            let candidate = of(index);
            if !candidate.usable {
                continue;
            }
            let share = candidate.share();
            if share > scale {
                self.scale.store(share, Ordering::Relaxed);
            }
            if share >= scale || has_turn(round, index, share, scale) {
                return Some(index);
            }
        }
        None
    }
}

/// Whether an endpoint with a share below the scale is taken in this round: in `share` of `scale` rounds, evenly.
/// Endpoints of one share begin at different rounds.
fn has_turn(round: u64, index: usize, share: u64, scale: u64) -> bool {
    let offset = (u64::from((index as u32).wrapping_mul(0x9e37_79b9)) * scale) >> 32;
    // Shares are below 2^29, so this stays within 64 bits.
    ((round % scale) * share + offset) % scale >= scale - share
}

impl Balancer for RoundRobin {
    fn pick(
        &self,
        len: usize,
        of: &dyn Fn(usize) -> Candidate,
        _key: Option<u64>,
        core: CoreId,
        _random: &mut Rng,
    ) -> Option<usize> {
        if len <= 1 {
            return (len == 1 && of(0).usable).then_some(0);
        }
        let own = self.counts.of(core);
        let mut count = own.load(Ordering::Relaxed);
        let mut picked = self.round(&mut count, self.scale.load(Ordering::Relaxed), len, of);
        if picked.is_none() {
            // The greatest are out, or none is left: the scale is that of those that are usable.
            let usable = (0..len).map(|index| (index, of(index))).filter(|(_, candidate)| candidate.usable);
            let (greatest, scale) = usable
                .map(|(index, candidate)| (index, candidate.share()))
                .max_by_key(|(_, share)| *share)?;
            self.scale.store(scale, Ordering::Relaxed);
            picked = self.round(&mut count, scale, len, of).or(Some(greatest));
        }
        own.store(count, Ordering::Relaxed);
        picked
    }

    fn rebuilt(&self, endpoints: &[(u64, u32)]) {
        let greatest = endpoints.iter().map(|(_, weight)| full_share(*weight)).max();
        self.scale.store(greatest.unwrap_or(0), Ordering::Relaxed);
    }
}
