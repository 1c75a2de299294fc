//! Slow clients are no reason to think ill of a service: "Who is blamed" of docs/resilience.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::blame::upstream;
use crate::support::{Client, Closed, Gateway, Origin, until};

/// A breaker that opens after three failures in a row and stays open.
const STRICT: &str = "retry: { attempts: 1 }, breaker: { consecutive: 3, open: 1h }";

fn gateway(origin: &Origin, words: &str) -> Gateway {
    Gateway::start(
        &[origin],
        &format!(
            "
            upstreams: {{ u: {{ url: ORIGIN1, {words} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
            admin: {{ listen: 127.0.0.1:0 }}
            "
        ),
    )
}

#[test]
fn a_service_that_gives_up_on_a_client_that_trickles_is_not_at_fault() {
    let origin = Origin::serve(|turn| {
        if turn.request().method() == "GET" {
            return turn.answer(200, &[], "fine");
        }
        // As guards against slow clients do: so many pieces, and then an end.
        let mut pieces = 0;
        while pieces < 60 && turn.has_bytes_within(Duration::from_secs(5)) {
            pieces += 1;
        }
        turn.reset();
    });
    let gateway = gateway(&origin, STRICT);
    let mut clients: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000\r\n\r\n");
    }
    until("all are answered", || {
        clients.iter_mut().for_each(|client| drop(client.try_send("x")));
        clients.iter_mut().all(|client| client.has_bytes(Duration::from_millis(20)))
    });
    for client in &mut clients {
        assert_eq!(client.read().problem(408), "request timeout");
    }
    assert_eq!(upstream(&gateway)["breaker"], "closed");
    assert_eq!(gateway.get("/api/x").status, 200);
}

#[test]
fn a_service_that_gives_up_on_a_client_that_does_not_read_is_not_at_fault() {
    const LENGTH: usize = 64 << 20;
    let gave_up = Arc::new(AtomicUsize::new(0));
    let given_up = Arc::clone(&gave_up);
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/small" {
            return turn.answer(200, &[], "fine");
        }
        turn.raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        if !turn.raw_within(&vec![b'x'; LENGTH], Duration::from_millis(700)) {
            given_up.fetch_add(1, Ordering::SeqCst);
        }
        turn.close();
    });
    let gateway = gateway(&origin, STRICT);
    let mut clients: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET /api/large HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    }
    until("the service has given up on all", || gave_up.load(Ordering::SeqCst) == 4);
    for client in &mut clients {
        assert!(client.read_to_end().len() < LENGTH, "it broke off");
    }
    for line in gateway.log(4) {
        assert_eq!((&line["error"], &line["reason"]), (&"client closed".into(), &"stalled".into()), "{line}");
    }
    assert_eq!(upstream(&gateway)["breaker"], "closed");
    assert_eq!(gateway.get("/api/small").status, 200);
}

#[test]
fn slow_uploads_do_not_lower_an_adaptive_limit() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "concurrency: { adaptive: true, max: 8, queue: 100, queue_timeout: 20s }");
    let mut client = gateway.client();
    (0..150).for_each(|_| assert_eq!(client.get("/api/quick").status, 200));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let mut client = gateway.client();
                    client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 40000\r\n\r\n");
                    for _ in 0..4 {
                        client.send(vec![b'x'; 10_000]);
                        assert!(!client.has_bytes(Duration::from_millis(60)) || client.read().status == 200);
                    }
                }
            });
        }
    });
    // A busy machine may cost a step or two; the time of the uploads would cost nearly all of them.
    let limit = upstream(&gateway)["limit"].as_u64().unwrap();
    assert!(limit >= 5, "{limit}: the clients were slow, the service was not");
}

#[test]
fn a_service_that_has_moved_is_in_use_before_its_breaker_would_allow() {
    let (origin, dead) = (Origin::echo(), Closed::new());
    let config = format!(
        "
        upstreams: {{ u: {{ discover: {{ file: endpoints.yaml }}, {STRICT} }} }}
        routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
        admin: {{ listen: 127.0.0.1:0 }}
        "
    );
    let gateway = Gateway::prepare(&[]).file("endpoints.yaml", format!("- {}\n", dead.url())).start(&config);
    until("the breaker opens", || {
        let _ = gateway.get("/api/x");
        upstream(&gateway)["breaker"] == "open"
    });
    let new = gateway.folder().join("endpoints.new");
    std::fs::write(&new, format!("- {}\n", origin.url())).unwrap();
    std::fs::rename(new, gateway.folder().join("endpoints.yaml")).unwrap();
    until("the new endpoint is called, an hour early", || gateway.get("/api/x").status == 200);
}
