//! The machines against models that keep every hit.

mod changes;

use proptest::prelude::*;

use super::*;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::TokenBucket];

fn limit(algorithm: Algorithm, limit: u64, window_us: u64, burst: u64) -> Limit {
    Limit {
        algorithm,
        limit,
        window_us,
        burst: if algorithm == Algorithm::TokenBucket { burst } else { limit },
        slowest: limit,
    }
}

/// What a client does next: waits so long, asks for so much, and perhaps gives back the n-th last admission.
type Move = (u64, u64, Option<usize>);

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let wait = prop_oneof![3 => 0..20u64, 3 => 0..700u64, 1 => 0..40_000u64];
    let back = prop_oneof![4 => Just(None), 1 => (0..6usize).prop_map(Some)];
    prop::collection::vec((wait, 0..5u64, back), 1..300)
}

/// Plays the moves; gives the admissions that were kept, as (time, permits).
fn play(
    limit: &Limit,
    moves: &[Move],
    mut asked: impl FnMut(u64, u64, Verdict, &[(u64, u64)]),
) -> Vec<(u64, u64)> {
    let mut state = State::fresh(limit.algorithm);
    let mut kept: Vec<(u64, u64)> = Vec::new();
    let mut now = 1_000_000;
    for &(wait, cost, back) in moves {
        now += wait;
        let before = state.clone();
        let verdict = state.take(now, limit, cost);
        asked(now, cost, verdict, &kept);
        if verdict.admitted {
            kept.push((now, cost));
        } else {
            let mut later = before.clone();
            if cost <= limit.capacity() {
                let again = later.take(now + verdict.reset_us, limit, cost);
                assert!(again.admitted, "{verdict:?} was not true: {limit:?}");
            }
        }
        if let Some(back) = back
            && let Some(at) = kept.len().checked_sub(back + 1)
        {
            let (taken, cost) = std::mem::take(&mut kept[at]);
            if cost > 0 {
                state.give_back(now, limit, cost, taken);
            }
        }
    }
    kept.retain(|(_, cost)| *cost > 0);
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_sliding_window_never_holds_more_than_the_limit(
        moves in moves(), permits in 0..12u64, window in 1000..20_000u64,
    ) {
        let limit = limit(Algorithm::SlidingWindow, permits, window, 0);
        let kept = play(&limit, &moves, |_, _, _, _| {});
        for (at, _) in &kept {
            let held: u64 = kept.iter().filter(|(t, _)| t <= at && t + window > *at).map(|(_, c)| c).sum();
            prop_assert!(held <= permits, "{held} in the window that ends at {at}");
        }
    }

    #[test]
    fn a_sliding_window_refuses_only_for_hits_of_a_window_and_a_cell(
        moves in moves(), permits in 1..12u64, window in 1000..20_000u64,
    ) {
        let limit = limit(Algorithm::SlidingWindow, permits, window, 0);
        let moves: Vec<Move> = moves.into_iter().map(|(wait, cost, _)| (wait, cost, None)).collect();
        play(&limit, &moves, |now, cost, verdict, kept| {
            let longest = window + window / sliding_window::CELLS + 1;
            let held: u64 = kept.iter().filter(|(t, _)| t + longest > now).map(|(_, c)| c).sum();
            assert!(verdict.admitted || held + cost > permits, "refused with {held} of {permits} at {now}");
        });
    }

    #[test]
    fn a_fixed_window_never_holds_more_than_the_limit(
        moves in moves(), permits in 0..12u64, window in 1000..20_000u64,
    ) {
        let limit = limit(Algorithm::FixedWindow, permits, window, 0);
        let mut windows: Vec<u64> = Vec::new();
        // What is given back ends a window early where nothing is left in it.
        let moves: Vec<Move> = moves.into_iter().map(|(wait, cost, _)| (wait, cost, None)).collect();
        let kept = play(&limit, &moves, |now, cost, verdict, _| {
            if verdict.admitted && cost > 0 && windows.last().is_none_or(|start| start + window <= now) {
                windows.push(now);
            }
        });
        for start in windows {
            let held: u64 = kept.iter().filter(|(t, _)| (start..start + window).contains(t)).map(|(_, c)| c).sum();
            prop_assert!(held <= permits);
        }
    }

    #[test]
    fn a_token_bucket_never_gives_more_than_its_burst_and_what_was_refilled(
        moves in moves(), permits in 1..12u64, window in 1000..20_000u64, burst in 1..20u64,
    ) {
        let limit = limit(Algorithm::TokenBucket, permits, window, burst);
        let kept = play(&limit, &moves, |_, _, _, _| {});
        for (from, (start, _)) in kept.iter().enumerate() {
            let mut sum = 0;
            for (at, cost) in &kept[from..] {
                sum += cost;
                prop_assert!(sum <= burst + permits * (at - start) / window, "{sum} from {start} to {at}");
            }
        }
    }

    #[test]
    fn what_is_left_is_what_can_be_taken(moves in moves(), permits in 0..12u64, which in 0..3usize) {
        let limit = limit(ALGORITHMS[which], permits, 5000, permits + 3);
        let mut state = State::fresh(limit.algorithm);
        let mut now = 0;
        for (wait, cost, _) in moves {
            now += wait;
            let verdict = state.take(now, &limit, cost);
            prop_assert!(state.clone().take(now, &limit, verdict.remaining).admitted);
            prop_assert!(!state.clone().take(now, &limit, verdict.remaining + 1).admitted);
            if verdict.admitted && verdict.reset_us > 0 {
                prop_assert!(state.clone().take(now + verdict.reset_us, &limit, verdict.remaining + 1).admitted);
                prop_assert!(!state.clone().take(now + verdict.reset_us - 1, &limit, verdict.remaining + 1).admitted);
            }
        }
    }
}

#[test]
fn a_burst_comes_back_whole_after_exactly_a_window() {
    let limit = limit(Algorithm::SlidingWindow, 100, 60_000_000, 0);
    let mut state = State::fresh(limit.algorithm);
    for _ in 0..100 {
        assert!(state.take(7, &limit, 1).admitted);
    }
    assert_eq!(state.take(8, &limit, 1), Verdict { admitted: false, remaining: 0, reset_us: 59_999_999 });
    assert!(!state.clone().take(60_000_006, &limit, 1).admitted);
    assert!(state.take(60_000_007, &limit, 100).admitted);
}

#[test]
fn a_shorter_window_over_a_reload_does_not_keep_a_client_waiting_for_the_old_one() {
    for algorithm in ALGORITHMS {
        let day = limit(algorithm, 1, 86_400_000_000, 1);
        let minute = Limit { window_us: 60_000_000, ..day };
        let mut state = State::fresh(algorithm);
        assert!(state.take(5, &day, 1).admitted);
        let refused = state.take(6, &minute, 1);
        assert!(!refused.admitted && refused.reset_us <= 60_000_000, "{algorithm:?}: {refused:?}");
    }
}

#[test]
fn runs_of_the_longest_windows_are_joined_by_what_is_lost_and_never_forgotten() {
    // The product of a time and a count of permits is larger than 64 bits here.
    let limit = limit(Algorithm::SlidingWindow, u64::from(u32::MAX), u64::MAX >> 16, 0);
    let mut runs = Runs::default();
    let cell = limit.window_us / sliding_window::CELLS + 1;
    for number in 0..8 {
        assert!(runs.take(number * cell, &limit, 500_000_000).admitted);
    }
    runs.join_to(4);
    assert_eq!(runs.as_slice().len(), 4);
    assert_eq!(runs.used(8 * cell, limit.window_us), 4_000_000_000);
}
