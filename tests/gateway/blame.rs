//! What a client does is never counted against a service: "Who is blamed" of docs/resilience.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::h2::{Session, block_on, request};
use crate::support::relay::BlackHole;
use crate::support::{Client, Closed, Gate, Gateway, Origin, until};

/// The part of `/status` about the first upstream.
pub(crate) fn upstream(gateway: &Gateway) -> Value {
    let answer = Client::connect(gateway.admin()).request("GET", "/status", &[("Host", "localhost")], b"");
    answer.json()["upstreams"][0].clone()
}

/// Sends the head of an upload and three of its ten bytes, and then nothing more.
fn stalled_upload(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10\r\n\r\nabc");
    client
}

/// A breaker that opens after three failures in a row and stays open, and outlier detection as strict.
const STRICT: &str = "retry: { attempts: 3, retry_on: [connect, reset, timeout], backoff: 1ms..2ms }, \
    breaker: { consecutive: 3, open: 1h }, outliers: { consecutive: 3, eject: 1h, max_ejected: 100% }";

/// Stalled uploads are answered 408 and change nothing for others.
fn stalls(service: impl Fn() -> Origin, words: &str, route: &str) {
    let services = [service(), service()];
    let gateway = Gateway::start(
        &[&services[0], &services[1]],
        &format!(
            "
            upstreams: {{ u: {{ endpoints: [ORIGIN1, ORIGIN2], balance: round_robin, {STRICT}, {words} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, {route} }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    );
    let mut clients: Vec<Client> = (0..5).map(|_| stalled_upload(&gateway)).collect();
    for client in &mut clients {
        assert_eq!(client.read().problem(408), "request timeout");
    }
    for line in gateway.log(5) {
        assert_eq!(
            (&line["error"], &line["reason"]),
            (&"request timeout".into(), &"upload".into()),
            "{line}"
        );
        assert_eq!(line["attempts"], 1, "what the client does is not tried again");
    }
    assert_eq!(upstream(&gateway)["breaker"], "closed");
    let ejected =
        upstream(&gateway)["endpoints"].as_array().unwrap().iter().any(|one| one["ejected"] == true);
    assert!(!ejected, "the client's doing ejects nobody");
    (0..8).for_each(|_| assert_eq!(gateway.get("/api/x").status, 200));
    for service in &services {
        let gets = service.requests().iter().filter(|seen| seen.method() == "GET").count();
        assert!(gets > 0, "both have their turn");
    }
}

#[test]
fn a_client_that_stalls_beyond_the_routes_time_is_late() {
    stalls(Origin::echo, "timeouts: { idle: 60s }", "timeout: 400ms");
}

#[test]
fn a_client_that_stalls_beyond_the_idle_time_is_late() {
    stalls(Origin::echo, "timeouts: { idle: 400ms }", "timeout: 60s");
}

#[test]
fn a_service_that_gives_up_on_a_stalled_client_is_not_at_fault() {
    let service = || {
        Origin::serve(|turn| {
            if turn.request().method() == "GET" {
                return turn.answer(200, &[], "fine");
            }
            // It waits for the rest no longer than this.
            let _ = turn.has_bytes_within(Duration::from_millis(600));
            turn.reset();
        })
    };
    stalls(service, "timeouts: { idle: 60s }", "timeout: 60s");
}

#[test]
fn a_service_that_answers_503_to_a_stalled_client_is_not_at_fault() {
    let origin = Origin::serve(|turn| {
        if turn.request().method() == "GET" {
            return turn.answer(200, &[], "fine");
        }
        let _ = turn.has_bytes_within(Duration::from_millis(600));
        turn.answer_early(503, &[("Connection", "close")], "gave up");
        turn.finish();
    });
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams: {{ u: {{ url: ORIGIN1, {STRICT} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    );
    let mut clients: Vec<Client> = (0..5).map(|_| stalled_upload(&gateway)).collect();
    for client in &mut clients {
        assert_eq!(client.read().status, 503);
    }
    assert_eq!(upstream(&gateway)["breaker"], "closed");
    assert_eq!(gateway.get("/api/x").status, 200);
}

#[test]
fn a_stalled_stream_of_http2_is_late_too() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams: {{ u: {{ url: ORIGIN1, {STRICT} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 400ms }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    );
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let head = request("POST", "/api/up", &[("content-length", "10")]);
            let mut stream = session.open(head, false).await.unwrap();
            stream.body.send_data("abc".into(), false).unwrap();
            streams.push(stream);
        }
        for stream in streams {
            let (answer, _body) = stream.head().await.unwrap();
            assert_eq!(answer.status(), 408);
        }
    });
    assert_eq!(upstream(&gateway)["breaker"], "closed");
    assert_eq!(gateway.get("/api/x").status, 200);
}

#[test]
fn a_service_that_breaks_off_an_upload_at_once_is_at_fault() {
    let origin = Origin::serve(|turn| turn.reset());
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { url: ORIGIN1, breaker: { consecutive: 3, open: 1h }, retry: { attempts: 1 } } }
        routes: { /api/*: { upstream: u, rewrite: / } }
        admin: { listen: 127.0.0.1:0 }
        ",
    );
    let mut clients: Vec<Client> = (0..3).map(|_| stalled_upload(&gateway)).collect();
    for client in &mut clients {
        assert_eq!(client.read().problem(502), "upstream failure");
    }
    assert_eq!(upstream(&gateway)["breaker"], "open");
}

/// Pages whose source has little time, and a route that waits.
fn impatient(origin: &Origin, breaker: &str) -> Gateway {
    Gateway::start(
        &[origin],
        &format!(
            "
            upstreams: {{ u: {{ url: ORIGIN1, breaker: {{ {breaker}, ratio: 100%, min_requests: 100000, open: 1h }}, timeouts: {{ response: 4s }} }} }}
            routes:
              /impatient: {{ aggregate: {{ mode: partial, sources: {{ a: {{ upstream: u, path: /slow, timeout: 150ms, fallback: {{}} }}, b: {{ upstream: u, path: /quick }} }} }} }}
              /alone: {{ aggregate: {{ mode: partial, sources: {{ a: {{ upstream: u, path: /slow, timeout: 150ms, fallback: {{}} }} }} }} }}
              /patient: {{ upstream: u, rewrite: /slow }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    )
}

#[test]
fn callers_with_little_time_do_not_open_the_breaker_for_patient_ones() {
    let origin = Origin::serve(|turn| {
        if turn.request().target() == "/slow" {
            let _ = turn.has_bytes_within(Duration::from_millis(300));
        }
        turn.answer(200, &[("Content-Type", "application/json")], "{}");
    });
    let gateway = impatient(&origin, "consecutive: 3");
    for round in 0..4 {
        assert_eq!(gateway.get("/patient").status, 200, "round {round}");
        // Many at once, and nothing of the service comes in between.
        let mut clients: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
        for client in &mut clients {
            client.send("GET /alone HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        }
        clients.iter_mut().for_each(|client| drop(client.read()));
        assert_eq!(upstream(&gateway)["breaker"], "closed", "round {round}");
    }
}

#[test]
fn a_service_that_hangs_is_found_by_callers_with_little_time() {
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let origin = Origin::serve(move |turn| {
        if hanging.load(Ordering::SeqCst) {
            return turn.wait_closed();
        }
        turn.answer(200, &[("Content-Type", "application/json")], "{}");
    });
    let gateway = impatient(&origin, "consecutive: 3");
    assert_eq!(gateway.get("/patient").status, 200, "it is quicker than they wait");
    hangs.store(true, Ordering::SeqCst);
    until("the breaker opens", || {
        let _ = gateway.get("/alone");
        upstream(&gateway)["breaker"] == "open"
    });
}

#[test]
fn a_service_that_was_slower_than_they_wait_is_found_after_the_response_time() {
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let origin = Origin::serve(move |turn| {
        if hanging.load(Ordering::SeqCst) {
            return turn.wait_closed();
        }
        let _ = turn.has_bytes_within(Duration::from_millis(300));
        turn.answer(200, &[("Content-Type", "application/json")], "{}");
    });
    let gateway = impatient(&origin, "consecutive: 3");
    assert_eq!(gateway.get("/patient").status, 200);
    hangs.store(true, Ordering::SeqCst);
    let mut calls = 0;
    until("the breaker opens", || {
        let _ = gateway.get("/alone");
        calls += 1;
        upstream(&gateway)["breaker"] == "open"
    });
    assert!(calls > 5, "not before `response` has passed: {calls}");
}

#[test]
fn a_service_that_sends_heads_and_then_hangs_is_not_well() {
    let origin = Origin::serve(|turn| {
        turn.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{");
        turn.wait_closed();
    });
    let gateway = impatient(&origin, "consecutive: 3");
    until("the breaker opens", || {
        let _ = gateway.get("/alone");
        upstream(&gateway)["breaker"] == "open"
    });
    let line = gateway.log(1)[0].clone();
    assert_eq!(line["attempts"], 1, "the attempt of a source that timed out is counted: {line}");
    let why = upstream(&gateway)["breaker_why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("idle"), "{why}");
}

#[test]
fn an_upload_holds_its_permit_no_longer_than_its_bytes_take() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { url: ORIGIN1, concurrency: { max: 2, queue: 0, upload_rate: 1MiB } } }
        routes: { /api/*: { upstream: u, rewrite: /, timeout: 500ms } }
        ",
    );
    let mut trickling: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut trickling {
        client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100000\r\n\r\n");
    }
    origin.wait_count(2);
    // They go on moving, a few bytes at a time: far below the rate.
    until("both are cut", || {
        trickling.iter_mut().for_each(|client| drop(client.try_send("0123456789")));
        trickling.iter_mut().all(|client| client.has_bytes(Duration::from_millis(5)))
    });
    for client in &mut trickling {
        assert_eq!(client.read().problem(408), "request timeout");
    }
    assert_eq!(gateway.get("/api/x").status, 200, "their permits are free");
}

#[test]
fn an_early_response_gives_an_upload_no_more_time() {
    let origin = Origin::serve(|turn| {
        if turn.request().method() == "GET" {
            return turn.answer(200, &[], "fine");
        }
        turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly");
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams: {{ u: {{ url: ORIGIN1, concurrency: {{ max: 1, queue: 0, upload_rate: 1MiB }}, {STRICT} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 500ms }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    );
    for _ in 0..4 {
        let mut client = gateway.client();
        client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100000\r\n\r\n");
        assert_eq!(client.read_head().0, 200);
        until("the permit is free", || {
            let _ = client.try_send("0123456789");
            gateway.get("/api/x").status == 200
        });
    }
    assert_eq!(upstream(&gateway)["breaker"], "closed", "the client was the slow one");
}

#[test]
fn a_dead_endpoint_costs_no_client_anything() {
    let origin = Origin::echo();
    let (closed, hole) = (Closed::new(), BlackHole::new());
    for dead in [closed.url(), format!("http://{}", hole.address())] {
        for balance in ["least_request", "round_robin", "random", "{ consistent_hash: request.path }"] {
            let gateway = Gateway::start(
                &[&origin],
                &format!(
                    "
                    upstreams: {{ u: {{ endpoints: [\"{dead}\", ORIGIN1], balance: {balance}, retry: {{ attempts: 1 }}, timeouts: {{ connect: 400ms }} }} }}
                    routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
                    "
                ),
            );
            for number in 0..30 {
                let answer = gateway.request("POST", &format!("/api/{number}"), &[], b"body");
                assert_eq!(answer.status, 200, "{dead} {balance} {number}");
            }
            assert!(gateway.log(30).iter().all(|line| line["attempts"] == 1));
        }
    }
}

#[test]
fn the_time_for_a_response_begins_with_the_connection() {
    let hole = BlackHole::new();
    let gateway = Gateway::start(
        &[],
        &format!(
            "
            upstreams: {{ u: {{ url: \"http://{}\", timeouts: {{ connect: 20s, response: 400ms }} }} }}
            routes: {{ /api/*: {{ upstream: u }} }}
            ",
            hole.address()
        ),
    );
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    // The kernel asks for the connection again after a second: longer than a response may take.
    assert!(!client.has_bytes(Duration::from_millis(500)));
    hole.open("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read().status, 204);
}

#[test]
fn an_idle_connection_is_dropped_when_the_service_closes_it() {
    let close = Gate::new();
    let closing = close.clone();
    let origin = Origin::serve(move |turn| {
        turn.answer(200, &[], "ok");
        if turn.number() == 0 {
            turn.wait(&closing);
            turn.close();
        }
    });
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1 } }");
    assert_eq!(gateway.get("/api/x").status, 200);
    close.open();
    // The origin has seen the end of the gateway's side: nobody had to call it for that.
    origin.wait_closed(0);
    assert_eq!(gateway.request("POST", "/api/x", &[], b"body").status, 200);
    assert_eq!(gateway.log(2)[1]["attempts"], 1, "a fresh connection from the start");
}

#[test]
fn a_hedge_goes_to_no_endpoint_that_is_known_to_fail_and_its_500_does_not_win() {
    let slow = Arc::new(AtomicBool::new(false));
    let slowly = Arc::clone(&slow);
    let good = Origin::serve(move |turn| {
        if slowly.load(Ordering::SeqCst) {
            let _ = turn.has_bytes_within(Duration::from_millis(150));
        }
        turn.answer(200, &[], "good");
    });
    let bad = Origin::serve(|turn| turn.answer(500, &[], "bad"));
    let gateway = Gateway::start(
        &[&good, &bad],
        "
        upstreams:
          u:
            endpoints: [ORIGIN1, ORIGIN2]
            balance: random
            hedge: { after: p50, max: 100% }
            outliers: { consecutive: 1, eject: 1h, max_ejected: 50% }
        routes: { /api/*: { upstream: u, rewrite: / } }
        admin: { listen: 127.0.0.1:0 }
        ",
    );
    let mut client = gateway.client();
    until("the other endpoint is ejected, and the delay is known", || {
        let _ = client.get("/api/x");
        upstream(&gateway)["endpoints"][1]["ejected"] == true && good.count() > 40
    });
    slow.store(true, Ordering::SeqCst);
    let before = bad.count();
    for _ in 0..20 {
        assert_eq!(client.get("/api/x").text(), "good");
    }
    assert_eq!(bad.count(), before, "an ejected endpoint is no help");
}

#[test]
fn an_adaptive_limit_stays_below_its_max_and_does_not_count_the_queue() {
    let origin = Origin::serve(|turn| {
        let _ = turn.has_bytes_within(Duration::from_millis(60));
        turn.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { url: ORIGIN1, concurrency: { adaptive: true, max: 8, queue: 100, queue_timeout: 20s } } }
        routes: { /api/*: { upstream: u, rewrite: /, timeout: 30s } }
        admin: { listen: 127.0.0.1:0 }
        ",
    );
    assert_eq!(upstream(&gateway)["limit"], 8);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = gateway.client();
                (0..12).for_each(|_| assert_eq!(client.get("/api/x").status, 200));
            });
        }
    });
    assert_eq!(upstream(&gateway)["limit"], 8, "the service was no slower than before; the queue was");
}

#[test]
fn any_endpoint_of_an_upstream_is_internal() {
    let answers = |turn: &mut crate::support::Turn| {
        let headers = [
            ("Location", "http://two.internal:9/next"),
            ("Content-Location", "http://one.internal:9/here"),
            ("Set-Cookie", "a=1; Domain=two.internal"),
            ("Refresh", "5; url=http://two.internal:9/again"),
            ("Link", "<http://two.internal:9/more>; rel=next"),
        ];
        turn.answer(200, &headers, "");
    };
    let origin = Origin::serve(answers);
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { endpoints: [ORIGIN1, \"http://one.internal:9\", \"http://two.internal:9\"] } }
        routes: { /api/*: { upstream: u, rewrite: / } }
        ",
    );
    let answer = gateway.get("/api/x");
    for name in ["location", "content-location", "set-cookie", "refresh", "link"] {
        let value = answer.header(name).unwrap();
        assert!(!value.contains("internal"), "{name}: {value}");
        assert!(value.contains("gw.test"), "{name}: {value}");
    }
}

#[test]
fn a_breaker_says_once_that_it_opens_and_once_that_it_closes() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let service = Origin::serve(move |turn| {
        let status = if failing.load(Ordering::SeqCst) { 503 } else { 200 };
        turn.answer(status, &[], "said");
    });
    let gateway = Gateway::start(
        &[&service],
        "
        upstreams: { u: { url: ORIGIN1, breaker: { consecutive: 3, open: 100ms, probes: 1 } } }
        routes: { /api/*: { upstream: u, rewrite: / } }
        admin: { listen: 127.0.0.1:0 }
        ",
    );
    for _ in 0..3 {
        assert_eq!(gateway.get("/api/x").text(), "said");
    }
    gateway.wait_stderr("breaker of `u` opens until");
    let status = upstream(&gateway);
    assert!(status["breaker_since"].as_str().is_some_and(|since| since.ends_with('Z')), "{status}");
    // Failed probes are no news.
    until("a few probes fail", || {
        let _ = gateway.get("/api/x");
        service.count() > 6
    });
    let why = upstream(&gateway)["breaker_why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("a probe failed (503"), "{why}");
    fails.store(false, Ordering::SeqCst);
    until("it closes", || gateway.get("/api/x").status == 200);
    gateway.wait_stderr("breaker of `u` closes");
    let lines = gateway.stderr();
    let opened: Vec<&str> = lines.lines().filter(|line| line.contains("breaker of `u` opens")).collect();
    assert_eq!(opened.len(), 1, "{lines}");
    assert!(
        opened[0].contains("3 of 3 calls failed within 10 s, the last 3 in a row (503, 503, 503)"),
        "{opened:?}"
    );
    assert!(opened[0].contains("WARN"), "{opened:?}");
    let status = upstream(&gateway);
    assert_eq!((&status["breaker"], &status["breaker_why"]), (&"closed".into(), &Value::Null));
}

#[test]
fn an_open_breaker_probes_at_once_when_a_health_check_finds_the_service_well_again() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let service = Origin::serve(move |turn| {
        let status = if failing.load(Ordering::SeqCst) { 503 } else { 200 };
        turn.answer(status, &[], "said");
    });
    let config = |open: &str| {
        format!(
            "
            upstreams:
              u:
                url: {}
                breaker: {{ consecutive: 3, open: {open}, probes: 1 }}
                health: {{ path: /health, every: 20ms, timeout: 5s, healthy: 1, unhealthy: 1 }}
            routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            ",
            service.url()
        )
    };
    let gateway = Gateway::start(&[], &config("1h"));
    // The second time the breaker is another one, and the probers are the same.
    for open in ["1h", "2h"] {
        fails.store(true, Ordering::SeqCst);
        if open == "2h" {
            gateway.replace_config(&config(open));
            gateway.wait_stderr("version 2");
        }
        until("the breaker opens, and the check fails", || {
            let _ = gateway.get("/api/x");
            let now = upstream(&gateway);
            now["breaker"] == "open" && now["endpoints"][0]["health"] == "unhealthy"
        });
        fails.store(false, Ordering::SeqCst);
        until("it is in use again, an hour early", || gateway.get("/api/x").status == 200);
        assert_eq!(upstream(&gateway)["breaker"], "closed");
    }
}

#[test]
fn the_attempt_of_a_call_that_its_client_left_is_in_the_log() {
    let origin = Origin::serve(|turn| turn.wait_closed());
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    drop(client);
    let line = gateway.log(1)[0].clone();
    assert_eq!((&line["status"], &line["attempts"]), (&499.into(), &1.into()), "{line}");
    assert_eq!(line["endpoint"], origin.address().to_string());
    assert!(line["upstream_ms"].as_f64().is_some_and(|time| time > 0.0), "{line}");
}
