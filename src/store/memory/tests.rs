use std::sync::Barrier;
use std::sync::atomic::AtomicU64 as Number;
use std::time::Duration;

use super::*;
use crate::store::{Algorithm, SystemClock};

#[cfg(feature = "models")]
mod threads;
mod tiers;

/// A clock that the test moves.
struct Manual {
    start: Instant,
    micros: Number,
}

impl Manual {
    fn new() -> Arc<Manual> {
        Arc::new(Manual { start: Instant::now(), micros: Number::new(0) })
    }

    fn pass(&self, micros: u64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

const EVERY: [Algorithm; 3] = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::TokenBucket];

fn limit(algorithm: Algorithm, limit: u64, window_us: u64) -> Limit {
    Limit { algorithm, limit, window_us, burst: limit, slowest: limit }
}

fn take(memory: &Memory, key: &[u8], limit: &Limit) -> Decision {
    match memory.take(key, limit, 1) {
        Taken::Ready(Ok(decision)) => decision,
        _ => panic!("memory never waits and is never away"),
    }
}

fn both(one: (&Memory, &Limit), other: (&Memory, &Limit), key: &[u8]) -> SmallVec<[Decision; 4]> {
    let mut out = SmallVec::new();
    let ask = |(memory, limit)| Ask { memory, key, limit, cost: 1 };
    take_all(&[ask(one), ask(other)], &mut out);
    out
}

#[test]
fn keys_have_budgets_of_their_own_and_what_is_given_back_is_there_again() {
    for algorithm in EVERY {
        let clock = Manual::new();
        let memory = Memory::new(100, clock.clone());
        let limit = limit(algorithm, 2, 1_000_000);
        let first = take(&memory, b"a", &limit);
        assert!(first.admitted && first.remaining == 1, "{algorithm:?}");
        assert!(take(&memory, b"a", &limit).admitted && take(&memory, b"b", &limit).admitted);
        assert!(!take(&memory, b"a", &limit).admitted);
        memory.give_back(b"a", &limit, 1, first.ticket);
        assert!(take(&memory, b"a", &limit).admitted, "{algorithm:?}");
        assert!(!take(&memory, b"a", &limit).admitted);
        memory.give_back(b"unknown", &limit, 1, first.ticket);
        // erl-mw-15: the answer came in the next window.
        let late = take(&memory, b"b", &limit).ticket;
        clock.pass(1_000_000);
        assert!(take(&memory, b"b", &limit).admitted);
        memory.give_back(b"b", &limit, 1, late);
        assert_eq!(take(&memory, b"b", &limit).remaining, 0, "{algorithm:?}: the new window is not lowered");
    }
}

#[test]
fn threads_admit_exactly_the_limit_and_refuse_nobody_falsely() {
    for algorithm in EVERY {
        // The window is far longer than the test, and a bucket refills nothing in it.
        let limit = limit(algorithm, 40_000, 86_400_000_000 * 30);
        let memory = Memory::new(1000, Arc::new(SystemClock));
        let (start, admitted) = (Barrier::new(4), Number::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..15_000 {
                        admitted
                            .fetch_add(u64::from(take(&memory, b"k", &limit).admitted), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 40_000, "{algorithm:?}");
    }
}

#[test]
fn a_thread_that_was_put_to_sleep_is_not_refused_for_it() {
    // One permit a microsecond of a clock that every reading moves: whoever reads it under the lock is admitted.
    struct Ticking(Instant, Number);
    impl Clock for Ticking {
        fn now(&self) -> Instant {
            self.0 + Duration::from_micros(self.1.fetch_add(1, Ordering::SeqCst))
        }
    }
    for algorithm in EVERY {
        let memory = Memory::new(10, Arc::new(Ticking(Instant::now(), Number::new(0))));
        // Hits of a sliding window come back up to a cell late: so much more is needed that there is always one left.
        let permits = if algorithm == Algorithm::SlidingWindow { 1040 } else { 1000 };
        let limit = limit(algorithm, permits, 1000);
        let refused = Number::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        refused
                            .fetch_add(u64::from(!take(&memory, b"k", &limit).admitted), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(refused.into_inner(), 0, "{algorithm:?}");
    }
}

#[test]
fn what_one_limit_refuses_takes_nothing_from_another_even_under_load() {
    let (wide, narrow) = (Memory::new(100, Arc::new(SystemClock)), Memory::new(100, Arc::new(SystemClock)));
    let wide_limit = limit(Algorithm::FixedWindow, 10_000, 3_600_000_000);
    let narrow_limit = limit(Algorithm::SlidingWindow, 10, 3_600_000_000);
    let admitted = Number::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (wide, narrow, admitted) = (&wide, &narrow, &admitted);
            scope.spawn(move || {
                for _ in 0..3000 {
                    // Half of them ask in the other order: nobody waits for anybody for ever.
                    let said = if thread % 2 == 0 {
                        both((wide, &wide_limit), (narrow, &narrow_limit), b"k")
                    } else {
                        both((narrow, &narrow_limit), (wide, &wide_limit), b"k")
                    };
                    admitted.fetch_add(u64::from(said.iter().all(|one| one.admitted)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 10);
    assert_eq!(take(&wide, b"k", &wide_limit).remaining, 10_000 - 11);
}

#[test]
fn what_stands_untouched_beside_a_refusal_is_told() {
    let (one, other) = (Memory::new(10, Manual::new()), Memory::new(10, Manual::new()));
    let (five, none) =
        (limit(Algorithm::SlidingWindow, 5, 60_000_000), limit(Algorithm::SlidingWindow, 0, 60_000_000));
    let said = both((&one, &five), (&other, &none), b"k");
    assert_eq!((said[0].admitted, said[0].remaining, said[0].reset_us), (true, 5, 0));
    assert!(!said[1].admitted && !said[1].possible);
}

#[test]
fn a_flood_of_fresh_keys_displaces_fresh_keys_and_no_spent_one() {
    for algorithm in EVERY {
        let memory = Memory::new(2000, Manual::new());
        let limit = limit(algorithm, 5, 60_000_000);
        for _ in 0..5 {
            assert!(take(&memory, b"near its limit", &limit).admitted);
        }
        for flood in 0..50_000_u32 {
            take(&memory, &flood.to_be_bytes(), &limit);
            assert!(memory.len() <= 2000);
        }
        assert!(memory.evicted() >= 48_000);
        assert!(!take(&memory, b"near its limit", &limit).admitted, "{algorithm:?}");
    }
}

#[test]
fn keys_that_are_over_are_freed_and_memory_is_given_back() {
    for algorithm in EVERY {
        let clock = Manual::new();
        let memory = Memory::new(100_000, clock.clone());
        let limit = limit(algorithm, 5, 1_000_000);
        for key in 0..20_000_u32 {
            take(&memory, &key.to_be_bytes(), &limit);
        }
        assert_eq!(memory.len(), 20_000, "{algorithm:?}");
        clock.pass(1_100_000);
        memory.tidy();
        assert!(memory.is_empty(), "{algorithm:?}: {}", memory.len());
    }
}

#[test]
fn many_runs_are_kept_exactly_and_joined_where_there_is_no_room_for_them() {
    let clock = Manual::new();
    let memory = Memory::new(64, clock.clone());
    let limit = limit(Algorithm::SlidingWindow, 32, 32_000_000);
    // Eight keys hit in every cell; four of them find room beside the table (a sixteenth of 64), the others join runs.
    for _ in 0..32 {
        for key in 0..8_u8 {
            assert!(take(&memory, &[key], &limit).admitted);
        }
        clock.pass(1_000_000);
    }
    // 32 seconds after the first hit: it is back for those that keep runs apart, and nobody has more than that.
    let back: Vec<bool> = (0..8_u8).map(|key| take(&memory, &[key], &limit).admitted).collect();
    assert_eq!(back.iter().filter(|back| **back).count(), 4, "{back:?}");
    for key in 0..8_u8 {
        assert!(!take(&memory, &[key], &limit).admitted);
    }
    clock.pass(32_000_000);
    assert!((0..8_u8).all(|key| take(&memory, &[key], &limit).remaining == 31), "all is back after a window");
}

#[test]
fn times_of_long_windows_do_not_drift_however_often_they_are_packed() {
    let clock = Manual::new();
    let memory = Memory::new(100, clock.clone());
    let day = limit(Algorithm::SlidingWindow, 2, 86_400_000_000);
    assert!(take(&memory, b"k", &day).admitted);
    clock.pass(2_700_000_000);
    for _ in 0..100_000 {
        clock.pass(7);
        // Both pack the state again, the run of the first hit with it.
        let second = take(&memory, b"k", &day);
        assert!(second.admitted);
        memory.give_back(b"k", &day, 1, second.ticket);
    }
    clock.pass(86_400_000_000 - 2_700_000_000 - 700_000 - 1_000_000);
    assert!(take(&memory, b"k", &day).admitted);
    assert!(!take(&memory, b"k", &day).admitted);
    clock.pass(1_000_100);
    assert!(take(&memory, b"k", &day).admitted);
}

#[test]
fn a_seed_counts_for_unknown_keys_alone() {
    let memory = Memory::new(100, Manual::new());
    let limit = limit(Algorithm::SlidingWindow, 5, 60_000_000);
    memory.seed(b"k", &limit, 3);
    memory.seed(b"k", &limit, 5);
    assert_eq!(take(&memory, b"k", &limit).remaining, 1);
}

#[test]
fn a_million_keys_fit_into_128_mebibytes() {
    // The table is at most four fifths full and ends at five quarters of its keys; runs beside it are a sixteenth.
    let table = 1_000_000 * 5 / 4 * size_of::<slot::Slot>();
    let beside = 1_000_000 / 16 * size_of::<(u8, [u64; 33])>();
    assert!(table + beside < (128 - 20) << 20, "{} MiB", (table + beside) >> 20);
}

#[test]
fn one_budget_asked_twice_in_one_step_pays_twice() {
    for algorithm in EVERY {
        let memory = Memory::new(100, Manual::new());
        let five = limit(algorithm, 5, 60_000_000);
        let mut out = SmallVec::new();
        let ask = |cost| Ask { memory: &memory, key: b"k", limit: &five, cost };
        take_all(&[ask(1), ask(5)], &mut out);
        assert_eq!([out[0].admitted, out[1].admitted], [true, false], "{algorithm:?}");
        assert_eq!(take(&memory, b"k", &five).remaining, 4, "a refusal takes nothing");
        take_all(&[ask(1), ask(3)], &mut out);
        assert_eq!([out[0].remaining, out[1].remaining], [3, 0], "{algorithm:?}");
        assert!(!take(&memory, b"k", &five).admitted);
    }
}

#[test]
fn a_time_that_is_rounded_over_the_border_of_a_cell_keeps_the_runs_in_order() {
    let clock = Manual::new();
    // No room beside the table but for one key, and cells that are no whole number of steps of the packed time.
    let memory = Memory::new(16, clock.clone());
    let limit = limit(Algorithm::SlidingWindow, 1000, 90_000_000_000);
    let cell = limit.window_us / 32;
    for _ in 0..6 {
        take(&memory, b"the one beside the table", &limit);
        take(&memory, b"k", &limit);
        clock.pass(cell);
    }
    clock.pass(cell - 10);
    assert!(take(&memory, b"k", &limit).admitted);
    clock.pass(3);
    assert_eq!(take(&memory, b"k", &limit).remaining, 1000 - 8);
}

#[test]
fn never_more_keys_than_allowed_and_hardly_fewer() {
    for most in [1, 7, 100, 5000] {
        let memory = Memory::new(most, Manual::new());
        let limit = limit(Algorithm::SlidingWindow, 5, 60_000_000);
        for key in 0..20_000_u32 {
            assert!(take(&memory, &key.to_be_bytes(), &limit).admitted);
            assert!(key % 100 > 0 || memory.len() <= most);
        }
        assert!(memory.len() <= most && memory.len() * 10 >= most * 8, "{} of {most}", memory.len());
    }
}

#[test]
fn all_keys_are_kept_while_there_is_room() {
    for algorithm in EVERY {
        let memory = Memory::new(1 << 16, Manual::new());
        let limit = limit(algorithm, 2, 60_000_000);
        for left in [1, 0] {
            for key in 0..20_000_u32 {
                assert_eq!(take(&memory, &key.to_be_bytes(), &limit).remaining, left);
            }
        }
        assert!((0..20_000_u32).all(|key| !take(&memory, &key.to_be_bytes(), &limit).admitted));
        assert_eq!((memory.len(), memory.evicted()), (20_000, 0));
    }
}

#[test]
fn keys_that_are_over_make_room_first() {
    for algorithm in EVERY {
        let clock = Manual::new();
        let memory = Memory::new(16, clock.clone());
        let limit = limit(algorithm, 5, 1_000_000);
        for key in 0..8_u32 {
            take(&memory, &key.to_be_bytes(), &limit);
        }
        clock.pass(900_000);
        for key in 100..108_u32 {
            // Four permits of a bucket are not refilled with the others' one.
            take(&memory, &key.to_be_bytes(), &limit);
            take(&memory, &key.to_be_bytes(), &limit);
        }
        clock.pass(100_001);
        for key in 200..208_u32 {
            take(&memory, &key.to_be_bytes(), &limit);
        }
        assert_eq!(memory.evicted(), 0, "{algorithm:?}: those that were over sufficed");
        for key in 100..108_u32 {
            assert!(
                take(&memory, &key.to_be_bytes(), &limit).remaining <= 3,
                "{algorithm:?}: {key} was kept"
            );
        }
    }
}

#[test]
fn a_table_that_is_tidied_is_small_again_and_still_finds_its_keys() {
    let clock = Manual::new();
    let memory = Memory::new(100_000, clock.clone());
    let places = || memory.counts.shards.iter().map(|shard| shard.lock().places()).sum::<usize>();
    let limit = limit(Algorithm::FixedWindow, 5, 1_000_000);
    for key in 0..50_000_u32 {
        if key % 500 > 0 {
            take(&memory, &key.to_be_bytes(), &limit);
        }
    }
    clock.pass(900_000);
    for key in (0..50_000_u32).step_by(500) {
        take(&memory, &key.to_be_bytes(), &limit);
    }
    let before = places();
    clock.pass(200_000);
    memory.tidy();
    assert_eq!(memory.len(), 100);
    assert!(places() * 10 < before, "{} of {before} places are left", places());
    for key in (0..50_000_u32).step_by(500) {
        assert_eq!(take(&memory, &key.to_be_bytes(), &limit).remaining, 3, "{key}");
    }
}

#[test]
fn the_table_agrees_with_a_plain_map_of_machines() {
    for algorithm in EVERY {
        let clock = Manual::new();
        // Room for all, and for the runs of all beside the table.
        let memory = Memory::new(16 * 300, clock.clone());
        let limit = limit(algorithm, 40, 320_000);
        let mut plain = std::collections::HashMap::new();
        let mut tickets = Vec::new();
        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..60_000_u32 {
            // A few keys are asked often enough to have many runs.
            let key = if random.bool() { random.u16(..20) } else { random.u16(20..300) };
            let cost = random.u64(..4);
            let Taken::Ready(Ok(said)) = memory.take(&key.to_be_bytes(), &limit, cost) else { panic!() };
            let now = clock.micros.load(Ordering::SeqCst);
            let state = plain.entry(key).or_insert_with(|| State::fresh(algorithm));
            let verdict = state.take(now, &limit, cost);
            assert_eq!(
                (said.admitted, said.remaining, said.reset_us),
                (verdict.admitted, verdict.remaining, verdict.reset_us),
                "{algorithm:?}: step {step}"
            );
            if said.admitted && cost > 0 {
                tickets.push((key, cost, said.ticket));
            }
            if random.u8(..4) == 0 && !tickets.is_empty() {
                let (key, cost, ticket) = tickets.swap_remove(random.usize(..tickets.len()));
                memory.give_back(&key.to_be_bytes(), &limit, cost, ticket);
                let state = plain.entry(key).or_insert_with(|| State::fresh(algorithm));
                state.give_back(now, &limit, cost, ticket.at_us);
            }
            if step % 5000 == 0 {
                memory.tidy();
            }
            clock.pass(random.u64(..300));
        }
    }
}

#[test]
fn a_clock_before_the_start_and_the_longest_windows_do_no_harm() {
    struct Early(Instant, Number);
    impl Clock for Early {
        fn now(&self) -> Instant {
            let calls = self.1.fetch_add(1, Ordering::SeqCst);
            if calls == 0 { self.0 } else { self.0.checked_sub(Duration::from_millis(5)).unwrap_or(self.0) }
        }
    }
    for algorithm in EVERY {
        let memory = Memory::new(10, Arc::new(Early(Instant::now(), Number::new(0))));
        let limit = limit(algorithm, 1, u64::MAX >> 16);
        assert!(take(&memory, b"k", &limit).admitted);
        let refused = take(&memory, b"k", &limit);
        assert!(!refused.admitted && refused.reset_us > 0, "{algorithm:?}");
    }
}
