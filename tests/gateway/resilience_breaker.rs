//! A service that keeps failing is left alone: "Breaker" of docs/resilience.md. Ids in comments are cases (s) of the
//! catalogue of behaviour.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::resilience_time::told;
use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::relay::BlackHole;
use crate::support::{Closed, Gate, Gateway, Origin, Turn, until};

/// Failures in a row alone decide.
const ROW: &str = "ratio: 100%, min_requests: 100000";

fn gateway(origin: &Origin, breaker: &str) -> Gateway {
    Gateway::start(&[origin], &config("ORIGIN1", breaker))
}

fn config(url: &str, breaker: &str) -> String {
    format!(
        "
        upstreams: {{ u: {{ url: {url}, breaker: {{ {breaker} }}, timeouts: {{ response: 100ms, connect: 50ms }}, retry: {{ attempts: 1 }} }} }}
        routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
        "
    )
}

/// A service that answers with the status which stands there.
fn with_status(status: u16) -> (Origin, Arc<AtomicU16>) {
    let now = Arc::new(AtomicU16::new(status));
    let said = Arc::clone(&now);
    let origin = Origin::serve(move |turn| turn.answer(said.load(Ordering::SeqCst), &[], "said"));
    (origin, now)
}

#[test]
fn failures_in_a_row_open_it_and_it_says_for_how_long() {
    let (origin, _) = with_status(503);
    let gateway = gateway(&origin, &format!("consecutive: 5, open: 1h, {ROW}"));
    for _ in 0..5 {
        assert_eq!(gateway.get("/api/x").text(), "said");
    }
    for target in ["/api/a", "/api/b", "/api/c"] {
        let answer = gateway.get(target);
        assert_eq!(answer.problem(503), "breaker open");
        let left: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&left), "what is left of the hour: {left}");
        told(&gateway, target, "breaker open", "breaker");
    }
    assert_eq!(origin.count(), 5, "the service is left alone");
}

#[test]
fn a_share_of_failures_opens_it() {
    let origin = Origin::serve(|turn| {
        let status = if turn.request().target() == "/bad" { 502 } else { 200 };
        turn.answer(status, &[], "said");
    });
    let gateway = gateway(&origin, "consecutive: 1000, ratio: 50%, min_requests: 12, window: 1h, open: 1h");
    let mut client = gateway.client();
    // Every other call fails, so none is a row; the twelfth call makes it enough.
    for number in 0..12 {
        let target = if number % 2 == 0 { "/api/ok" } else { "/api/bad" };
        assert_eq!(client.get(target).text(), "said", "{number}");
    }
    assert_eq!(client.get("/api/ok").problem(503), "breaker open");
    assert_eq!(origin.count(), 12);
}

#[test]
fn a_success_ends_the_row() {
    let origin = Origin::serve(|turn| {
        let status = if turn.number() % 3 == 2 { 200 } else { 503 };
        turn.answer(status, &[], "said");
    });
    let gateway = gateway(&origin, &format!("consecutive: 3, open: 1h, {ROW}"));
    let mut client = gateway.client();
    for _ in 0..30 {
        assert_eq!(client.get("/api/x").text(), "said");
    }
}

#[test]
fn every_way_to_fail_counts() {
    type Fail = fn(&mut Turn);
    let ways: [(Fail, u16); 6] = [
        (|turn| turn.answer(502, &[], "no"), 502),
        (|turn| turn.answer(504, &[], "no"), 504),
        (|turn| turn.reset(), 502),
        (|turn| turn.close(), 502),
        (|turn| turn.raw("no HTTP\r\n\r\n"), 502),
        (|turn| turn.wait_closed(), 504),
    ];
    let breaker = format!("consecutive: 2, open: 1h, {ROW}");
    let opens = |gateway: &Gateway, status: u16| {
        assert_eq!(gateway.get("/api/x").status, status);
        assert_eq!(gateway.get("/api/x").status, status);
        assert_eq!(gateway.get("/api/x").problem(503), "breaker open");
    };
    for (fail, status) in ways {
        let origin = Origin::serve(fail);
        opens(&gateway(&origin, &breaker), status);
        assert_eq!(origin.count(), 2);
    }
    opens(&Gateway::start(&[], &config(&Closed::new().url(), &breaker)), 502);
    let hole = BlackHole::new();
    opens(&Gateway::start(&[], &config(&format!("http://{}", hole.address()), &breaker)), 504);
}

#[test]
fn a_deadline_that_passes_counts_and_so_does_a_call_after_all_its_attempts() {
    let origin = Origin::serve(|turn| {
        if turn.request().target() == "/hang" { turn.wait_closed() } else { turn.answer(503, &[], "no") }
    });
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams:
              hung: {{ url: ORIGIN1, breaker: {{ consecutive: 2, open: 1h, {ROW} }} }}
              again:
                url: ORIGIN1
                breaker: {{ consecutive: 2, open: 1h, {ROW} }}
                retry: {{ attempts: 3, retry_on: [503], budget: 100%, backoff: 1ms..1ms }}
            routes: {{ /hang: {{ upstream: hung, timeout: 30ms }}, /again: {{ upstream: again }} }}
            "
        ),
    );
    for _ in 0..2 {
        assert_eq!(gateway.get("/again").text(), "no");
    }
    assert_eq!(gateway.get("/again").problem(503), "breaker open");
    // A service that has never answered has a second; then what its callers cut counts.
    until("the breaker opens", || gateway.get("/hang").status == 503);
    assert_eq!(gateway.get("/hang").problem(503), "breaker open");
    let again = origin.requests().iter().filter(|seen| seen.target() == "/again").count();
    assert_eq!(again, 6, "three attempts are one call");
}

#[test]
fn what_clients_do_wrong_never_counts() {
    // s-086
    let origin = Origin::serve(|turn| {
        let status = turn.request().target().trim_start_matches('/').parse().unwrap_or(200);
        turn.answer(status, &[], "said");
    });
    let gateway = gateway(&origin, "consecutive: 2, ratio: 1%, min_requests: 1, open: 1h");
    let mut client = gateway.client();
    for status in [400, 401, 404, 409, 413, 429, 500, 501] {
        for _ in 0..30 {
            assert_eq!(client.get(&format!("/api/{status}")).status, status);
        }
        assert_eq!(client.get("/api/ok").text(), "said", "after {status}");
    }
}

#[test]
fn clients_that_leave_never_count() {
    let origin =
        Origin::serve(|turn| if turn.request().target() == "/ok" { turn.echo() } else { turn.wait_closed() });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { url: ORIGIN1, breaker: { consecutive: 2, ratio: 1%, min_requests: 1, open: 1h } } }
        routes: { /api/*: { upstream: u, rewrite: /, timeout: 1h } }
        ",
    );
    for number in 0..6 {
        let mut client = gateway.client();
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        origin.wait_count(number + 1);
        drop(client);
        origin.wait_closed(number);
    }
    // Nor does one that breaks off its upload.
    let mut client = gateway.client();
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100\r\n\r\npart");
    origin.wait_count(7);
    drop(client);
    assert!(gateway.log(7).iter().all(|line| line["status"] == 499));
    assert_eq!(gateway.get("/api/ok").status, 200);
}

/// A breaker that is open, and half-open soon after; the gate holds the probes.
struct Opened {
    origin: Origin,
    gateway: Gateway,
    gate: Gate,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    healed: Arc<AtomicBool>,
}

fn opened(open: &str, probes: u32) -> Opened {
    let gate = Gate::new();
    let (inside, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) = (Arc::default(), Arc::default());
    let healed: Arc<AtomicBool> = Arc::default();
    let (held, now, peak, well) = (gate.clone(), Arc::clone(&inside), Arc::clone(&most), Arc::clone(&healed));
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/fail" {
            return turn.answer(503, &[], "no");
        }
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if !well.load(Ordering::SeqCst) {
            turn.wait(&held);
        }
        now.fetch_sub(1, Ordering::SeqCst);
        turn.answer(200, &[], "well");
    });
    let config = format!(
        "
        upstreams: {{ u: {{ url: ORIGIN1, breaker: {{ consecutive: 3, open: {open}, probes: {probes}, {ROW} }} }} }}
        routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 1h }} }}
        "
    );
    let gateway = Gateway::start(&[&origin], &config);
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/fail").text(), "no");
    }
    Opened { origin, gateway, gate, inside, most, healed }
}

#[test]
fn half_open_lets_exactly_the_probes_through() {
    // s-085: twenty calls at once, with one probe and with three.
    for probes in [1, 3] {
        let Opened { origin, gateway, gate, inside, most, healed } = opened("300ms", probes);
        let opened = Instant::now();
        until("the time is over", || opened.elapsed() >= Duration::from_millis(310));
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let refused = Arc::new(AtomicUsize::new(0));
            let calls: Vec<_> = (0..20)
                .map(|_| {
                    let (gateway, refused) = (&gateway, Arc::clone(&refused));
                    scope.spawn(move || {
                        let answer = gateway.get("/api/x");
                        if answer.status == 503 {
                            assert_eq!(answer.problem(503), "breaker open");
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                        answer.status
                    })
                })
                .collect();
            let wanted = probes as usize;
            until("the probes are there, the others refused", || {
                inside.load(Ordering::SeqCst) == wanted && refused.load(Ordering::SeqCst) == 20 - wanted
            });
            healed.store(true, Ordering::SeqCst);
            gate.open();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(most.load(Ordering::SeqCst), probes as usize);
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), probes as usize);
        assert_eq!(origin.count(), 3 + probes as usize);
        // Closed, with clean counters: two failures are no row of three.
        for target in ["/api/fail", "/api/fail", "/api/x", "/api/fail", "/api/fail", "/api/x"] {
            assert_ne!(gateway.get(target).text(), "", "{target}");
        }
        assert_eq!(origin.count(), 9 + probes as usize);
    }
}

#[test]
fn a_failed_probe_opens_it_again() {
    let Opened { origin, gateway, healed, .. } = opened("200ms", 2);
    healed.store(true, Ordering::SeqCst);
    // The first probe is well, the second is not.
    until("a probe", || gateway.get("/api/x").status == 200);
    until("another", || gateway.get("/api/fail").text() == "no");
    let failed = Instant::now();
    let count = origin.count();
    let answer = gateway.get("/api/x");
    if failed.elapsed() < Duration::from_millis(190) {
        assert_eq!(answer.problem(503), "breaker open");
        assert_eq!(origin.count(), count);
    }
    until("both probes", || gateway.get("/api/x").status == 200);
    assert!(failed.elapsed() >= Duration::from_millis(190), "open for the whole time again");
    for _ in 0..5 {
        assert_eq!(gateway.get("/api/x").status, 200);
    }
}

#[test]
fn a_probe_that_its_client_leaves_gives_its_place_back() {
    // s-087
    let Opened { origin, gateway, gate, healed, .. } = opened("100ms", 1);
    for round in 0..3 {
        // One probe is under way for sure: it has come to the service.
        let mut client = gateway.client();
        until("the probe is at the service", || {
            let mut one = gateway.client();
            one.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            let count = 4 + round;
            let came = one.has_bytes(Duration::from_millis(20));
            if origin.count() == count {
                client = one;
                return true;
            }
            assert!(came || origin.count() <= count);
            false
        });
        drop(client);
    }
    healed.store(true, Ordering::SeqCst);
    gate.open();
    until("the service is asked again", || gateway.get("/api/x").status == 200);
    for _ in 0..5 {
        assert_eq!(gateway.get("/api/x").status, 200, "and the breaker is closed");
    }
}

#[test]
fn a_probe_has_an_end_however_it_is_answered() {
    // s-087: 404, a body that is cut, a reset, no HTTP, an answer that comes too late.
    type Answer = fn(&mut Turn);
    let answers: [Answer; 6] = [
        |turn| turn.answer(404, &[], "nothing here"),
        |turn| {
            turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            turn.close();
        },
        |turn| turn.reset(),
        |turn| turn.raw("no HTTP\r\n\r\n"),
        |turn| turn.wait_closed(),
        |turn| turn.answer(304, &[], ""),
    ];
    for answer in answers {
        let origin = Origin::serve(move |turn| match turn.number() {
            0..3 => turn.answer(503, &[], "no"),
            3 => answer(turn),
            _ => turn.answer(200, &[], "well"),
        });
        let gateway = gateway(&origin, &format!("consecutive: 3, open: 100ms, probes: 1, {ROW}"));
        for _ in 0..3 {
            assert_eq!(gateway.get("/api/x").text(), "no");
        }
        until("the probe has come", || {
            let _ = gateway.get("/api/x");
            origin.count() >= 4
        });
        until("all is well", || gateway.get("/api/x").text() == "well");
        for _ in 0..5 {
            assert_eq!(gateway.get("/api/x").text(), "well");
        }
    }
}

#[test]
fn it_recovers_by_time_alone() {
    // s-139: one endpoint, no health check; nobody but the breaker keeps calls from it.
    let (origin, status) = with_status(503);
    let gateway = gateway(&origin, &format!("consecutive: 5, open: 300ms, probes: 1, {ROW}"));
    for _ in 0..5 {
        assert_eq!(gateway.get("/api/x").text(), "said");
    }
    assert_eq!(gateway.get("/api/x").status, 503);
    status.store(200, Ordering::SeqCst);
    let healed = Instant::now();
    until("the time is over", || healed.elapsed() >= Duration::from_millis(310));
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/x").status, 200);
    }
}

#[test]
fn it_is_one_services_and_aggregates_say_so() {
    let sick = Origin::serve(|turn| turn.answer(503, &[JSON], "{}"));
    let well = json_origin(r#"{"well":true}"#);
    let gateway = Gateway::start(
        &[&sick, &well],
        &format!(
            "
            upstreams:
              sick: {{ url: ORIGIN1, breaker: {{ consecutive: 3, open: 1h, {ROW} }} }}
              well: {{ url: ORIGIN2 }}
            routes:
              /sick: {{ upstream: sick }}
              /well: {{ upstream: well }}
              /both:
                aggregate:
                  mode: partial
                  sources:
                    a: {{ upstream: sick, path: /a }}
                    b: {{ upstream: well, path: /b }}
            "
        ),
    );
    assert_eq!(told_words(&gateway.get("/both")), "a=status b=ok");
    for _ in 0..2 {
        assert_eq!(gateway.get("/sick").status, 503);
    }
    // Proxied and composed calls pass one door.
    assert_eq!(gateway.get("/sick").problem(503), "breaker open");
    for _ in 0..5 {
        let answer = gateway.get("/both");
        assert_eq!((answer.status, told_words(&answer).as_str()), (200, "a=breaker_open b=ok"));
        assert_eq!(gateway.get("/well").status, 200);
    }
    assert_eq!(sick.count(), 3);
}
