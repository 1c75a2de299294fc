//! The state of a breaker, and why it opened: for the log and the status.

use std::fmt;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

/// How many reasons are kept: those of the last failures.
const KEPT: usize = 5;

/// What a breaker does with calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// They pass.
    Closed,
    /// They are refused.
    Open,
    /// A few probes pass.
    HalfOpen,
}

/// The failures that opened a breaker.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Opening {
    /// A probe failed while it was half-open.
    pub probe: bool,
    /// Failures in a row.
    pub in_a_row: u32,
    /// Failed calls in the window.
    pub failures: u64,
    /// Calls in the window.
    pub calls: u64,
    /// The length of the window.
    pub window: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// Why the last calls failed, the latest first.
    pub reasons: SmallVec<[&'static str; KEPT]>,
}

impl fmt::Display for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.probe {
            out.write_str("a probe failed")?;
        } else {
            let (failures, calls) = (self.failures, self.calls);
            let (row, window) = (self.in_a_row, self.window.as_secs_f64());
            write!(out, "{failures} of {calls} calls failed within {window} s, the last {row} in a row")?;
        }
        if !self.reasons.is_empty() {
            write!(out, " ({})", self.reasons.join(", "))?;
        }
        Ok(())
    }
}

/// The state of a breaker at a moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// When the last change came, if one did: an open breaker opened then.
    pub since: Option<Instant>,
    /// When it lets probes through; only while it is open.
    pub until: Option<Instant>,
    /// Why it opened; only while it is not closed.
    pub opening: Option<Opening>,
}

/// The reasons of the last failures.
#[derive(Default)]
pub(super) struct Reasons(SmallVec<[&'static str; KEPT]>);

impl Reasons {
    pub(super) fn add(&mut self, reason: &'static str) {
        self.0.truncate(KEPT - 1);
        self.0.insert(0, reason);
    }

    pub(super) fn list(&self) -> SmallVec<[&'static str; KEPT]> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reasons_are_listed_the_latest_first() {
        let mut reasons = Reasons::default();
        for reason in ["a", "b", "c", "d", "e", "f"] {
            reasons.add(reason);
        }
        let opening = Opening {
            in_a_row: 5,
            failures: 6,
            calls: 20,
            window: Duration::from_secs(10),
            reasons: reasons.list(),
            ..Opening::default()
        };
        assert_eq!(
            opening.to_string(),
            "6 of 20 calls failed within 10 s, the last 5 in a row (f, e, d, c, b)"
        );
        let probe = Opening { probe: true, ..Opening::default() };
        assert_eq!(probe.to_string(), "a probe failed");
    }
}
