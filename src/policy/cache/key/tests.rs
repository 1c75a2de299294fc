use std::collections::HashSet;
use std::net::IpAddr;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use std::time::Instant;

use super::*;
use crate::exchange::testing::Builder;
use crate::policy::cache::Settings;

fn policy(shared: bool, key: Option<&str>) -> Cached {
    let key = key.map(|key| crate::expression::Expression::compile(key, &Default::default()).unwrap());
    let settings = Settings {
        cache: Arc::new(Cache::new(1 << 20)),
        ttl: None,
        key,
        head: true,
        stale_if_error: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        shared,
    };
    Cached { settings, key_has_cookies: false }
}

fn head(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    headers
}

fn get(target: &str) -> Builder {
    Builder::get(target)
}

#[test]
fn requests_that_may_have_other_answers_have_other_keys() {
    let policy = policy(false, None);
    let key = |builder: Builder| policy.key(&builder.build()).unwrap();
    let mut known = get("/a").identity("alice", json!({}), &[]).build();
    let alice = policy.key(&known).unwrap();
    let told = Identity {
        id: "alice".to_owned(),
        claims: json!({}).into(),
        scopes: Vec::new(),
        method: "jwt",
        headers: vec![("x-tenant".to_owned(), b"t1".to_vec())],
    };
    known.identity = Some(Arc::new(told));
    let mut plain = get("/a").build();
    plain.client.scheme = crate::exchange::Scheme::Http;
    let mut outer = get("/a").header("x-forwarded-prefix", "/outer").build();
    outer.client.trusted = true;
    let keys = [
        key(get("/a")),
        key(get("/a?")),
        key(get("/a?x")),
        key(get("/a/")),
        key(get("/A")),
        key(get("/a").header("host", "other.test")),
        key(get("/a").header("cookie", "a=b")),
        policy.key(&outer).unwrap(),
        key(get("/a").identity("bob", json!({}), &[])),
        alice,
        policy.key(&known).unwrap(),
        policy.key(&plain).unwrap(),
    ];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    // The service reads the credential too, but what tells one credential from the next makes no difference.
    let claimed = |claims| key(get("/a").identity("alice", claims, &[]));
    assert_ne!(alice, claimed(json!({ "x": 1 })));
    assert_ne!(claimed(json!({ "x": 1 })), claimed(json!({ "x": 2 })));
    assert_eq!(
        claimed(json!({ "x": 1 })),
        claimed(json!({ "x": 1, "iat": 1, "nbf": 1, "exp": 2, "jti": "a" }))
    );
    // Neither does the method.
    assert_eq!(keys[0], key(get("/a").method(Method::HEAD)));
    assert_eq!(keys[0], key(get("/a").header("accept", "x").client(IpAddr::from([192, 0, 2, 9]))));
    assert_eq!(keys[0], key(get("/a").header("host", "API.Example.com")));
    assert_eq!(keys[6], key(get("/a").header("cookie", "c=d")));
}

#[test]
fn shared_answers_have_one_key_and_a_written_key_replaces_the_target() {
    let shared = policy(true, None);
    let plain = shared.key(&get("/a").build()).unwrap();
    assert_eq!(plain, shared.key(&get("/a").identity("bob", json!({}), &[]).build()).unwrap());
    assert_eq!(plain, shared.key(&get("/a").header("cookie", "a=b").build()).unwrap());
    let written = policy(false, Some("request.headers['x-key']"));
    let key = |target: &str, value: &str| written.key(&get(target).header("x-key", value).build()).unwrap();
    assert_eq!(key("/a", "1"), key("/b?x", "1"));
    assert_ne!(key("/a", "1"), key("/a", "2"));
    assert!(written.key(&get("/a").build()).is_err());
    let bob = get("/a").header("x-key", "1").identity("bob", json!({}), &[]).build();
    assert_ne!(key("/a", "1"), written.key(&bob).unwrap());
}

#[test]
fn what_vary_names() {
    let names = |lines: &[&str]| {
        let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("vary", *line)).collect();
        let names = varying(&head(&lines))?;
        Some(
            names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join(" "),
        )
    };
    assert_eq!(names(&[]).as_deref(), Some(""));
    assert_eq!(names(&["", " , "]).as_deref(), Some(""));
    assert_eq!(names(&["B, a", "A,c"]).as_deref(), Some("a b c"));
    assert_eq!(names(&["x-forwarded-proto, a, X-Forwarded-Host"]).as_deref(), Some("a"));
    for alone in ["*", "a, *", "x-forwarded-for", "X-Real-IP", "traceparent", "x-request-id", "Forwarded"] {
        assert_eq!(names(&[alone]), None, "{alone}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("x-{number}")).collect();
    assert_eq!(names(&[&many.join(",")]), None);
    assert!(names(&[&many[1..].join(",")]).is_some());
}

#[test]
fn variants_are_told_apart_by_what_the_service_is_told() {
    let primary = Key::of([b"x".as_slice()]);
    let names: Names = vec![b"a".as_slice().into(), b"b".as_slice().into()];
    let key = |lines: &[(&str, &str)], who: Option<&Identity>| variant(&primary, &names, &head(lines), who);
    let keys = [
        key(&[], None),
        key(&[("a", "")], None),
        key(&[("b", "")], None),
        key(&[("a", "1"), ("b", "2")], None),
        key(&[("a", "2"), ("b", "1")], None),
        key(&[("a", "1, 2")], None),
    ];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    assert_eq!(keys[5], key(&[("a", "1"), ("c", "x"), ("a", " 2 ")], None));
    let who = Identity {
        id: "alice".to_owned(),
        claims: json!({}).into(),
        scopes: Vec::new(),
        method: "jwt",
        headers: vec![("a".to_owned(), b"1".to_vec())],
    };
    assert_eq!(key(&[("b", "2")], Some(&who)), keys[3]);
}

fn entry(body: &'static str) -> Entry {
    Entry {
        status: StatusCode::OK,
        headers: Headers::new(),
        body: Bytes::from_static(body.as_bytes()),
        stored: Instant::now(),
        age: Duration::ZERO,
        lifetime: Duration::from_secs(60),
        keep: Duration::ZERO,
    }
}

/// Puts an answer that varies by these names and came to a request with these lines.
fn put(cache: &Cache, primary: Key, vary: &str, lines: &[(&str, &str)], body: &'static str) {
    let varying = varying(&head(&[("vary", vary)])).unwrap();
    let place = Place::of(cache, primary, varying, &head(lines), None).unwrap();
    assert!(place.put(cache, entry(body)));
}

fn found(cache: &Cache, primary: Key, lines: &[(&str, &str)]) -> Option<Bytes> {
    find(cache, primary, &head(lines), None).entry.map(|entry| entry.body.clone())
}

#[test]
fn answers_that_vary_by_other_names_are_told_apart_by_all_of_them() {
    let (cache, primary) = (Cache::new(1 << 20), Key::of([b"x".as_slice()]));
    put(&cache, primary, "", &[], "plain");
    assert_eq!(found(&cache, primary, &[("a", "1")]).unwrap(), "plain");
    put(&cache, primary, "a", &[("a", "1")], "a1");
    assert_eq!(found(&cache, primary, &[("a", "1"), ("b", "9")]).unwrap(), "a1");
    assert!(found(&cache, primary, &[("a", "2")]).is_none());
    put(&cache, primary, "b", &[("a", "1"), ("b", "1")], "b1");
    assert_eq!(found(&cache, primary, &[("a", "1"), ("b", "1")]).unwrap(), "b1");
    for lines in [&[("a", "1"), ("b", "9")][..], &[("b", "1")], &[("a", "1")]] {
        assert!(found(&cache, primary, lines).is_none(), "{lines:?}");
    }
    // The one that nobody finds any more is gone, and one that does not vary is told apart as the others are.
    assert_eq!(cache.statistics().entries, 2);
    put(&cache, primary, "", &[("a", "7")], "a7");
    assert_eq!(found(&cache, primary, &[("a", "7")]).unwrap(), "a7");
    assert_eq!(found(&cache, primary, &[("a", "1"), ("b", "1")]).unwrap(), "b1");
}

#[test]
fn variants_are_bounded() {
    let (cache, primary) = (Cache::new(1 << 20), Key::of([b"x".as_slice()]));
    for number in 0..100 {
        put(&cache, primary, "a", &[("a", &number.to_string())], "x");
    }
    assert_eq!(cache.statistics().entries, MAX_VARIANTS as u64 + 1);
    assert!(found(&cache, primary, &[("a", "67")]).is_none());
    assert!((68..100).all(|number| found(&cache, primary, &[("a", &number.to_string())]).is_some()));
    let names: Vec<String> = (0..16).map(|number| format!("x-{number}")).collect();
    let wide = varying(&head(&[("vary", &names.join(","))])).unwrap();
    assert!(Place::of(&cache, primary, wide, &Headers::new(), None).is_none(), "with `a` they are too many");
}
