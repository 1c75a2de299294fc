//! Where services are found, and whether they are well: on real sockets, with files that change and services that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use crate::support::load::Load;
use crate::support::{Client, Gate, Gateway, Origin, until};

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

#[test]
fn reloads_under_load_lose_no_endpoint_of_a_file() {
    let origin = Origin::serve(|turn| turn.answer(200, &[], "fine"));
    let config = |seconds: u32| {
        format!(
            "
            admin: {{ listen: 127.0.0.1:0 }}
            upstreams: {{ found: {{ discover: {{ file: endpoints.yaml }}, timeouts: {{ response: {seconds}s }} }} }}
            routes: {{ /: {{ upstream: found }} }}
            "
        )
    };
    let list = format!("[{}]", origin.url());
    let gateway = Gateway::prepare(&[&origin]).file("endpoints.yaml", &list).start(&config(10));
    // Ready is able to serve: the first request of all has its endpoint.
    assert_eq!(gateway.get("/").status, 200);
    let fleet = [gateway];
    let load = Load::start(&fleet, 4, &["/"]);
    let [gateway] = &fleet;
    for seconds in 11..21 {
        gateway.replace_config(&config(seconds));
        let mut admin = Client::connect(gateway.admin());
        assert_eq!(admin.request("POST", "/reload", &[("Host", "localhost")], b"").status, 200);
    }
    let hits = load.stop();
    let failed: Vec<_> = hits.all.iter().filter(|hit| hit.status != 200).collect();
    assert!(failed.is_empty() && hits.all.len() > 10, "{failed:?} of {}", hits.all.len());
}

#[test]
fn an_empty_list_is_believed_at_once() {
    let origin = named("\"a\"");
    let list = format!("[{}]", origin.url());
    let gateway = Gateway::prepare(&[&origin, &origin]).file("endpoints.yaml", &list).start(FOUND);
    assert_eq!(gateway.get("/").status, 200);
    tell(&gateway, "[]");
    until("it has none", || gateway.get("/").status == 503);
    assert_eq!(gateway.get("/").problem(503), "no endpoint");
    // A file that cannot be read says nothing of that.
    tell(&gateway, &list);
    until("it is back", || gateway.get("/").status == 200);
    std::fs::remove_file(gateway.folder().join("endpoints.yaml")).unwrap();
    gateway.wait_stderr("cannot be looked up");
    assert_eq!(gateway.get("/").status, 200);
    let lines = |word: &str| gateway.stderr_lines().iter().filter(|line| line.contains(word)).count();
    assert_eq!((lines("`found` has no endpoints"), lines("`found` has endpoints again")), (1, 1));
}

#[test]
fn the_status_says_what_is_known_of_an_endpoint() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "late");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        admin: { listen: 127.0.0.1:0 }
        upstreams: { one: { url: ORIGIN1 } }
        routes: { /: { upstream: one } }
        ",
    );
    let endpoint = || {
        let mut admin = Client::connect(gateway.admin());
        admin.request("GET", "/status", &[("Host", "localhost")], b"").json()["upstreams"][0]["endpoints"][0]
            .clone()
    };
    assert_eq!((endpoint()["active"].as_u64(), endpoint()["health"].as_str()), (Some(0), Some("unknown")));
    let mut clients = [gateway.client(), gateway.client()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    }
    until("both calls are under way", || endpoint()["active"] == 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    until("both calls have ended", || endpoint()["active"] == 0);
}
