//! Budgets whose tier, or whose number of keys, changes.

use super::*;

/// A slow tier and a fast one of one limit, with one burst for both.
fn tiers(algorithm: Algorithm, window_us: u64) -> [Limit; 2] {
    let burst = |limit| if algorithm == Algorithm::TokenBucket { 50 } else { limit };
    [5, 50].map(|limit| Limit { algorithm, limit, window_us, burst: burst(limit), slowest: 5 })
}

#[test]
fn tiers_count_the_same_permits() {
    for algorithm in EVERY {
        let [slow, fast] = tiers(algorithm, 86_400_000_000);
        let memory = Memory::new(100, Manual::new());
        let spend = |limit: &Limit| (0..60).filter(|_| take(&memory, b"k", limit).admitted).count();
        let first = spend(&slow);
        assert_eq!((first, spend(&fast)), if slow.burst == 50 { (50, 0) } else { (5, 45) }, "{algorithm:?}");
        assert_eq!(spend(&slow), 0, "{algorithm:?}");
        let other = Memory::new(100, Manual::new());
        assert!((0..50).all(|_| take(&other, b"k", &fast).admitted));
        assert!(!take(&other, b"k", &slow).admitted, "{algorithm:?}");
        // Together in one step with another limit: the state is the same one.
        assert!(both((&other, &slow), (&memory, &fast), b"new").iter().all(|said| said.admitted));
    }
}

#[test]
fn a_bucket_is_kept_for_as_long_as_its_slowest_tier_counts_it() {
    let clock = Manual::new();
    let memory = Memory::new(100, clock.clone());
    let [slow, fast] = tiers(Algorithm::TokenBucket, 50_000_000);
    assert!((0..50).all(|_| take(&memory, b"k", &fast).admitted));
    // Fifty seconds refill all of it in the fast tier, and five permits in the slow one.
    clock.pass(50_000_000);
    for key in 0..50_u8 {
        take(&memory, &[key], &fast);
    }
    memory.tidy();
    assert!((0..5).all(|_| take(&memory, b"k", &slow).admitted));
    assert!(!take(&memory, b"k", &slow).admitted);
    clock.pass(500_000_000);
    memory.tidy();
    assert!(memory.is_empty());
}

#[test]
fn another_number_of_keys_keeps_what_is_counted() {
    for algorithm in EVERY {
        let memory = Memory::new(100_000, Manual::new());
        let limit = limit(algorithm, 5, 60_000_000);
        for key in 0..5000_u32 {
            assert_eq!(take(&memory, &key.to_be_bytes(), &limit).remaining, 4);
        }
        let (fewer, more) = (memory.resized(1000), memory.resized(200_000));
        assert_eq!(memory.len(), 5000, "nothing is given up before a new key comes");
        assert!((0..5000_u32).all(|key| take(&more, &key.to_be_bytes(), &limit).remaining == 3));
        for _ in 0..3 {
            assert!(take(&fewer, b"spent", &limit).admitted);
        }
        for key in 10_000..20_000_u32 {
            take(&fewer, &key.to_be_bytes(), &limit);
        }
        assert!(fewer.len() <= 1000, "{algorithm:?}: {}", fewer.len());
        assert_eq!(take(&memory, b"spent", &limit).remaining, 1, "{algorithm:?}");
    }
}
