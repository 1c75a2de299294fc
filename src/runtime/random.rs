//! Random numbers. They spread load and make names; none is a secret.

use std::ops::RangeBounds;

pub use fastrand::Rng;

/// A generator of its own, seeded by the one of this thread.
pub fn generator() -> Rng {
    Rng::with_seed(u64(..))
}

/// A number of a range.
pub fn u64(range: impl RangeBounds<u64>) -> u64 {
    fastrand::u64(range)
}

/// A number of a range.
pub fn u32(range: impl RangeBounds<u32>) -> u32 {
    fastrand::u32(range)
}

/// A number of a range.
pub fn usize(range: impl RangeBounds<usize>) -> usize {
    fastrand::usize(range)
}

/// A number of a range.
pub fn u128(range: impl RangeBounds<u128>) -> u128 {
    fastrand::u128(range)
}

/// A number from 0 up to 1, 1 excluded.
pub fn f64() -> f64 {
    fastrand::f64()
}
