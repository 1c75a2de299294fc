//! Spent permits stay permits when the limit, the window, the burst, the tier or the algorithm changes: the machines
//! against plain models that keep every hit.

use super::*;

/// A step: the time since the one before, the cost, and which of the limits judges it.
type Judged = (u64, u64, usize);

fn steps() -> impl Strategy<Value = Vec<Judged>> {
    let wait = prop_oneof![3 => 0..20u64, 3 => 0..900u64, 1 => 0..30_000u64];
    prop::collection::vec((wait, 0..5u64, 0..4usize), 1..200)
}

/// Four limits that follow each other over one key.
fn limits(which: impl Strategy<Value = usize> + Clone) -> impl Strategy<Value = Vec<Limit>> {
    let one = (which, 1..14u64, 1000..20_000u64, 1..20u64)
        .prop_map(|(which, permits, window, burst)| limit(ALGORITHMS[which], permits, window, burst));
    prop::collection::vec(one, 4)
}

/// Plays the steps. `check` gets the time, the cost, the limit in force, the verdict, and the hits admitted before.
/// Whatever the state was before the change, every time that is given is true, to the microsecond, in both directions.
fn run(limits: &[Limit], steps: &[Judged], mut check: impl FnMut(u64, u64, &Limit, Verdict, &[(u64, u64)])) {
    let mut state = State::fresh(limits[0].algorithm);
    let (mut now, mut hits) = (1_000_000, Vec::new());
    for &(wait, cost, which) in steps {
        now += wait;
        let limit = &limits[which];
        let before = state.clone();
        let verdict = state.take(now, limit, cost);
        let after = state.clone();
        if !verdict.admitted || cost == 0 {
            // As the stores do: what takes nothing is not kept.
            state = before.clone();
        }
        let (asked, wanted) = match verdict.admitted {
            true => (&after, verdict.remaining + 1),
            false => (&before, cost),
        };
        if verdict.reset_us > 0 && wanted <= limit.capacity() {
            let then = now + verdict.reset_us;
            assert!(asked.clone().take(then, limit, wanted).admitted, "{verdict:?} is too early: {limit:?}");
            let sooner = asked.clone().take(then - 1, limit, wanted);
            assert!(!sooner.admitted, "{verdict:?} is too late: {limit:?}");
            // A refused request in between changes nothing.
            let mut between = asked.clone();
            assert!(!between.take(now + verdict.reset_us / 2, limit, wanted).admitted);
        }
        check(now, cost, limit, verdict, &hits);
        if verdict.admitted && cost > 0 {
            hits.push((now, cost));
        }
    }
}

fn sum<'a>(hits: impl Iterator<Item = &'a (u64, u64)>) -> u64 {
    hits.map(|(_, cost)| cost).sum()
}

/// The debt of a bucket at `now` that sees these hits, in permits times the window.
fn debt(hits: &[(u64, u64)], now: u64, limit: &Limit) -> u128 {
    let refilled = |from: u64, to: u64| u128::from(to - from) * u128::from(limit.limit);
    let mut debt = 0_u128;
    let mut last = hits.first().map_or(now, |(at, _)| *at);
    for (at, cost) in hits {
        debt = debt.saturating_sub(refilled(last, *at)) + u128::from(*cost) * u128::from(limit.window_us);
        last = *at;
    }
    debt.saturating_sub(refilled(last, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_sliding_window_counts_what_was_spent_within_the_window_in_force(
        steps in steps(), limits in limits(0..1usize),
    ) {
        let longest = limits.iter().map(|limit| limit.window_us).max().unwrap();
        let mut forgotten = 0;
        run(&limits, &steps, |now, cost, limit, verdict, hits| {
            let (window, cell) = (limit.window_us, longest.div_ceil(sliding_window::CELLS));
            // A shorter window lets go of what lies outside it when a hit is counted, and a longer one later does not
            // find it again.
            let held = sum(hits.iter().filter(|(at, _)| at + window > now && *at >= forgotten));
            if verdict.admitted && cost > 0 {
                assert!(held + cost <= limit.limit, "{held} and {cost} of {limit:?}");
                forgotten = forgotten.max((now + 1).saturating_sub(window));
            }
            // At most a cell of an earlier window and a cell of this one late.
            let counted = sum(hits.iter().filter(|(at, _)| at + window + 2 * cell > now));
            assert!(verdict.remaining >= limit.limit.saturating_sub(counted + cost), "{verdict:?} of {limit:?}");
        });
    }

    #[test]
    fn a_fixed_window_counts_what_was_spent_since_it_started(
        steps in steps(), windows in prop::collection::vec(1..14u64, 4), window in 1000..20_000u64,
    ) {
        // Tiers: one window, four limits.
        let limits: Vec<Limit> =
            windows.iter().map(|permits| limit(Algorithm::FixedWindow, *permits, window, 0)).collect();
        let mut start = 0;
        run(&limits, &steps, |now, cost, limit, verdict, hits| {
            let spent = sum(hits.iter().filter(|(at, _)| *at >= start && start + window > now));
            assert_eq!(verdict.admitted, cost == 0 || spent + cost <= limit.limit, "{spent} of {limit:?}");
            if verdict.admitted && cost > 0 && start + window <= now {
                start = now;
            }
        });
    }

    #[test]
    fn another_length_of_a_fixed_window_keeps_its_hits_and_counts_none_longer_than_that_after_the_last(
        steps in steps(), limits in limits(1..2usize),
    ) {
        run(&limits, &steps, |now, cost, limit, verdict, hits| {
            let window = limit.window_us;
            // What fits into one window of the length in force is counted until that window ends.
            let last = hits.last().map_or(0, |(at, _)| *at);
            if last + window <= now {
                assert_eq!(verdict.admitted, cost <= limit.limit);
            }
            let at_once = sum(hits.iter().filter(|(at, _)| *at == last));
            if !hits.is_empty() && last + window > now && cost > 0 && verdict.admitted && last == now {
                assert!(at_once + cost <= limit.limit, "{at_once} and {cost} at {now} of {limit:?}");
            }
            assert!(verdict.reset_us <= window);
        });
    }

    #[test]
    fn a_bucket_owes_the_same_permits_at_every_rate_and_burst(
        steps in steps(), limits in limits(2..3usize),
    ) {
        // The model: permits owed, as a fraction over the product of all windows, so that nothing is rounded.
        let unit: u128 = limits.iter().map(|limit| u128::from(limit.window_us)).product();
        let (mut owed, mut since, mut changes, mut before) = (0_u128, 0_u64, 0_u128, 0_u64);
        run(&limits, &steps, |now, cost, limit, verdict, _| {
            let rate = u128::from(limit.limit) * (unit / u128::from(limit.window_us));
            let left = owed.saturating_sub(u128::from(now - since) * rate);
            let after = left + u128::from(cost) * unit;
            let whole = u128::from(limit.burst) * unit;
            changes += u128::from(before != limit.window_us);
            before = limit.window_us;
            // Each change of the window may have rounded a part of a permit up, by less than a thousandth here.
            let most = changes * unit / 1000;
            if cost > 0 {
                assert!(!verdict.admitted || after <= whole, "admitted beyond {limit:?}");
                assert!(verdict.admitted || after + most > whole, "refused within {limit:?}");
            }
            if verdict.admitted && cost > 0 {
                (owed, since) = (after, now);
            }
            if !verdict.admitted && cost <= limit.burst {
                let longest = (after + most - whole).div_ceil(rate);
                assert!(u128::from(verdict.reset_us) <= longest, "longer than the permits take to drain");
            }
        });
    }

    #[test]
    fn no_interval_holds_more_than_the_burst_in_force_and_the_fastest_refill(
        steps in steps(), limits in limits(2..3usize),
    ) {
        let fast = |limit: &&Limit| u128::from(limit.limit) * 1_000_000_000_000 / u128::from(limit.window_us);
        let fastest = *limits.iter().max_by_key(fast).unwrap();
        run(&limits, &steps, |now, cost, limit, verdict, hits| {
            if !verdict.admitted || cost == 0 {
                return;
            }
            let mut total = cost;
            for (at, cost) in hits.iter().rev() {
                total += cost;
                // Rounded up, because the time of the fastest refill may be measured in parts.
                let refilled = ((now - at) * fastest.limit).div_ceil(fastest.window_us);
                assert!(total <= limit.burst + refilled, "{total} from {at} to {now}: {limit:?}");
            }
        });
    }

    #[test]
    fn whatever_changes_the_times_that_are_given_are_true(steps in steps(), limits in limits(0..3usize)) {
        run(&limits, &steps, |_, cost, limit, verdict, hits| {
            if limit.algorithm != Algorithm::TokenBucket {
                assert!(verdict.reset_us <= limit.window_us, "{verdict:?}");
            } else if !verdict.admitted && cost <= limit.burst {
                let all = (u128::from(sum(hits.iter()) + cost)) * u128::from(limit.window_us);
                assert!(u128::from(verdict.reset_us) <= all.div_ceil(u128::from(limit.limit)), "{verdict:?}");
            }
        });
    }

    #[test]
    fn another_algorithm_gives_no_new_budget(
        steps in steps(), permits in 1..12u64, from in 0..3usize, to in 0..3usize,
    ) {
        let before = limit(ALGORITHMS[from], permits, 5000, permits);
        let after = limit(ALGORITHMS[to], permits, 5000, permits);
        let mut state = State::fresh(before.algorithm);
        let (mut now, mut hits) = (0, Vec::new());
        for (wait, cost, _) in steps {
            now += wait;
            if state.take(now, &before, cost).admitted && cost > 0 {
                hits.push((now, cost));
            }
        }
        let used = state.used(now, &before);
        let verdict = state.clone().take(now, &after, 0);
        // A bucket sees the hits that the state holds as though it had been in force when they came.
        let held: Vec<(u64, u64)> = match before.algorithm {
            Algorithm::SlidingWindow => hits.iter().filter(|(at, _)| at + 5000 > now).copied().collect(),
            Algorithm::FixedWindow => {
                let mut rest = used;
                let of_window = |(_, cost): &&(u64, u64)| {
                    let counts = rest > 0;
                    rest = rest.saturating_sub(*cost);
                    counts
                };
                let mut held: Vec<_> = hits.iter().rev().take_while(of_window).copied().collect();
                held.reverse();
                held
            }
            Algorithm::TokenBucket => hits,
        };
        let least = match after.algorithm {
            Algorithm::TokenBucket => debt(&held, now, &after) as u64 / 5000,
            _ => used,
        };
        prop_assert!(verdict.remaining <= permits.saturating_sub(least), "{verdict:?}: {least} are spent");
    }
}

fn bucket(limit_: u64, burst: u64) -> Limit {
    limit(Algorithm::TokenBucket, limit_, 3_600_000_000, burst)
}

#[test]
fn a_faster_tier_waits_no_longer_than_its_own_refill() {
    let (slow, fast) = (bucket(600, 50), bucket(6000, 50));
    let mut state = State::fresh(Algorithm::TokenBucket);
    assert!((0..50).all(|_| state.take(0, &slow, 1).admitted));
    assert_eq!(state.take(0, &slow, 1).reset_us, 6_000_000);
    let refused = state.take(0, &fast, 1);
    assert_eq!((refused.admitted, refused.reset_us), (false, 600_000));
    assert!(!state.take(599_999, &fast, 1).admitted);
    assert!(state.take(600_000, &fast, 1).admitted);
}

#[test]
fn a_slower_tier_sees_what_was_spent_at_the_faster_one() {
    let (slow, fast) = (bucket(600, 50), bucket(6000, 50));
    let mut state = State::fresh(Algorithm::TokenBucket);
    assert!((0..50).all(|_| state.take(0, &fast, 1).admitted));
    let refused = state.take(0, &slow, 1);
    assert_eq!((refused.admitted, refused.remaining, refused.reset_us), (false, 0, 6_000_000));
    assert!(state.take(6_000_000, &slow, 1).admitted);
}

#[test]
fn a_smaller_burst_does_not_forgive_what_was_spent() {
    let (large, small) = (bucket(600, 100), bucket(600, 10));
    let mut state = State::fresh(Algorithm::TokenBucket);
    assert!(state.take(0, &large, 100).admitted);
    let refused = state.take(0, &small, 1);
    assert_eq!((refused.admitted, refused.remaining, refused.reset_us), (false, 0, 91 * 6_000_000));
    assert!(state.take(0, &bucket(600, 130), 30).admitted, "a larger one adds its own permits alone");
}

#[test]
fn a_shortened_fixed_window_does_not_move_its_end_with_every_refusal() {
    let hour = limit(Algorithm::FixedWindow, 2, 3_600_000_000, 0);
    let minute = Limit { window_us: 60_000_000, ..hour };
    let mut state = State::fresh(Algorithm::FixedWindow);
    assert!(state.take(0, &hour, 1).admitted && state.take(1_800_000_000, &hour, 1).admitted);
    for wait in 0..60 {
        let refused = state.take(1_800_000_000 + wait * 1_000_000, &minute, 1);
        assert_eq!((refused.admitted, refused.reset_us), (false, (60 - wait) * 1_000_000));
    }
    assert!(state.take(1_860_000_000, &minute, 2).admitted);
}

#[test]
fn a_lengthened_window_does_not_forget_what_it_holds() {
    for algorithm in [Algorithm::SlidingWindow, Algorithm::FixedWindow] {
        let minute = limit(algorithm, 5, 60_000_000, 0);
        let hour = Limit { window_us: 3_600_000_000, ..minute };
        let mut state = State::fresh(algorithm);
        assert!(state.take(0, &minute, 5).admitted);
        let refused = state.take(120_000_000, &hour, 1);
        assert_eq!((refused.admitted, refused.reset_us), (false, 3_480_000_000), "{algorithm:?}");
    }
}

#[test]
fn runs_of_a_shorter_window_are_joined_by_the_cells_of_the_longer_one() {
    let short = limit(Algorithm::SlidingWindow, 1000, 32_000, 0);
    let long = Limit { window_us: 64_000, ..short };
    let mut state = State::fresh(Algorithm::SlidingWindow);
    for cell in 0..32 {
        assert!(state.take(cell * 1000, &short, 10).admitted);
    }
    for cell in 32..63 {
        assert!(state.take(cell * 1000, &long, 10).admitted);
    }
    // The first hits are back a window after they came, or a cell of two milliseconds later.
    assert_eq!(state.used(64_000 + 2000, &long), 630 - 20);
    assert_eq!(state.used(63_999, &long), 630);
}
