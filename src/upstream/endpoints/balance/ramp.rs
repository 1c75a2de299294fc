//! Slow start: an endpoint that is new in a running set, or has come back, gets its part of the calls bit by bit.

use std::time::{Duration, Instant};

/// How long it takes.
pub const WINDOW: Duration = Duration::from_secs(10);

/// What it starts with.
const START: f32 = 0.1;

/// How much of its weight counts for an endpoint that is there since then: from 0.1 in a straight line to 1.
pub fn ramp(since: Instant, now: Instant, window: Duration) -> f32 {
    let passed = now.saturating_duration_since(since);
    if passed >= window {
        return 1.0;
    }
    START + (1.0 - START) * passed.as_secs_f32() / window.as_secs_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_from_a_tenth_to_all() {
        let since = Instant::now();
        let at = |millis| ramp(since, since + Duration::from_millis(millis), WINDOW);
        assert!((at(0) - 0.1).abs() < 1e-6);
        assert!((at(5_000) - 0.55).abs() < 1e-6);
        assert!(at(9_999) < 1.0);
        assert!((at(10_000) - 1.0).abs() < f32::EPSILON && (at(1_000_000) - 1.0).abs() < f32::EPSILON);
        assert!((1..=100).all(|step| at(step * 100) > at(step * 100 - 100)));
    }

    #[test]
    fn no_window_is_no_slow_start_and_the_future_is_the_start() {
        let now = Instant::now();
        assert!((ramp(now, now, Duration::ZERO) - 1.0).abs() < f32::EPSILON);
        assert!((ramp(now + Duration::from_secs(1), now, WINDOW) - 0.1).abs() < 1e-6);
    }
}
