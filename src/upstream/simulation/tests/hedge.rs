//! Slow answers, and a second call for them.

use super::*;
use crate::exchange::CoreId;
use crate::upstream::call::budget::{Budget, RESERVE};
use crate::upstream::limits::hedge::HedgeDelay;

/// An answer in 5 to 15 ms, but for `slow` of them, which take 0.5 to 1.5 s.
fn answer(random: &mut fastrand::Rng, slow: f64) -> Duration {
    let time = Duration::from_micros(random.u64(5_000..15_000));
    if random.f64() < slow { time * 100 } else { time }
}

/// The 99 and the 99.9 percent quantile of the requests' times, and how many were hedged.
fn run(slow: f64, hedged: bool) -> ([Duration; 2], u64) {
    let (clock, mut random) = (Clock::new(), fastrand::Rng::with_seed(17));
    let (hedge, budget) = (HedgeDelay::new(0.95, CORES), Budget::new(0.1, CORES));
    let (mut times, mut extra) = (Vec::with_capacity(REQUESTS as usize), 0);
    for request in 0..REQUESTS {
        let (now, core) = (clock.at(arrival(request)), CoreId(request as usize % CORES));
        budget.request(core);
        let mut time = answer(&mut random, slow);
        if let Some(delay) = hedge.delay(now).filter(|delay| hedged && time > *delay)
            && budget.take()
        {
            extra += 1;
            time = time.min(delay + answer(&mut random, slow));
        }
        // The first call is left when the second is faster; the time it was left at is all that is known of it.
        hedge.observe(core, time, now);
        times.push(time);
    }
    let quantiles = [0.99, 0.999].map(|share| {
        let rank = (REQUESTS as f64 * share) as usize - 1;
        *times.select_nth_unstable(rank).1
    });
    (quantiles, extra)
}

#[test]
fn hedges_cut_a_thin_tail_and_stay_within_their_budget() {
    let mut rows = Vec::new();
    for slow in [0.0, 0.01, 0.03, 0.1] {
        let ((without, _), (with, extra)) = (run(slow, false), run(slow, true));
        assert!(extra <= REQUESTS / 10 + RESERVE);
        if slow == 0.01 {
            assert!(with[1] < without[1] / 10);
        }
        let time = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1_000.0);
        rows.push(vec![
            format!("{} %", slow * 100.0),
            time(without[0]),
            time(with[0]),
            time(without[1]),
            time(with[1]),
            format!("{:.1} %", percent(extra, REQUESTS)),
        ]);
    }
    let head =
        ["slow answers", "p99, no hedge", "p99, hedge", "p99.9, no hedge", "p99.9, hedge", "calls more"];
    show("Hedges after p95, at most 10 % (a million requests; 10 ms, slow ones 1 s)", &head, &rows);
}
