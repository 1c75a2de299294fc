//! Where services are found, and whether they are well: on real sockets, with files that change and services that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use crate::support::{Gateway, Origin, until};

/// An origin that says who it is.
fn named(name: &'static str) -> Origin {
    Origin::serve(move |turn| turn.answer(200, &[], name))
}

/// The file of endpoints, as a whole, in the place of what was there.
fn tell(gateway: &Gateway, text: &str) {
    let new = gateway.folder().join("endpoints.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, gateway.folder().join("endpoints.yaml")).unwrap();
}

const FOUND: &str = "
    upstreams:
      found: { discover: { file: endpoints.yaml }, balance: round_robin, breaker: { consecutive: 1000000, min_requests: 1000000 } }
    routes:
      /: { upstream: found }
      /both: { aggregate: { mode: partial, sources: { here: { upstream: ORIGIN1, path: / }, there: { upstream: found, path: / } } } }
    ";

#[test]
fn a_file_of_endpoints_is_followed() {
    let (a, b) = (named("\"a\""), named("\"b\""));
    let gateway = Gateway::start(&[&a, &b], FOUND);
    // Nothing is found yet, and the gate serves what does not need it.
    assert_eq!(gateway.get("/").problem(503), "no endpoint");
    let both = gateway.get("/both");
    assert_eq!(both.status, 200, "{}", both.text());
    assert!(both.text().contains(r#""there":{"error":"refused""#), "{}", both.text());
    tell(&gateway, &format!("[{}]", a.url()));
    until("the first endpoint", || gateway.get("/").status == 200);
    tell(&gateway, &format!("[{}, {{ url: {}, weight: 1 }}]", a.url(), b.url()));
    until("the second endpoint", || gateway.get("/").text() == "\"b\"");
    // What cannot be read changes nothing.
    tell(&gateway, "[http://");
    let count = b.count();
    until("both go on", || gateway.get("/").status == 200 && b.count() > count + 3);
    tell(&gateway, &format!("[{}]", b.url()));
    until("the first one has gone", || (0..6).all(|_| gateway.get("/").text() == "\"b\""));
}

#[test]
fn an_endpoint_that_is_not_well_gets_no_calls_until_it_is() {
    let well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&well);
    let a = Origin::serve(move |turn| match turn.request().target() {
        "/healthz" if seen.load(Ordering::SeqCst) => turn.answer(200, &[], "fine"),
        "/healthz" => turn.answer(503, &[], "ill"),
        _ => turn.answer(200, &[], "a"),
    });
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let b = Origin::serve(move |turn| match turn.request().target() {
        "/healthz" => turn.answer(told.load(Ordering::SeqCst), &[], "fine"),
        _ => turn.answer(200, &[], "b"),
    });
    let gateway = Gateway::start(
        &[&a, &b],
        "
        upstreams:
          two:
            endpoints: [ORIGIN1, ORIGIN2]
            balance: round_robin
            health: { path: /healthz, body: fine, every: 50ms, timeout: 5s, healthy: 1, unhealthy: 2 }
        routes: { /: { upstream: two } }
        ",
    );
    let hears = |text: &str| (0..6).all(|_| gateway.get("/").text() == text);
    until("both are called", || gateway.get("/").text() == "a" && gateway.get("/").text() == "b");
    well.store(false, Ordering::SeqCst);
    until("a is left out", || hears("b"));
    well.store(true, Ordering::SeqCst);
    until("a is back", || gateway.get("/").text() == "a");
    // Where none is well, all are called: a check that is wrong must not be worse than none.
    well.store(false, Ordering::SeqCst);
    until("a is left out again", || hears("b"));
    status.store(500, Ordering::SeqCst);
    until("both are called in their need", || gateway.get("/").text() == "a");
    assert_eq!(gateway.get("/").status, 200);
}
