//! No storm of repeats: the budgets of retries and hedges, counted at the service, and a second attempt beside a slow
//! one. "Retries" and "Hedging" of docs/resilience.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Client, Gate, Gateway, Origin, until};

/// A breaker that stays out of the way.
const CALM: &str = "breaker: { consecutive: 100000, ratio: 100%, min_requests: 100000 }";

/// Sends so many GETs over so many connections.
fn storm(gateway: &Gateway, connections: usize, each: usize) {
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = gateway.client();
                (0..each).for_each(|_| {
                    let _ = client.get("/api/x");
                });
            });
        }
    });
}

#[test]
fn a_brown_out_is_never_answered_with_a_storm() {
    // Every call fails and might be sent four times.
    for (share, budget) in [(0.0, "0%"), (0.2, "20%"), (1.0, "100%")] {
        let origin = Origin::serve(|turn| turn.answer(503, &[], "no"));
        let gateway = Gateway::start(
            &[&origin],
            &format!(
                "
                upstreams:
                  u: {{ url: ORIGIN1, {CALM}, retry: {{ attempts: 4, retry_on: [503], budget: {budget}, backoff: 1ms..1ms }} }}
                routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
                "
            ),
        );
        storm(&gateway, 8, 50);
        let (requests, attempts) = (400, origin.count());
        let most = f64::from(requests) * (1.0 + share) + 10.0;
        assert!(attempts as f64 <= most, "{budget}: {attempts} attempts for {requests} requests");
        // It is used, too.
        assert!(attempts as f64 >= f64::from(requests) * (1.0 + share * 0.9), "{budget}: {attempts}");
    }
}

#[test]
fn a_quiet_day_saves_no_storm() {
    let sick = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&sick);
    let origin = Origin::serve(move |turn| {
        turn.answer(if ill.load(Ordering::SeqCst) { 503 } else { 200 }, &[], "said")
    });
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams:
              u: {{ url: ORIGIN1, {CALM}, retry: {{ attempts: 2, retry_on: [503], budget: 50%, backoff: 1ms..1ms }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
            "
        ),
    );
    // 1,000 good calls would be credit for 500 repeats; 110 are kept.
    storm(&gateway, 4, 250);
    sick.store(true, Ordering::SeqCst);
    let before = origin.count();
    assert_eq!(before, 1000);
    storm(&gateway, 4, 50);
    let extra = origin.count() - before - 200;
    assert!(extra <= 110 + 100, "{extra} repeats of 200 calls");
}

/// Two services; the first hangs once it is told to, and both have answered often enough for a delay to be known.
struct Hedged {
    origins: [Origin; 2],
    gateway: Gateway,
    hangs: Arc<AtomicBool>,
    left: Arc<AtomicUsize>,
}

fn hedged(words: &str) -> Hedged {
    let hangs: Arc<AtomicBool> = Arc::default();
    let left: Arc<AtomicUsize> = Arc::default();
    let (hanging, leaving) = (Arc::clone(&hangs), Arc::clone(&left));
    let first = Origin::serve(move |turn| {
        if hanging.load(Ordering::SeqCst) {
            turn.wait_closed();
            leaving.fetch_add(1, Ordering::SeqCst);
        } else {
            turn.answer(200, &[], "first");
        }
    });
    let second = Origin::text("second");
    let gateway = Gateway::start(
        &[&first, &second],
        &format!(
            "
            upstreams: {{ u: {{ endpoints: [ORIGIN1, ORIGIN2], balance: round_robin, {CALM}, {words} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 10s }} }}
            "
        ),
    );
    let mut client = gateway.client();
    let mut calls = 0;
    // A delay is known after twenty answers, and worked out four times a second.
    until("enough is known of the answer times", || {
        assert_eq!(client.get("/api/x").status, 200);
        calls += 1;
        calls > 200
    });
    Hedged { origins: [first, second], gateway, hangs, left }
}

#[test]
fn the_second_attempt_goes_elsewhere_and_the_loser_is_cancelled() {
    let Hedged { origins, gateway, hangs, left } =
        hedged("hedge: { after: p95, max: 100% }, retry: { attempts: 1 }");
    hangs.store(true, Ordering::SeqCst);
    let before = origins[0].count();
    let mut client = gateway.client();
    for _ in 0..10 {
        let answer = client.get("/api/x");
        assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    }
    let hung = origins[0].count() - before;
    assert!(hung >= 1, "calls began at the slow one");
    until("the losers are cancelled", || left.load(Ordering::SeqCst) == hung);
    // What is not idempotent, or has a body, goes once.
    for (method, body) in [("POST", ""), ("PUT", "body")] {
        let mut client = gateway.client();
        client.send(format!(
            "{method} /api/once HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let _ = client.has_bytes(std::time::Duration::from_millis(300));
    }
    let once = || gateway.log(0).into_iter().filter(|line| line["path"] == "/api/once").collect::<Vec<_>>();
    until("both are recorded", || once().len() == 2);
    assert!(once().iter().all(|line| line["attempts"] == 1), "{:?}", once());
}

#[test]
fn hedges_have_a_budget() {
    let Hedged { origins, gateway, hangs, .. } =
        hedged("hedge: { after: p95, max: 0% }, retry: { attempts: 1 }, timeouts: { response: 200ms }");
    hangs.store(true, Ordering::SeqCst);
    // Nothing but the reserve of ten (and what the warm-up has used of it).
    let before = origins[1].count();
    let mut client = gateway.client();
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(client.get("/api/x").status);
    }
    let late = statuses.iter().filter(|status| **status == 504).count();
    assert!(late >= 10, "half of forty begin at the slow one, ten of them at most are hedged: {statuses:?}");
    assert!(origins[1].count() - before <= 30);
}

#[test]
fn a_single_endpoint_is_not_hedged() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/slow" {
            turn.wait(&held);
        }
        turn.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { u: { url: ORIGIN1, hedge: { after: p50, max: 100% } } }
        routes: { /api/*: { upstream: u, rewrite: / } }
        ",
    );
    let mut client = gateway.client();
    (0..50).for_each(|_| assert_eq!(client.get("/api/x").status, 200));
    let mut slow: Client = gateway.client();
    slow.send("GET /api/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(!slow.has_bytes(std::time::Duration::from_millis(300)));
    gate.open();
    assert_eq!(slow.read().status, 200);
    assert_eq!(origin.count(), 51);
}
