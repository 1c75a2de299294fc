use std::time::Duration;

use super::*;
use crate::config::{Vocabulary, load_text};
use crate::store::{Lease, SystemClock, WhenStoreFails};

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
