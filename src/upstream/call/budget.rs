//! The budget of extra attempts (repeats and hedges): when everything fails, trying again must not double the load.
//!
//! Credit starts at [`RESERVE`]. Every request's first attempt adds `share` to it, every extra attempt takes 1, and
//! what lies unused is cut at [`RESERVE`] + [`SAVED`]:
//!
//! ```text
//! credit = min(RESERVE + SAVED, credit + share * requests since the last look)
//! an extra attempt is allowed while credit >= 1
//! ```
//!
//! So for every stretch of time that begins with the upstream's life: extra attempts <= share * requests + RESERVE,
//! and for any stretch at all: extra attempts <= share * requests + RESERVE + SAVED, however quiet the time before.
//! `share` is kept to the millionth.
//!
//! A request counts in a cell of its core; only who asks for an extra attempt takes the lock and sums the cells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::exchange::CoreId;

/// Extra attempts that are allowed before any request has paid for them: an upstream with little traffic may repeat.
pub const RESERVE: u64 = 10;

/// Extra attempts that a quiet time saves at most, above the reserve.
pub const SAVED: u64 = 100;

/// Credit is counted in millionths of an attempt.
const ONE: u64 = 1_000_000;

/// A budget of extra attempts, shared by all cores.
#[derive(Debug)]
pub struct Budget {
    /// What one request adds, in millionths of an attempt.
    share: u64,
    requests: Box<[Cell]>,
    account: Mutex<Account>,
}

/// First attempts of one core, written by that core alone; no two cores share a cache line.
#[repr(align(128))]
#[derive(Default, Debug)]
struct Cell(AtomicU64);

#[derive(Debug)]
struct Account {
    /// Requests that are in the credit already.
    seen: u64,
    /// In millionths of an attempt.
    credit: u64,
}

impl Budget {
    /// A budget that allows `share` (0 to 1) extra attempts a request; a share outside is cut to that range.
    #[must_use]
    pub fn new(share: f64, cores: usize) -> Budget {
        Budget {
            share: (share.clamp(0.0, 1.0) * ONE as f64).round() as u64,
            requests: (0..cores.max(1)).map(|_| Cell::default()).collect(),
            account: Mutex::new(Account { seen: 0, credit: RESERVE * ONE }),
        }
    }

    /// A request's first attempt.
    #[inline]
    pub fn request(&self, core: CoreId) {
        let cell = &self.requests.get(core.0).unwrap_or(&self.requests[0]).0;
        // The core is the only writer: no need for the price of an atomic addition.
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Asks for one extra attempt, and pays for it if it is allowed.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let requests: u64 = self.requests.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum();
        let earned = requests.saturating_sub(account.seen).saturating_mul(self.share);
        account.seen = account.seen.max(requests);
        account.credit = account.credit.saturating_add(earned).min((RESERVE + SAVED) * ONE);
        let allowed = account.credit >= ONE;
        if allowed {
            account.credit -= ONE;
        }
        allowed
    }
}

#[cfg(test)]
mod tests;
