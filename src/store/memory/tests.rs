use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

struct Manual {
    base: Instant,
    nanos: AtomicU64,
}

impl Manual {
    fn new() -> Manual {
        Manual { base: Instant::now() + Duration::from_secs(1), nanos: AtomicU64::new(0) }
    }

    fn advance(&self, by: Duration) {
        self.nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        self.base + Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

const MS: Duration = Duration::from_millis(1);

fn limit(limit: u64, window_ms: u64) -> Limit {
    Limit { limit, window_ms }
}

fn take(store: &MemoryStore, key: &[u8], limit: Limit, clock: &Manual) -> Decision {
    match store.take(key, limit, clock) {
        Taken::Ready(decision) => decision,
        Taken::Wait(_) => panic!("memory never waits"),
    }
}

#[test]
fn a_window_admits_its_limit_and_starts_anew_with_the_first_hit_after_it() {
    let (store, clock) = (MemoryStore::new(10), Manual::new());
    let three = limit(3, 1000);
    for left in [2, 1, 0] {
        let decision = take(&store, b"k", three, &clock);
        assert_eq!(decision, Decision { admitted: true, remaining: left, reset_ms: 1000 });
    }
    clock.advance(MS * 400);
    assert_eq!(take(&store, b"k", three, &clock), Decision { admitted: false, remaining: 0, reset_ms: 600 });
    clock.advance(MS * 599 + Duration::from_micros(999));
    assert_eq!(
        take(&store, b"k", three, &clock),
        Decision { admitted: false, remaining: 0, reset_ms: 1 },
        "never 0 while refused"
    );
    clock.advance(Duration::from_micros(1) + MS * 5000);
    assert_eq!(
        take(&store, b"k", three, &clock),
        Decision { admitted: true, remaining: 2, reset_ms: 1000 },
        "the window begins with the hit, not at a multiple of its length"
    );
}

#[test]
fn the_end_of_a_window_belongs_to_the_next() {
    let (store, clock) = (MemoryStore::new(10), Manual::new());
    assert!(take(&store, b"k", limit(1, 1000), &clock).admitted);
    clock.advance(MS * 1000);
    assert!(take(&store, b"k", limit(1, 1000), &clock).admitted);
}

#[test]
fn keys_are_apart() {
    let (store, clock) = (MemoryStore::new(10), Manual::new());
    assert!(take(&store, b"a", limit(1, 1000), &clock).admitted);
    assert!(take(&store, b"b", limit(1, 1000), &clock).admitted);
    assert!(take(&store, b"", limit(1, 1000), &clock).admitted);
    assert!(!take(&store, b"a", limit(1, 1000), &clock).admitted);
}

#[test]
fn a_limit_of_nothing_admits_nobody_and_a_lower_limit_counts_what_was_spent() {
    let (store, clock) = (MemoryStore::new(10), Manual::new());
    let none = take(&store, b"none", limit(0, 1000), &clock);
    assert_eq!(none, Decision { admitted: false, remaining: 0, reset_ms: 1000 });
    for _ in 0..5 {
        take(&store, b"k", limit(10, 1000), &clock);
    }
    assert_eq!(take(&store, b"k", limit(4, 1000), &clock).remaining, 0);
    assert_eq!(take(&store, b"k", limit(10, 1000), &clock).remaining, 4, "a refusal spends nothing");
}

#[test]
fn a_clock_before_the_store_and_huge_windows_do_no_harm() {
    let store = MemoryStore::new(10);
    let clock = Manual { base: Instant::now() - Duration::from_millis(5), nanos: AtomicU64::new(0) };
    assert!(take(&store, b"k", limit(1, u64::MAX), &clock).admitted);
    assert!(!take(&store, b"k", limit(1, u64::MAX), &clock).admitted);
    assert!(take(&store, b"z", limit(1, 0), &clock).reset_ms > 0);
}

#[test]
fn many_threads_never_get_more_nor_less_than_the_limit() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 500;
    const LIMIT: u64 = 1000;
    let (store, clock) = (MemoryStore::new(1000), Manual::new());
    for _ in 0..20 {
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        let decision = take(&store, b"shared", limit(LIMIT, 1000), &clock);
                        admitted.fetch_add(u64::from(decision.admitted), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), LIMIT);
        clock.advance(MS * 1000);
    }
}

#[test]
fn a_clock_that_runs_meanwhile_denies_nobody_falsely() {
    // Every reading of the clock moves it on by one window: read under the lock, each decision sees its own new
    // window and must admit. Read before the lock, a late thread would bring an old time and be refused.
    struct Running(Manual);
    impl Clock for Running {
        fn now(&self) -> Instant {
            self.0.advance(MS * 10);
            self.0.now()
        }
    }
    let (store, clock) = (MemoryStore::new(1000), Running(Manual::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let Taken::Ready(decision) = store.take(b"k", limit(1, 10), &clock) else { panic!() };
                    assert!(decision.admitted);
                }
            });
        }
    });
}

#[test]
fn the_store_never_holds_more_than_its_bound() {
    for max in [1, 7, 100, 5000] {
        let (store, clock) = (MemoryStore::new(max), Manual::new());
        for key in 0..20_000u32 {
            assert!(take(&store, &key.to_be_bytes(), limit(5, 60_000), &clock).admitted);
        }
        assert!(store.len() <= max, "{} of {max}", store.len());
        assert!(store.len() * 10 >= max * 8, "{} of {max}", store.len());
    }
}

#[test]
fn all_keys_are_kept_while_there_is_room() {
    let (store, clock) = (MemoryStore::new(1 << 17), Manual::new());
    for round in 0..3u64 {
        for key in 0..20_000u32 {
            let decision = take(&store, &key.to_be_bytes(), limit(3, 60_000), &clock);
            assert_eq!((decision.admitted, decision.remaining), (true, 2 - round));
        }
    }
    for key in 0..20_000u32 {
        assert!(!take(&store, &key.to_be_bytes(), limit(3, 60_000), &clock).admitted);
    }
    assert_eq!(store.len(), 20_000);
}

#[test]
fn a_flood_of_fresh_keys_does_not_give_a_spent_budget_back() {
    let (store, clock) = (MemoryStore::new(500), Manual::new());
    for _ in 0..5 {
        take(&store, b"spent", limit(5, 60_000), &clock);
    }
    for key in 0..50_000u32 {
        take(&store, &key.to_be_bytes(), limit(5, 60_000), &clock);
    }
    assert!(!take(&store, b"spent", limit(5, 60_000), &clock).admitted);
}

#[test]
fn expired_keys_make_room_first() {
    let (store, clock) = (MemoryStore::new(16), Manual::new());
    for key in 0..8u32 {
        take(&store, &key.to_be_bytes(), limit(5, 10), &clock);
    }
    let kept: Vec<_> = (1000..1008u32).collect();
    for key in &kept {
        take(&store, &key.to_be_bytes(), limit(5, 60_000), &clock);
    }
    clock.advance(MS * 10);
    for key in 2000..2008u32 {
        take(&store, &key.to_be_bytes(), limit(5, 60_000), &clock);
    }
    for key in kept {
        assert_eq!(take(&store, &key.to_be_bytes(), limit(5, 60_000), &clock).remaining, 3, "{key}");
    }
}

#[test]
fn the_sweep_clears_what_has_expired() {
    let (store, clock) = (MemoryStore::new(100_000), Manual::new());
    for round in 0..100u32 {
        for key in 0..100u32 {
            take(&store, &(round * 100 + key).to_be_bytes(), limit(5, 10), &clock);
        }
        clock.advance(MS * 10);
    }
    assert!(store.len() < 1000, "{} of 10000 keys are left", store.len());
}

#[test]
fn the_table_agrees_with_a_plain_map() {
    let clock = Manual::new();
    let store = MemoryStore::new(900);
    let mut plain = std::collections::HashMap::new();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..50_000 {
        let key = random.u16(..600).to_be_bytes();
        let window = random.u64(1..200);
        let now = clock.nanos.load(Ordering::SeqCst);
        let decision = take(&store, &key, limit(4, window), &clock);
        let entry = plain.entry(key).or_insert((0u64, 0u64));
        if entry.0 <= now {
            *entry = (now + window * NANOS_PER_MILLI, 0);
        }
        let admitted = entry.1 < 4;
        entry.1 += u64::from(admitted);
        assert_eq!(decision.admitted, admitted);
        assert_eq!(decision.remaining, 4 - entry.1);
        clock.advance(Duration::from_micros(random.u64(..500)));
    }
}
