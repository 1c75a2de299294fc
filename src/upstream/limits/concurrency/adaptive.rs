//! Finds out how many calls a service can take at once, from how long its answers take.
//!
//! Once a window (100 answers, or 1 s with 10 at the least) the mean time is held against the base, the least mean of
//! a window of late:
//!
//! ```text
//! gradient = clamp(2 * base / mean, 0.5, 1)
//! limit    = limit + 0.2 * (limit * gradient + sqrt(limit) - limit)
//! ```
//!
//! Answers may take twice the base before the limit stops growing; the root is the queue that a service may always
//! have. The limit grows only while at least half of it is used: what is not needed is not known to be good. Where more
//! than one answer in 20 fails, it falls by a tenth instead.
//!
//! A mean and not the fastest answer makes the base, so that a service with quick and slow answers is not taken for
//! one that has a queue. A base that no window has come near for 60 s may be out of date (the service has become
//! slower) or hidden behind a queue: the limit then goes down to a quarter for two windows, in the second of which the
//! base is measured anew.

use std::time::{Duration, Instant};

/// The greatest limit where none is written.
pub const MAX: u32 = 1024;

/// What it begins with.
const START: f64 = 20.0;

/// Answers that end a window.
const SAMPLES: u32 = 100;

/// How long a window lasts, if there are answers enough.
const WINDOW: Duration = Duration::from_secs(1);

/// Answers without which a window says nothing.
const FEW: u32 = 10;

/// How many times the base an answer may take.
const TOLERANCE: f64 = 2.0;

/// How much of a new limit comes at once.
const SMOOTHING: f64 = 0.2;

/// How near a mean must be to the base to confirm it.
const NEAR: f64 = 1.1;

/// How long a base holds that is not confirmed.
const BASE_HOLDS: Duration = Duration::from_secs(60);

/// What the limit is divided by to measure the base.
const PROBE: f64 = 4.0;

/// The limit of one upstream; a pure machine, times are passed in.
#[derive(Debug)]
pub struct Adaptive {
    limit: f64,
    /// It never grows beyond this.
    max: f64,
    /// Seconds, and when a window last came near.
    base: Option<(f64, Instant)>,
    window: Window,
    phase: Phase,
}

/// What has been seen since the window began.
#[derive(Default, Debug)]
struct Window {
    began: Option<Instant>,
    answers: u32,
    dropped: u32,
    /// Of the answers, in seconds.
    sum: f64,
    /// The most calls under way.
    busiest: u32,
}

/// What the windows are used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// To find the limit.
    Running,
    /// To let the queue run empty at a low limit.
    Settling,
    /// To measure the base at a low limit.
    Measuring,
}

impl Default for Adaptive {
    fn default() -> Adaptive {
        Adaptive::new(MAX)
    }
}

impl Adaptive {
    /// A limit that never grows beyond `max`; it begins with 20, or with `max` where that is less.
    pub fn new(max: u32) -> Adaptive {
        let max = f64::from(max.max(1));
        Adaptive { limit: START.min(max), max, base: None, window: Window::default(), phase: Phase::Running }
    }

    /// How many calls may be under way, from 1 to the greatest limit.
    pub fn limit(&self) -> u32 {
        let part = if self.phase == Phase::Running { 1.0 } else { PROBE };
        (self.limit / part).clamp(1.0, self.max) as u32
    }

    /// An answer came after so long, or failed (`dropped`); `active` calls were under way, it among them. Gives the
    /// limit if a window has ended with it.
    pub fn observe(&mut self, rtt: Duration, dropped: bool, active: u32, now: Instant) -> Option<u32> {
        let began = *self.window.began.get_or_insert(now);
        self.window.busiest = self.window.busiest.max(active);
        if dropped {
            self.window.dropped += 1;
        } else {
            self.window.answers += 1;
            self.window.sum += rtt.as_secs_f64();
        }
        let seen = self.window.answers + self.window.dropped;
        let over = seen >= SAMPLES || (seen >= FEW && now.saturating_duration_since(began) >= WINDOW);
        if !over {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        self.window_ended(&window, now);
        Some(self.limit())
    }

    fn window_ended(&mut self, window: &Window, now: Instant) {
        if window.dropped * 20 > window.answers + window.dropped {
            self.set(self.limit * 0.9);
            return;
        }
        let mean = window.sum / f64::from(window.answers.max(1));
        match self.phase {
            Phase::Settling => self.phase = Phase::Measuring,
            Phase::Measuring => {
                self.base = Some((mean, now));
                self.phase = Phase::Running;
            }
            Phase::Running => self.adjust(mean, window.busiest, now),
        }
    }

    fn adjust(&mut self, mean: f64, busiest: u32, now: Instant) {
        let (least, confirmed) = self.base.unwrap_or((mean, now));
        let base = least.min(mean);
        let confirmed = if mean <= NEAR * least { now } else { confirmed };
        self.base = Some((base, confirmed));
        if now.saturating_duration_since(confirmed) >= BASE_HOLDS {
            self.phase = Phase::Settling;
            return;
        }
        // Answers that took no time at all are no slower than the base.
        let gradient = if mean > 0.0 { (TOLERANCE * base / mean).clamp(0.5, 1.0) } else { 1.0 };
        let wanted = self.limit * gradient + self.limit.sqrt();
        if wanted < self.limit || f64::from(busiest) * 2.0 >= self.limit {
            self.set(self.limit + SMOOTHING * (wanted - self.limit));
        }
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, self.max);
    }
}

#[cfg(test)]
mod tests;
