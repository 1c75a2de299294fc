use std::time::Duration;

use super::*;
use crate::config::{Vocabulary, load_text};
use crate::store::{Algorithm, Lease, Limit, SystemClock, Taken, WhenStoreFails};

struct Nobody;

impl Observer for Nobody {
    fn down(&self, _: &str) {}
    fn up(&self, _: Duration) {}
}

fn settings(namespace: &str) -> Redis {
    let text = format!(
        "listen: 127.0.0.1:0\nredis: {{ url: \"redis://127.0.0.1:1\", namespace: {namespace} }}\nroutes: {{ /x: {{ respond: {{ status: 204 }} }} }}\n"
    );
    let vocabulary = Vocabulary { policies: &[], later: &[] };
    let loaded = load_text("gate.yaml".as_ref(), &text, &|_| None, vocabulary);
    loaded.config.and_then(|config| config.redis).expect("it is well written")
}

fn wanted(name: &str, place: Place) -> Wanted {
    Wanted {
        name: name.into(),
        place,
        max_keys: 1000,
        when_store_fails: WhenStoreFails::Local,
        lease: Lease::default(),
    }
}

fn same(one: &Arc<dyn Store>, other: &Arc<dyn Store>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

#[test]
fn budgets_outlive_a_reload_as_long_as_what_they_are_for_is_the_same() {
    let registry = Registry::connecting(Arc::new(SystemClock), Arc::new(Nobody));
    let (here, there) = (settings("here"), settings("there"));
    let (memory, redis) = (wanted("a", Place::Memory), wanted("b", Place::Redis));
    let first = registry.with(Some(&here));
    assert!(first.has_redis());
    let before = [first.of(&memory), first.of(&redis)];
    let unchanged = settings("here");
    let second = registry.with(Some(&unchanged));
    assert!(same(&before[0], &second.of(&memory)) && same(&before[1], &second.of(&redis)));
    assert_eq!(lock(&registry.links).len(), 1);
    let third = registry.with(Some(&there));
    assert!(same(&before[0], &third.of(&memory)), "what is in memory has nothing to do with Redis");
    let moved = third.of(&redis);
    assert!(!same(&before[1], &moved), "another Redis, other budgets");
    let failed = third.of(&redis);
    assert!(same(&moved, &failed));
    drop((moved, failed));
    let after = registry.with(Some(&here));
    assert!(same(&before[1], &after.of(&redis)), "a reload that came to nothing leaves what was there");
    let moved = third.of(&redis);
    let strict = third.of(&Wanted { lease: Lease::None, ..redis.clone() });
    assert!(!same(&moved, &strict));
    assert_eq!(registry.decided().len(), 1);
}

fn left(store: &Arc<dyn Store>) -> u64 {
    let limit =
        Limit { algorithm: Algorithm::FixedWindow, limit: 9, window_us: 1 << 40, burst: 9, slowest: 9 };
    let Taken::Ready(Ok(decision)) = store.take(b"key", &limit, 1) else { panic!("memory answers at once") };
    decision.remaining
}

#[test]
fn another_number_of_keys_is_a_reload_like_any_other_and_one_that_fails_changes_nothing() {
    let registry = Registry::new(Arc::new(SystemClock));
    let over = registry.with(None);
    let (large, small) = (wanted("a", Place::Memory), Wanted { max_keys: 10, ..wanted("a", Place::Memory) });
    let before = over.of(&large);
    assert_eq!((left(&before), left(&before)), (8, 7));
    let failed = over.of(&small);
    assert!(!same(&before, &failed));
    drop(failed);
    registry.tidy();
    assert!(same(&before, &over.of(&large)), "the next reload finds what there was");
    assert_eq!(left(&before), 6);
    let after = over.of(&small);
    drop(before);
    assert_eq!(left(&after), 5, "and one that succeeds goes on counting");
    assert_eq!((registry.kept().len(), registry.kept()[0].keys), (1, 1));
    drop(after);
    registry.tidy();
    assert!(registry.kept().is_empty());
    assert_eq!(left(&over.of(&large)), 4, "a limit that comes back later, too");
}

#[test]
fn what_nobody_holds_is_over() {
    let registry = Registry::connecting(Arc::new(SystemClock), Arc::new(Nobody));
    let here = settings("here");
    let over = registry.with(Some(&here));
    assert!(registry.link().is_none(), "nothing is connected before a limit wants it");
    let held = over.of(&wanted("b", Place::Redis));
    assert!(registry.link().is_some());
    drop(held);
    registry.tidy();
    assert!(registry.link().is_none() && lock(&registry.shared).is_empty());
}

#[test]
fn offline_nothing_is_connected() {
    let registry = Registry::new(Arc::new(SystemClock));
    let here = settings("here");
    let over = registry.with(Some(&here));
    assert!(over.has_redis());
    let _held = over.of(&wanted("b", Place::Redis));
    assert!(registry.link().is_none());
}
