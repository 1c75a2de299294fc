//! The token bucket, as the generic cell rate algorithm: a debt that shrinks with time.
//!
//! The bucket holds `burst` permits and refills at `limit` permits per window. With `debt` the permits that have not
//! been refilled, a request of cost `c` at `t` is admitted if and only if `debt(t) + c <= burst`, and then `debt` grows by `c`;
//! `debt(t) = max(0, debt(s) - (t - s) * limit / window)`. So any interval of length `d` admits at most
//! `burst + floor(limit * d / window)`. Debts are kept as permits times the window, whole numbers for every limit.
//!
//! A debt is a number of permits whatever the limit and the burst are. It shrinks at the rate of the request that is
//! judged, from the last change of the state on, and it is not capped by a smaller burst. At another window length it
//! is the same number of permits, rounded up by less than a millionth of one.

use super::Verdict;
use crate::store::Limit;

/// One key's debt.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TokenBucket {
    /// Permits owed, times the window.
    debt: u128,
    /// When that was so.
    at: u64,
    /// The window that the debt is multiplied by; 0 where nothing is owed yet.
    window: u64,
}

impl TokenBucket {
    /// The debt, when it was so, and the window it is multiplied by: to pack it.
    pub fn parts(&self) -> (u128, u64, u64) {
        (self.debt, self.at, self.window)
    }

    /// The bucket of these parts.
    pub fn from_parts((debt, at, window): (u128, u64, u64)) -> TokenBucket {
        TokenBucket { debt, at, window }
    }

    /// Owes so many more permits from the moment `at` on.
    pub fn spend(&mut self, at: u64, limit: &Limit, permits: u64) {
        *self = self.at(at, limit);
        self.debt += u128::from(permits) * u128::from(limit.window_us);
    }

    /// When the debt was as it is kept, and the permits that were owed then, rounded up.
    pub fn owed(&self) -> (u64, u64) {
        (self.at, permits(self.debt.div_ceil(u128::from(self.window.max(1)))))
    }

    fn at(&self, now: u64, limit: &Limit) -> TokenBucket {
        let window = limit.window_us;
        let debt = if self.window == window || self.debt == 0 {
            self.debt
        } else {
            let (from, to) = (u128::from(self.window.max(1)), u128::from(window));
            // In two parts, because the product of the whole may be larger than the type.
            self.debt / from * to + (self.debt % from * to).div_ceil(from)
        };
        let refilled = u128::from(now.saturating_sub(self.at)) * u128::from(limit.limit);
        TokenBucket { debt: debt.saturating_sub(refilled), at: now, window }
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
        let wait = |debt: u128, bound: u128| permits(debt.saturating_sub(bound).div_ceil(rate));
        let left = |debt: u128| whole.saturating_sub(debt) / window;
        if !admitted {
            let reset_us = if asked > whole { limit.window_us } else { wait(next.debt, whole - asked) };
            return Verdict { admitted, remaining: permits(left(next.debt)), reset_us };
        }
        if cost > 0 {
            next.debt += asked;
            *self = next;
        }
        let left = left(next.debt);
        let reset_us =
            if next.debt == 0 { 0 } else { wait(next.debt, whole.saturating_sub((left + 1) * window)) };
        Verdict { admitted, remaining: permits(left), reset_us }
    }

    /// Gives back what was taken at `at` and has not been refilled since: without it, the debt of now would be lower by
    /// at least that much. Always true: a bucket is never another one.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) -> bool {
        let mut next = self.at(now, limit);
        let taken = u128::from(cost).saturating_mul(u128::from(limit.window_us));
        let refilled = u128::from(now.saturating_sub(at)) * u128::from(limit.limit);
        next.debt = next.debt.saturating_sub(taken.saturating_sub(refilled));
        *self = next;
        true
    }

    /// Permits that count at `now`, rounded up.
    pub fn used(&self, now: u64, limit: &Limit) -> u64 {
        self.at(now, limit).owed().1
    }
}

fn permits(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
