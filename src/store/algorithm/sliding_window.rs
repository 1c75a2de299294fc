//! The sliding window: no interval as long as the window ever holds more than the limit.
//!
//! Time is cut into 32 cells a window. The hits of one cell are a run: a count `n` and the time `last` of its last hit.
//! A request of cost `c` at `t` is admitted if and only if `c + sum of n over runs with last + window > t <= limit`. Every
//! hit counts at least until a window after it, so the promise is kept; it counts at most a cell longer, and a hit that
//! is alone in its cell, or the last one of it, not at all longer.
//!
//! The window is no part of the state: at another length the same runs are judged by it. Runs of a longer window's cells
//! count at most such a cell longer; many runs of a shorter one's are joined by the new cells where there is no room.

use super::Verdict;
use crate::store::Limit;

/// Cells a window is cut into.
pub const CELLS: u64 = 32;
/// Runs that can be alive at once: one a cell, and the cell that the window's far end cuts.
pub const RUNS: usize = CELLS as usize + 1;

/// The length of a cell.
fn cell(window: u64) -> u64 {
    // Rounded up: otherwise a window could touch one cell more than there is room for.
    window.div_ceil(CELLS).max(1)
}

/// The hits of one cell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Run {
    /// The time of the last of them.
    pub last: u64,
    /// Their permits.
    pub permits: u64,
}

/// One key's runs, oldest first.
#[derive(Clone, Debug)]
pub struct Runs {
    runs: [Run; RUNS],
    len: usize,
}

impl Default for Runs {
    fn default() -> Runs {
        Runs { runs: [Run::default(); RUNS], len: 0 }
    }
}

impl Runs {
    /// The runs, oldest first.
    pub fn as_slice(&self) -> &[Run] {
        &self.runs[..self.len]
    }

    /// Adds a run that is no older than the others; where there is no room after all the oldest two become one.
    pub fn push(&mut self, run: Run) {
        if self.len == RUNS {
            let oldest = self.runs[0].permits;
            self.runs.copy_within(1.., 0);
            self.runs[0].permits += oldest;
            self.len -= 1;
        }
        self.runs[self.len] = run;
        self.len += 1;
    }

    /// Joins neighbours until there are at most so many: the later time counts, which is stricter. The pair whose
    /// hits lose least goes first.
    pub fn join_to(&mut self, most: usize) {
        while self.len > most.max(1) {
            let loss = |at: &usize| {
                let (one, next) = (self.runs[*at], self.runs[at + 1]);
                // Both may be large: the product is wider than either.
                u128::from(next.last.saturating_sub(one.last)) * u128::from(one.permits)
            };
            let Some(at) = (0..self.len - 1).min_by_key(loss) else { return };
            self.runs[at + 1].permits += self.runs[at].permits;
            self.runs.copy_within(at + 1..self.len, at);
            self.len -= 1;
        }
    }

    /// Joins neighbours of one cell. There are several where the window was shorter before.
    fn join_cells(&mut self, cell: u64) {
        let mut kept = 0;
        for at in 1..self.len {
            let run = self.runs[at];
            let before = &mut self.runs[kept];
            if before.last / cell == run.last / cell {
                *before = Run { last: run.last, permits: before.permits + run.permits };
            } else {
                kept += 1;
                self.runs[kept] = run;
            }
        }
        self.len = self.len.min(kept + 1);
    }

    fn forget(&mut self, now: u64, window: u64) {
        let gone = self.as_slice().iter().take_while(|run| run.last + window <= now).count();
        if gone > 0 {
            self.runs.copy_within(gone..self.len, 0);
            self.len -= gone;
        }
    }

    /// Takes `cost` permits, all or none.
    pub fn take(&mut self, now: u64, limit: &Limit, cost: u64) -> Verdict {
        let window = limit.window_us;
        self.forget(now, window);
        let used: u64 = self.as_slice().iter().map(|run| run.permits).sum();
        if cost > 0 && used.saturating_add(cost) > limit.limit {
            return Verdict {
                admitted: false,
                remaining: limit.limit.saturating_sub(used),
                reset_us: self.until_fits(now, limit, used, cost),
            };
        }
        if cost > 0 {
            let cell = cell(window);
            match self.runs[..self.len].last_mut() {
                // Those who pack runs round times up, perhaps over the border of a cell: such a run is joined, so that
                // runs stay in order.
                Some(run) if run.last >= now || run.last / cell == now / cell => {
                    run.last = run.last.max(now);
                    run.permits += cost;
                }
                _ => {
                    if self.len == RUNS {
                        self.join_cells(cell);
                    }
                    self.push(Run { last: now, permits: cost });
                }
            }
        }
        Verdict {
            admitted: true,
            remaining: limit.limit.saturating_sub(used + cost),
            reset_us: self.grows(now, limit, used + cost),
        }
    }

    /// When the cost fits, if nobody else takes anything.
    fn until_fits(&self, now: u64, limit: &Limit, used: u64, cost: u64) -> u64 {
        let mut left = used;
        for run in self.as_slice() {
            left -= run.permits;
            if left.saturating_add(cost) <= limit.limit {
                return (run.last + limit.window_us).saturating_sub(now);
            }
        }
        limit.window_us
    }

    /// When more is left than now: the first run that comes back and is not only what a lowered limit took away.
    fn grows(&self, now: u64, limit: &Limit, used: u64) -> u64 {
        let mut left = used;
        for run in self.as_slice() {
            left -= run.permits;
            if run.permits > 0 && left < limit.limit {
                return (run.last + limit.window_us).saturating_sub(now);
            }
        }
        0
    }

    /// Gives back what was taken at `at`; whether the run of its cell is still there.
    pub fn give_back(&mut self, now: u64, limit: &Limit, cost: u64, at: u64) -> bool {
        self.forget(now, limit.window_us);
        let cell = cell(limit.window_us);
        let Some(place) = self.as_slice().iter().position(|run| run.last >= at) else { return false };
        let run = &mut self.runs[place];
        if run.last / cell != at / cell {
            return false;
        }
        run.permits = run.permits.saturating_sub(cost);
        if run.permits == 0 {
            self.runs.copy_within(place + 1..self.len, place);
            self.len -= 1;
        }
        true
    }

    /// The time of the last hit, and the permits that were spent less than a window before it.
    pub fn spent(&self, window: u64) -> (u64, u64) {
        let last = self.as_slice().last().map_or(0, |run| run.last);
        (last, self.used(last, window))
    }

    /// Permits that count at `now`.
    pub fn used(&self, now: u64, window: u64) -> u64 {
        self.as_slice().iter().filter(|run| run.last + window > now).map(|run| run.permits).sum()
    }
}
