use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::config::CacheBounds as Bounds;
use crate::exchange::testing::Builder;
use crate::exchange::{Headers, Scheme};

fn key(number: u64) -> Key {
    Key::of([number.to_le_bytes().as_slice()])
}

fn entry(body: impl Into<Bytes>) -> Entry {
    Entry {
        status: StatusCode::OK,
        headers: Headers::new(),
        body: body.into(),
        stored: Instant::now(),
        age: Duration::ZERO,
        lifetime: Duration::from_secs(10),
        keep: Duration::from_secs(5),
    }
}

#[test]
fn an_entry_is_fresh_then_stale_then_over() {
    let entry = Entry { age: Duration::from_secs(4), ..entry("") };
    let after = |seconds| entry.stored + Duration::from_secs(seconds);
    for (seconds, age, fresh, kept, staleness) in
        [(0, 4, true, true, 0), (5, 9, true, true, 0), (6, 10, false, true, 0), (10, 14, false, true, 4)]
    {
        let now = after(seconds);
        assert_eq!(entry.age(now).as_secs(), age);
        assert_eq!((entry.is_fresh(now), entry.is_kept(now)), (fresh, kept), "after {seconds}");
        assert_eq!(entry.staleness(now).as_secs(), staleness);
    }
    assert!(!entry.is_kept(after(11)));
}

#[test]
fn what_is_stored_is_found_until_it_is_removed() {
    let cache = Cache::new(1 << 20);
    assert!(cache.get(&key(1)).is_none());
    assert!(cache.put(key(1), entry("one")));
    assert!(cache.put(key(2), entry("two")));
    assert!(cache.put(key(1), entry("other")));
    assert_eq!(cache.get(&key(1)).unwrap().body, "other");
    cache.remove(&key(1));
    assert!(cache.get(&key(1)).is_none());
    cache.count(&key(2), Outcome::Hit);
    cache.count(&key(3), Outcome::Miss);
    cache.count(&key(3), Outcome::Stale);
    let numbers = cache.statistics();
    assert_eq!((numbers.hits, numbers.misses, numbers.stale), (1, 1, 1));
    assert_eq!((numbers.stores, numbers.evictions, numbers.entries), (3, 0, 1));
    cache.remove(&key(2));
    assert_eq!(cache.statistics().bytes, 0);
}

#[test]
fn what_is_too_large_is_not_stored_and_changes_nothing() {
    let cache = Cache::bounded(Bounds { max_size: 1 << 20, max_entry: 1000 });
    assert!(cache.put(key(1), entry("small")));
    assert!(!cache.put(key(1), entry(vec![0; 1000])));
    let mut headers = Headers::new();
    headers.append("x", &[b'a'; 1000]).unwrap();
    assert!(!cache.put(key(1), Entry { headers, ..entry("") }));
    assert_eq!(cache.get(&key(1)).unwrap().body, "small");
    // Not even where one entry may take it all.
    assert!(!Cache::new(100).put(key(1), entry("")));
}

#[test]
fn a_small_part_of_a_large_buffer_takes_what_it_says() {
    let cache = Cache::new(1 << 20);
    let large = Bytes::from(vec![7; 100_000]);
    cache.put(key(1), entry(large.slice(10..20)));
    assert!(large.is_unique());
    let mut own = BytesMut::with_capacity(100_000);
    own.extend_from_slice(b"abc");
    cache.put(key(2), entry(own.freeze()));
    let held = (*cache.get(&key(2)).unwrap()).clone();
    drop(cache);
    assert!(held.body.try_into_mut().unwrap().capacity() < 100);
}

#[test]
fn smaller_bounds_hold_at_once() {
    let cache = Cache::new(1 << 20);
    for number in 0..100 {
        cache.put(key(number), entry(vec![0; 5000]));
    }
    cache.resize(Bounds { max_size: 20_000, max_entry: 4000 });
    let numbers = cache.statistics();
    assert!(numbers.bytes <= 20_000 && numbers.entries > 0, "{numbers:?}");
    assert!(!cache.put(key(1), entry(vec![0; 5000])));
    cache.resize(Bounds { max_size: 0, max_entry: 0 });
    assert_eq!(cache.statistics().entries, 0);
}

#[test]
fn tidying_forgets_what_is_over() {
    let cache = Cache::new(64 << 20);
    for number in 0..1000 {
        cache.put(key(number), entry("x"));
    }
    let now = Instant::now();
    cache.tidy(now + Duration::from_secs(14));
    assert_eq!(cache.statistics().entries, 1000);
    cache.tidy(now + Duration::from_secs(16));
    let numbers = cache.statistics();
    assert_eq!((numbers.entries, numbers.bytes, numbers.evictions), (0, 0, 0));
}

#[test]
fn a_change_ends_what_was_known_before() {
    let cache = Cache::new(1 << 20);
    let named = |listener: &str, host: &str, path: &str| {
        let request = Builder::get(path).header("host", host).build().request;
        cache.resource(listener, Scheme::Http, &request)
    };
    let (before, change) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let after = change + Duration::from_nanos(1);
    let a = named("default", "shop.test", "/a?x=2");
    assert!(!cache.is_invalidated(a, before));
    cache.invalidate(named("default", "Shop.test", "/a?x=1"), change);
    assert!(cache.is_invalidated(a, before) && cache.is_invalidated(a, change));
    assert!(!cache.is_invalidated(a, after));
    assert!(cache.is_invalidated(named("default", "shop.test:80", "/a"), before), "the default port");
    // A change that is told late does not undo a later one.
    cache.invalidate(a, before);
    assert!(cache.is_invalidated(a, change));
    // One of some thousands shares the cell.
    let others =
        [("other", "shop.test", "/a"), ("default", "else.test", "/a"), ("default", "shop.test", "/b")];
    let over = others.iter().filter(|(l, h, p)| cache.is_invalidated(named(l, h, p), before)).count();
    assert!(over < others.len());
}

#[test]
fn one_at_a_time_fetches_anew() {
    let cache = Arc::new(Cache::new(1 << 20));
    let claim = cache.claim(&key(1));
    assert!(claim.is_some() && cache.claim(&key(1)).is_none());
    assert!(cache.claim(&key(2)).is_some());
    drop(claim);
    assert!(cache.claim(&key(1)).is_some());
}

#[test]
fn all_cores_together_never_hold_more_than_they_may() {
    const MAX: u64 = 8 << 20;
    let cache = Arc::new(Cache::bounded(Bounds { max_size: MAX, max_entry: MAX }));
    std::thread::scope(|scope| {
        for seed in 0..4_u64 {
            let cache = Arc::clone(&cache);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..2000 {
                    let key = key(random.u64(..200));
                    match random.u8(..10) {
                        0 => cache.remove(&key),
                        1..4 => drop(cache.get(&key)),
                        _ => drop(cache.put(key, entry(vec![0; random.usize(..200_000)]))),
                    }
                    assert!(cache.statistics().bytes <= MAX);
                }
            });
        }
    });
    let held: u64 = (0..200).filter_map(|number| cache.get(&key(number))).map(|entry| entry.size()).sum();
    assert_eq!(held, cache.statistics().bytes);
}

#[derive(Clone, Debug)]
enum Act {
    Put(u64, usize),
    Get(u64),
    Remove(u64),
    Resize(u64),
    Tidy,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..30_u64, 0..3000_usize).prop_map(|(key, size)| Act::Put(key, size)),
        3 => (0..30_u64).prop_map(Act::Get),
        1 => (0..30_u64).prop_map(Act::Remove),
        1 => (2000..20_000_u64).prop_map(Act::Resize),
        1 => Just(Act::Tidy),
    ];
    prop::collection::vec(act, 1..200)
}

proptest! {
    /// One shard is used in the order of a list; the model is that list.
    #[test]
    fn the_store_is_a_list_in_the_order_of_use_that_is_cut_at_its_bound(acts in acts()) {
        let mut max = 16_000;
        let cache = Cache::bounded(Bounds { max_size: max, max_entry: 2500 });
        let mut sizes: HashMap<u64, u64> = HashMap::new();
        let mut used: Vec<u64> = Vec::new();
        for act in acts {
            match act {
                Act::Put(number, body) => {
                    let new = entry(vec![number as u8; body]);
                    let size = new.size();
                    let stored = cache.put(key(number), new);
                    prop_assert_eq!(stored, size <= 2500 && size <= max);
                    if stored {
                        // Room is made before the old one goes.
                        while sizes.values().sum::<u64>() + size > max {
                            sizes.remove(&used.remove(0));
                        }
                        used.retain(|known| *known != number);
                        used.push(number);
                        sizes.insert(number, size);
                    }
                }
                Act::Get(number) => {
                    let found = cache.get(&key(number));
                    prop_assert_eq!(found.as_ref().map(|entry| entry.size()), sizes.get(&number).copied());
                    if found.is_some() {
                        used.retain(|known| *known != number);
                        used.push(number);
                    }
                }
                Act::Remove(number) => {
                    cache.remove(&key(number));
                    used.retain(|known| *known != number);
                    sizes.remove(&number);
                }
                Act::Resize(size) => {
                    max = size;
                    cache.resize(Bounds { max_size: max, max_entry: 2500 });
                    while sizes.values().sum::<u64>() > max {
                        sizes.remove(&used.remove(0));
                    }
                }
                Act::Tidy => cache.tidy(Instant::now()),
            }
            let numbers = cache.statistics();
            prop_assert!(numbers.bytes <= max);
            prop_assert_eq!(numbers.bytes, sizes.values().sum::<u64>());
            prop_assert_eq!(numbers.entries, sizes.len() as u64);
        }
    }
}
