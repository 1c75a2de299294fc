//! Answers of sources that are kept: for whom, how long, and what stands in for a service that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::cache::status;
use crate::support::parts::{JSON, told_words};
use crate::support::token::{self, SECRET};
use crate::support::{Gateway, Origin, until};

/// Answers with the number of the request, and with lines that its target names.
fn counting() -> Origin {
    Origin::serve(|turn| {
        let number = (turn.number() + 1).to_string();
        let headers: &[(&str, &str)] = match turn.request().target() {
            "/no-store" => &[JSON, ("Cache-Control", "no-store")],
            "/private" => &[JSON, ("Cache-Control", "private, max-age=60")],
            "/cookie" => &[JSON, ("Set-Cookie", "a=b")],
            "/stale" => &[JSON, ("Cache-Control", "max-age=0")],
            _ => &[JSON],
        };
        turn.answer(200, headers, number);
    })
}

const CONFIG: &str = "
    admin: { listen: 127.0.0.1:0 }
    auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
    routes:
      /own/{id}:
        aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{id}', cache: 10m, forward_headers: [accept-language] } } }
      /shared/{id}:
        aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{id}', cache: 10m, shared: true } } }
      /known/{id}:
        policies: { auth: user }
        aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{id}', cache: 10m } } }
      /known/shared/{id}:
        policies: { auth: user }
        aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/known-shared/{id}', cache: 10m, shared: true } } }
    ";

fn house() -> (Origin, Gateway) {
    let origin = counting();
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(CONFIG);
    (origin, gateway)
}

#[test]
fn an_answer_is_kept_under_what_was_asked() {
    let (origin, gateway) = house();
    let ask = |target: &str, headers: &[(&str, &str)]| {
        let answer = gateway.request("GET", target, headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("{} {}", answer.text(), told_words(&answer))
    };
    assert_eq!(ask("/own/a", &[]), r#"{"it":1} it=ok"#);
    assert_eq!(ask("/own/a", &[]), r#"{"it":1} it=ok;cached"#);
    assert_eq!(ask("/own/b", &[]), r#"{"it":2} it=ok"#, "another path");
    assert_eq!(ask("/own/a", &[("Accept-Language", "de")]), r#"{"it":3} it=ok"#, "another header");
    assert_eq!(ask("/own/a", &[("Accept-Language", "de")]), r#"{"it":3} it=ok;cached"#);
    assert_eq!(ask("/own/a", &[("X-Other", "1")]), r#"{"it":1} it=ok;cached"#, "it was not told of that");
    assert_eq!(ask("/own/stale", &[]), r#"{"it":4} it=ok"#);
    assert_eq!(ask("/own/stale", &[]), r#"{"it":4} it=ok;cached"#, "whatever its own max-age says");
    assert_eq!(ask("/own/b", &[]), r#"{"it":2} it=ok;cached"#);
    assert_eq!(origin.count(), 4);
    let numbers = status(&gateway);
    assert_eq!((&numbers["hits"], &numbers["misses"]), (&json!(5), &json!(4)), "{numbers}");
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    for target in ["/own/no-store", "/own/cookie", "/shared/private", "/shared/cookie", "/shared/no-store"] {
        let (origin, gateway) = house();
        for number in 1..=3 {
            let answer = gateway.get(target);
            assert_eq!(
                (answer.text(), told_words(&answer)),
                (format!("{{\"it\":{number}}}"), "it=ok".to_owned())
            );
        }
        assert_eq!(origin.count(), 3, "{target}");
    }
}

#[test]
fn nobody_gets_what_another_was_told() {
    let (origin, gateway) = house();
    let ask = |target: &str, subject: &str| {
        let credentials = format!("Bearer {}", token::for_subject(subject));
        let answer = gateway.request("GET", target, &[("Authorization", &credentials)], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("{} {}", answer.text(), told_words(&answer))
    };
    assert_eq!(ask("/known/x", "ada"), r#"{"it":1} it=ok"#);
    assert_eq!(ask("/known/x", "bob"), r#"{"it":2} it=ok"#);
    assert_eq!(ask("/known/x", "ada"), r#"{"it":1} it=ok;cached"#);
    assert_eq!(ask("/known/x", "bob"), r#"{"it":2} it=ok;cached"#);
    // Nor does one that nobody knows.
    let answer = gateway.get("/own/x");
    assert_eq!((answer.text().as_str(), told_words(&answer).as_str()), (r#"{"it":3}"#, "it=ok"));
    assert_eq!(origin.count(), 3);
    // Unless the configuration says that it is the same for all.
    assert_eq!(ask("/known/shared/x", "ada"), r#"{"it":4} it=ok"#);
    assert_eq!(ask("/known/shared/x", "bob"), r#"{"it":4} it=ok;cached"#);
}

#[test]
fn what_is_old_stands_in_where_the_service_fails() {
    let fails = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&fails);
    let origin = Origin::serve(move |turn| {
        if now.load(Ordering::SeqCst) {
            turn.answer(500, &[JSON], "{}");
        } else {
            turn.answer(200, &[JSON], (turn.number() + 1).to_string());
        }
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        admin: { listen: 127.0.0.1:0 }
        routes:
          /stale: { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: /s, cache: 100ms, stale_if_error: 10m } } } }
          /all:   { aggregate: { sources: { it: { upstream: ORIGIN1, path: /s, cache: 100ms, stale_if_error: 10m } } } }
          /fresh: { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: /f, cache: 100ms } } } }
        ",
    );
    assert_eq!(gateway.get("/stale").text(), r#"{"it":1}"#);
    assert_eq!(gateway.get("/fresh").text(), r#"{"it":2}"#);
    fails.store(true, Ordering::SeqCst);
    until("it is old", || {
        let answer = gateway.get("/stale");
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"it":1}"#));
        assert!(!answer.headers.has("cache-control"), "it has not failed");
        told_words(&answer) == "it=ok;stale"
    });
    let stale = || status(&gateway)["stale"].as_u64().unwrap();
    let before = stale();
    let answer = gateway.get("/all");
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"it":1}"#));
    assert_eq!(stale(), before + 1);
    until("what nobody wants old is gone", || gateway.get("/fresh").status == 502);
    // A failure is not kept.
    fails.store(false, Ordering::SeqCst);
    until("it is new again", || {
        let answer = gateway.get("/stale");
        assert_eq!(answer.status, 200);
        answer.text() != r#"{"it":1}"# && told_words(&answer) == "it=ok"
    });
    assert_eq!(gateway.get("/fresh").status, 200);
}

#[test]
fn for_each_keeps_every_item_under_its_own_name() {
    let (items, origin) =
        (Origin::serve(|turn| turn.answer(200, &[JSON], "[\"a\",\"b\",\"a\"]")), counting());
    let gateway = Gateway::start(
        &[&items, &origin],
        "
        routes:
          /:
            aggregate:
              mode: partial
              sources:
                list: { upstream: ORIGIN1, path: / }
                each: { upstream: ORIGIN2, path: '/{item}', for_each: 'sources.list.body', concurrency: 1, cache: 10m }
        ",
    );
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), r#"{"list":["a","b","a"],"each":[1,2,1]}"#);
    }
    assert_eq!((items.count(), origin.count()), (3, 2));
}

#[test]
fn what_another_route_has_brought_is_judged_by_the_own_bounds() {
    let origin = Origin::serve(|turn| {
        let status = if turn.request().target() == "/none" { 404 } else { 200 };
        turn.answer(status, &[JSON], "[1]");
    });
    let source = |target: &str, options: &str| {
        format!(
            "{{ aggregate: {{ mode: partial, sources: {{ other: {{ upstream: ORIGIN1, path: /other }}, it: {{ upstream: ORIGIN1, path: {target}, {options} }} }} }} }}"
        )
    };
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "routes: {{ /lax: {}, /strict: {}, /long: {}, /short: {}, /small: {} }}",
            source("/none", "cache: 10m, accept: [404]"),
            source("/none", "cache: 10m"),
            source("/it", "cache: 10m"),
            source("/it", "cache: 100ms"),
            source("/it", "cache: 10m, max_body: 1B"),
        ),
    );
    let ask = |target: &str| told_words(&gateway.get(target)).replace("other=ok ", "");
    assert_eq!(ask("/lax"), "it=ok");
    assert_eq!(ask("/lax"), "it=ok;cached");
    assert_eq!(ask("/strict"), "it=status", "404 is no answer here");
    assert_eq!(ask("/long"), "it=ok");
    assert_eq!(ask("/small"), "it=too_large");
    assert_eq!(ask("/long"), "it=ok;cached");
    until("it is old for one of them", || ask("/short") == "it=ok");
}
