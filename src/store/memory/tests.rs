use std::sync::Barrier;
use std::sync::atomic::AtomicU64 as Number;
use std::time::Duration;

use super::*;
use crate::store::{Algorithm, SystemClock};

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
    Limit { algorithm, limit, window_us, burst: limit }
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
    let day = limit(Algorithm::SlidingWindow, 1, 86_400_000_000);
    assert!(take(&memory, b"k", &day).admitted);
    let ticket = Ticket { at_us: u64::MAX / 8, origin: 0 };
    for _ in 0..100_000 {
        clock.pass(7);
        // Gives nothing back, and packs the state again.
        memory.give_back(b"k", &day, 1, ticket);
    }
    clock.pass(86_400_000_000 - 700_000 - 1_000_000);
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
