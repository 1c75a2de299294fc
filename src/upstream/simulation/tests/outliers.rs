//! Endpoints that fail among many that do not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::upstream::endpoints::outlier::{Outlier, OutlierSettings, most_ejected};

#[derive(Default)]
struct Seen {
    failed: u64,
    /// Failed requests in the last half of the run.
    late: u64,
    /// The most endpoints that were out at once.
    out: usize,
    /// Good endpoints that were ejected.
    wronged: u64,
}

/// `failing` endpoints fail always, the others once in a hundred calls.
fn run(failing: usize, settings: Option<OutlierSettings>) -> Seen {
    let (clock, mut random) = (Clock::new(), fastrand::Rng::with_seed(13));
    let set: Vec<_> = (0..ENDPOINTS).map(|_| Outlier::new()).collect();
    let mut seen = Seen::default();
    // The ends of the ejections under way.
    let mut ends = BinaryHeap::new();
    for request in 0..REQUESTS {
        let now = clock.at(arrival(request));
        let mut picked = random.usize(..ENDPOINTS);
        while set[picked].ejected_until(now).is_some() {
            picked = random.usize(..ENDPOINTS);
        }
        if picked >= failing && random.u8(..100) > 0 {
            set[picked].success();
            continue;
        }
        seen.failed += 1;
        seen.late += u64::from(request >= REQUESTS / 2);
        let Some(settings) = settings else { continue };
        let most = most_ejected(settings.max_ejected, ENDPOINTS);
        while ends.peek().is_some_and(|Reverse(end)| *end <= now) {
            ends.pop();
        }
        if set[picked].failure(now, &settings, || ends.len() < most) {
            ends.extend(set[picked].ejected_until(now).map(Reverse));
            seen.out = seen.out.max(ends.len());
            seen.wronged += u64::from(picked >= failing);
        }
    }
    seen
}

#[test]
fn bad_endpoints_leave_and_good_ones_stay() {
    let mut rows = Vec::new();
    for failing in [0, 10, 100, 400, 600] {
        let (without, with) = (run(failing, None), run(failing, Some(OutlierSettings::default())));
        assert!(with.out <= ENDPOINTS / 2);
        assert_eq!(with.wronged, 0);
        if (10..=400).contains(&failing) {
            assert!(with.out >= failing, "all of them were out: {} of {failing}", with.out);
            assert!(with.late * 4 < without.late + REQUESTS / 25, "{} of {}", with.late, without.late);
        }
        rows.push(vec![
            format!("{} %", failing / 10),
            format!("{:.2} %", percent(without.failed, REQUESTS)),
            format!("{:.2} %", percent(with.failed, REQUESTS)),
            format!("{:.2} %", percent(with.late, REQUESTS / 2)),
            with.out.to_string(),
            with.wronged.to_string(),
        ]);
    }
    let head = [
        "endpoints that fail",
        "failed, no ejection",
        "failed, ejection",
        "of these in the last 50 s",
        "most out at once",
        "good ones ejected",
    ];
    show(
        "Outliers (1,000 endpoints, a million requests in 100 s; the good ones fail once in 100 calls)",
        &head,
        &rows,
    );
}
