//! Repeats with and without a budget.

use super::*;
use crate::exchange::CoreId;
use crate::upstream::call::budget::{Budget, RESERVE};

/// Attempts and failed requests, at three attempts a request, with `failing` of the endpoints down.
fn attempts(failing: usize, budget: Option<f64>) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(5);
    let budget = budget.map(|share| Budget::new(share, CORES));
    let (mut attempts, mut failed) = (0, 0);
    for request in 0..REQUESTS {
        if let Some(budget) = &budget {
            budget.request(CoreId(request as usize % CORES));
        }
        for attempt in 1.. {
            attempts += 1;
            if random.usize(..ENDPOINTS) >= failing {
                break;
            }
            if attempt == 3 || !budget.as_ref().is_none_or(Budget::take) {
                failed += 1;
                break;
            }
        }
    }
    (attempts, failed)
}

#[test]
fn repeats_are_plenty_for_few_failures_and_few_for_many() {
    let mut rows = Vec::new();
    for failing in [0, 10, 50, 100, 200, 500, 1_000] {
        let (free, free_failed) = attempts(failing, None);
        let (bound, bound_failed) = attempts(failing, Some(0.2));
        assert!(bound <= REQUESTS + REQUESTS / 5 + RESERVE);
        if failing <= 100 {
            // As long as the budget lasts nobody feels that it is there.
            assert_eq!((free, free_failed), (bound, bound_failed));
        }
        rows.push(vec![
            format!("{} %", failing / 10),
            format!("{:.2}", free as f64 / REQUESTS as f64),
            format!("{:.2} %", percent(free_failed, REQUESTS)),
            format!("{:.2}", bound as f64 / REQUESTS as f64),
            format!("{:.2} %", percent(bound_failed, REQUESTS)),
        ]);
    }
    let head = [
        "endpoints down",
        "attempts a request, no budget",
        "failed, no budget",
        "attempts a request, budget 20 %",
        "failed, budget 20 %",
    ];
    show("Repeats (3 attempts, 1,000 endpoints, a million requests)", &head, &rows);
}

/// A service near its limit that fails altogether for a second. What it is sent beyond its limit makes it slower for
/// all: the share of calls that succeed is (limit / sent) squared. Failed calls are repeated 10 ms later. Returns
/// the share of failed requests before, during, right after, and long after.
fn blip(budget: Option<f64>) -> [f64; 4] {
    const LIMIT: f64 = 100.0;
    const ARRIVE: u64 = 90;
    let mut random = fastrand::Rng::with_seed(7);
    let budget = budget.map(|share| Budget::new(share, CORES));
    let mut failed = [0_u64; 4];
    // Attempts to make in this step: first, second and third ones.
    let mut due = [ARRIVE, 0, 0];
    for step in 0..4_000 {
        let phase = match step {
            ..1_000 => 0,
            1_000..1_100 => 1,
            1_100..2_000 => 2,
            _ => 3,
        };
        let sent: u64 = due.iter().sum();
        let good = if phase == 1 { 0.0 } else { (LIMIT / sent as f64).powi(2) };
        let mut next = [ARRIVE, 0, 0];
        for (attempt, calls) in due.into_iter().enumerate() {
            for _ in 0..calls {
                if let (0, Some(budget)) = (attempt, &budget) {
                    budget.request(CoreId(0));
                }
                if random.f64() < good {
                    continue;
                }
                if attempt < 2 && budget.as_ref().is_none_or(Budget::take) {
                    next[attempt + 1] += 1;
                } else {
                    failed[phase] += 1;
                }
            }
        }
        due = next;
    }
    [(0, 1_000), (1, 100), (2, 900), (3, 2_000)].map(|(phase, steps)| percent(failed[phase], steps * ARRIVE))
}

#[test]
fn a_service_recovers_from_a_bad_second_only_with_a_budget() {
    let (free, bound) = (blip(None), blip(Some(0.2)));
    assert!(free[3] > 30.0, "repeats keep it down: {free:?}");
    assert!(bound[2] < 1.0 && bound[3] == 0.0, "{bound:?}");
    let row = |name: &str, failed: [f64; 4]| {
        let cells = failed.map(|share| format!("{share:.1} %"));
        [vec![name.to_owned()], cells.to_vec()].concat()
    };
    show(
        "Failed requests of a service at 90 % of its limit that is down for one second",
        &["repeats", "before", "in that second", "the 9 s after", "the 20 s after that"],
        &[row("no budget", free), row("budget 20 %", bound)],
    );
}
