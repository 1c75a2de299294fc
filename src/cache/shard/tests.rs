use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::exchange::Headers;

fn key(number: u64) -> Key {
    Key::of([number.to_le_bytes().as_slice()])
}

fn entry(stored: Instant, lifetime: u64) -> Arc<Entry> {
    Arc::new(Entry {
        status: StatusCode::OK,
        headers: Headers::new(),
        body: Bytes::new(),
        stored,
        age: Duration::ZERO,
        lifetime: Duration::from_secs(lifetime),
        keep: Duration::ZERO,
    })
}

#[test]
fn what_was_used_longest_ago_is_given_up_first() {
    let (shard, now) = (Shard::default(), Instant::now());
    for number in 0..4 {
        assert_eq!(shard.put(key(number), entry(now, 1), number), None);
    }
    assert!(shard.get(&key(0)).is_some());
    assert_eq!(shard.put(key(1), entry(now, 1), 10), Some(1));
    assert_eq!(shard.remove(&key(3)), Some(3));
    assert_eq!(shard.remove(&key(3)), None);
    let mut order = Vec::new();
    order.extend(std::iter::from_fn(|| shard.give_up()));
    assert_eq!(order, [2, 0, 10]);
    assert!(shard.get(&key(0)).is_none());
}

#[test]
fn what_is_given_up_is_freed() {
    let (shard, now) = (Shard::default(), Instant::now());
    let held = entry(now, 1);
    let weak = Arc::downgrade(&held);
    shard.put(key(1), held, 1);
    shard.give_up();
    assert!(weak.upgrade().is_none());
}

#[test]
fn tidying_forgets_what_is_over_and_keeps_order_and_the_rest() {
    let (shard, now) = (Shard::default(), Instant::now());
    for number in 0..5000 {
        shard.put(key(number), entry(now, if number % 1000 == 0 { 9 } else { 1 }), 1);
    }
    let mut freed = 0;
    shard.tidy(now, |bytes| freed += bytes);
    assert_eq!(freed, 0);
    shard.tidy(now + Duration::from_secs(1), |bytes| freed += bytes);
    assert_eq!(freed, 4995);
    let table = shard.lock();
    assert_eq!((table.slots.len(), table.free.len(), table.places.len()), (5, 0, 5));
    assert!(table.places.capacity() < 64);
    drop(table);
    assert!((0..5).all(|thousand| shard.get(&key(thousand * 1000)).is_some()));
    shard.get(&key(0));
    assert_eq!(shard.give_up(), Some(1));
    assert!(shard.get(&key(1000)).is_none() && shard.get(&key(0)).is_some());
}
