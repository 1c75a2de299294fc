//! The token bucket, as the generic cell rate algorithm: a debt that shrinks with time.
//!
//! The bucket holds `burst` permits and refills at `limit` permits per window. With `debt` the permits that have not
//! been refilled, a request of cost `c` at `t` is admitted if and only if `debt(t) + c <= burst`, and then `debt` grows by `c`;
//! `debt(t) = max(0, debt(s) - (t - s) * limit / window)`. So any interval of length `d` admits at most
//! `burst + floor(limit * d / window)`. Debts are kept as permits times the window, whole numbers for every limit.

use super::Verdict;
use crate::store::Limit;

/// One key's debt.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TokenBucket {
    /// Permits owed, times the window, at the rate of `limit`.
    debt: u128,
    /// When that was so.
    at: u64,
    /// The limit it was counted for: at another one (a tier, a reload) the time that the debt takes stays.
    limit: u32,
}

impl TokenBucket {
    /// The debt, when it was so, and the limit it was counted for: for those who pack it.
    pub fn parts(&self) -> (u128, u64, u32) {
        (self.debt, self.at, self.limit)
    }

    /// The bucket of these parts.
    pub fn from_parts((debt, at, limit): (u128, u64, u32)) -> TokenBucket {
        TokenBucket { debt, at, limit }
    }

    fn at(&self, now: u64, limit: &Limit) -> TokenBucket {
        let whole = u128::from(limit.burst) * u128::from(limit.window_us);
        let rate = u128::from(limit.limit);
        let debt = if u64::from(self.limit) == limit.limit || self.limit == 0 {
            self.debt
        } else {
            self.debt.saturating_mul(rate).div_ceil(u128::from(self.limit))
        };
        let refilled = u128::from(now.saturating_sub(self.at)) * rate;
        let debt = debt.saturating_sub(refilled).min(whole);
        TokenBucket { debt, at: now, limit: u32::try_from(limit.limit).unwrap_or(u32::MAX) }
    }

    /// Takes `cost` permits, all or none.
    pub fn take(&mut self, now: u64, limit: &Limit, cost: u64) -> Verdict {
        if limit.limit == 0 {
            let reset_us = if cost == 0 { 0 } else { limit.window_us };
            return Verdict { admitted: cost == 0, remaining: 0, reset_us };
        }
        let (window, rate) = (u128::from(limit.window_us), u128::from(limit.limit));
        let whole = u128::from(limit.burst) * window;
        let mut next = self.at(now, limit);
        let asked = u128::from(cost).saturating_mul(window);
        let admitted = cost == 0 || next.debt.saturating_add(asked) <= whole;
        let wait = |debt: u128, bound: u128| {
            u64::try_from(debt.saturating_sub(bound).div_ceil(rate)).unwrap_or(u64::MAX)
        };
        if !admitted {
            let reset_us = if asked > whole { limit.window_us } else { wait(next.debt, whole - asked) };
            return Verdict { admitted, remaining: permits((whole - next.debt) / window), reset_us };
        }
        if cost > 0 {
            next.debt += asked;
            *self = next;
        }
        let left = (whole - next.debt) / window;
        let reset_us =
            if next.debt == 0 { 0 } else { wait(next.debt, whole.saturating_sub((left + 1) * window)) };
        Verdict { admitted, remaining: permits(left), reset_us }
    }

    /// Gives back what was taken at `at` and has not been refilled since: without it, the debt of now would be lower by
    /// at least that much.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) {
        let mut next = self.at(now, limit);
        let taken = u128::from(cost).saturating_mul(u128::from(limit.window_us));
        let refilled = u128::from(now.saturating_sub(at)) * u128::from(limit.limit);
        next.debt = next.debt.saturating_sub(taken.saturating_sub(refilled));
        *self = next;
    }

    /// Permits that count at `now`, rounded up.
    pub fn used(&self, now: u64, limit: &Limit) -> u64 {
        permits(self.at(now, limit).debt.div_ceil(u128::from(limit.window_us.max(1))))
    }
}

fn permits(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
