use super::*;

use std::sync::atomic::AtomicU64;
use std::thread;

use proptest::prelude::*;

fn taken(budget: &Budget, asked: u64) -> u64 {
    (0..asked).filter(|_| budget.take()).count() as u64
}

#[test]
fn the_reserve_is_there_without_any_request_and_only_once() {
    let budget = Budget::new(0.2, 2);
    assert_eq!(taken(&budget, 1_000), RESERVE);
    assert_eq!(taken(&budget, 1_000), 0);
}

#[test]
fn every_fifth_request_pays_for_a_repeat_at_a_fifth() {
    let budget = Budget::new(0.2, 1);
    assert_eq!(taken(&budget, 1_000), RESERVE);
    for _ in 0..100 {
        for _ in 0..4 {
            budget.request(CoreId(0));
            assert!(!budget.take());
        }
        budget.request(CoreId(0));
        assert!(budget.take());
    }
}

#[test]
fn a_quiet_day_saves_no_storm() {
    let budget = Budget::new(0.2, 3);
    for request in 0..1_000_000 {
        budget.request(CoreId(request % 3));
    }
    assert_eq!(taken(&budget, 1_000_000), RESERVE + SAVED);
}

#[test]
fn nothing_but_the_reserve_at_no_share_and_no_more_than_one_a_request_at_too_much() {
    for (share, expected) in [(0.0, 0), (-3.0, 0), (f64::NAN, 0), (1.0, 50), (7.0, 50)] {
        let budget = Budget::new(share, 1);
        (0..50).for_each(|_| budget.request(CoreId(0)));
        assert_eq!(taken(&budget, 1_000), RESERVE + expected, "{share}");
    }
}

#[test]
fn an_unknown_core_counts_in_the_first_cell() {
    let budget = Budget::new(1.0, 2);
    budget.request(CoreId(9));
    assert_eq!(taken(&budget, 100), RESERVE + 1);
}

proptest! {
    /// Against the formula itself, with every request looked at as it comes.
    #[test]
    fn any_order_of_requests_and_repeats_gives_what_the_formula_says(
        percent in 0u64..=100,
        steps in prop::collection::vec((any::<bool>(), 0usize..4, 1u64..400), 1..60),
    ) {
        let budget = Budget::new(percent as f64 / 100.0, 4);
        let (mut credit, mut requests, mut extra) = (RESERVE * 100, 0, 0);
        for (ask, core, times) in steps {
            for _ in 0..times {
                if ask {
                    let allowed = budget.take();
                    prop_assert_eq!(allowed, credit >= 100);
                    if allowed {
                        credit -= 100;
                        extra += 1;
                    }
                } else {
                    budget.request(CoreId(core));
                    credit = (credit + percent).min((RESERVE + SAVED) * 100);
                    requests += 1;
                }
                prop_assert!(extra * 100 <= percent * requests + RESERVE * 100);
            }
        }
    }
}

#[test]
fn eight_cores_that_all_fail_stay_within_the_budget() {
    const CORES: usize = 8;
    const REQUESTS: u64 = 20_000;
    let (budget, extra) = (Budget::new(0.2, CORES), AtomicU64::new(0));
    thread::scope(|scope| {
        for core in 0..CORES {
            let (budget, extra) = (&budget, &extra);
            scope.spawn(move || {
                for _ in 0..REQUESTS {
                    budget.request(CoreId(core));
                    if budget.take() {
                        extra.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (extra, most) = (extra.into_inner(), CORES as u64 * REQUESTS / 5 + RESERVE);
    assert!(extra <= most, "{extra} of {most}");
    // Everybody asked all the time, so nothing earned was cut: it is all spent, but for what came after the last ask.
    assert!(extra + SAVED >= most, "{extra} of {most}");
}
