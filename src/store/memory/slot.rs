//! How a key's state is packed: 64 bytes, its fingerprint among them.

use crate::store::algorithm::{FixedWindow, Run};

/// Runs of a sliding window that stand in the slot itself.
pub(super) const INLINE: usize = 4;

/// A run, as steps of time back from the moment the slot was written.
#[derive(Clone, Copy, Default)]
pub(super) struct Packed {
    back: u32,
    permits: u32,
}

impl Packed {
    /// Packs a run. A time that is no whole step counts as the next one, which is stricter, and stays there however
    /// often it is packed again.
    pub(super) fn of(run: Run, written: u64, shift: u32) -> Packed {
        let tick = run.last.div_ceil(1 << shift);
        let back = ((written >> shift) + 1).saturating_sub(tick);
        Packed {
            back: u32::try_from(back).unwrap_or(u32::MAX),
            permits: u32::try_from(run.permits).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn run(self, written: u64, shift: u32) -> Run {
        let tick = ((written >> shift) + 1).saturating_sub(u64::from(self.back));
        Run { last: tick << shift, permits: u64::from(self.permits) }
    }

    pub(super) fn permits(self) -> u64 {
        u64::from(self.permits)
    }
}

/// The bits to drop of a time, so that two windows fit into 32 of them: none up to windows of 35 minutes.
pub(super) fn shift(window: u64) -> u32 {
    (window.saturating_mul(2) >> 32).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// Where the runs of a sliding window are.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In the slot: so many.
    Inline(u8, [Packed; INLINE]),
    /// In the shard's store beside the table, under this number.
    Beside(u32),
}

/// A key's state.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Fixed(FixedWindow),
    /// A debt in two halves, and the window it is multiplied by.
    Bucket([u64; 2], u64),
    /// Runs, and the bits that were dropped of their times.
    Sliding(u8, Place),
}

/// A key. The place of the table is free where `print` is all zero.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) print: [u64; 2],
    /// When the state was as it stands here.
    pub(super) written: u64,
    pub(super) body: Body,
}

/// A free place.
pub(super) const EMPTY: Slot =
    Slot { print: [0, 0], written: 0, body: Body::Fixed(FixedWindow { start: 0, last: 0, spent: 0 }) };

const _: () = assert!(size_of::<Slot>() <= 64, "a million keys fit into 128 MiB only with slots of 64 bytes");

impl Slot {
    /// Whether nothing is here.
    pub(super) fn is_free(&self) -> bool {
        self.print == EMPTY.print
    }
}

/// A debt from its halves: whole, it would have to stand at a multiple of 16 bytes, and the slot would grow.
pub(super) fn debt(halves: [u64; 2]) -> u128 {
    u128::from(halves[0]) << 64 | u128::from(halves[1])
}

/// The halves of a debt.
pub(super) fn halves(debt: u128) -> [u64; 2] {
    [(debt >> 64) as u64, debt as u64]
}
