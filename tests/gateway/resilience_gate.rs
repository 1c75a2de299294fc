//! How many calls of a service are under way at a time: "Concurrency" of docs/resilience.md.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::h2::{Session, block_on, request, wait_for};
use crate::support::{Client, Gate, Gateway, Origin, holds_within, until};

fn gateway(origin: &Origin, concurrency: &str) -> Gateway {
    Gateway::start(
        &[origin],
        &format!(
            "
            admin: {{ listen: 127.0.0.1:0 }}
            upstreams: {{ u: {{ url: ORIGIN1, concurrency: {{ {concurrency} }} }} }}
            routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 1h }} }}
            "
        ),
    )
}

fn begin(gateway: &Gateway, target: &str) -> Client {
    let mut client = gateway.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
    client
}

/// How many calls of the service are under way, and how many wait.
fn calls(gateway: &Gateway) -> (u64, u64) {
    let mut admin = Client::connect(gateway.admin());
    let status = admin.send("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").read().json();
    let upstream = &status["upstreams"][0];
    (upstream["active"].as_u64().unwrap(), upstream["waiting"].as_u64().unwrap())
}

/// Sends until one is refused, for all places are taken; gives those that took one.
fn fill(gateway: &Gateway, target: &str) -> Vec<Client> {
    let mut held = Vec::new();
    until("all places are taken", || {
        let mut client = begin(gateway, target);
        if client.has_bytes(Duration::from_millis(20)) {
            assert_eq!(client.read().problem(503), "overloaded");
            return true;
        }
        held.push(client);
        false
    });
    held
}

/// Counts the requests that are at the service, and the most there ever were.
#[derive(Clone, Default)]
struct Inside(Arc<(AtomicUsize, AtomicUsize)>);

impl Inside {
    fn enter(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[test]
fn no_more_than_the_limit_are_under_way_over_all_cores() {
    let (inside, gate) = (Inside::default(), Gate::new());
    let (count, held) = (inside.clone(), gate.clone());
    let origin = Origin::serve(move |turn| {
        count.enter();
        turn.wait(&held);
        count.leave();
        turn.answer(200, &[], "done");
    });
    let gateway = gateway(&origin, "max: 4, queue: 100, queue_timeout: 1h");
    let mut clients: Vec<Client> = (0..24).map(|number| begin(&gateway, &format!("/api/{number}"))).collect();
    until("the limit is reached", || inside.now() == 4);
    assert!(!holds_within(Duration::from_millis(50), || inside.now() > 4));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!((inside.most(), origin.count()), (4, 24));
}

#[test]
fn first_come_first_served() {
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (noted, gate) = (Arc::clone(&order), Gate::new());
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        noted.lock().unwrap().push(turn.request().target().to_owned());
        if turn.number() == 0 {
            turn.wait(&held);
        }
        turn.answer(200, &[], "done");
    });
    // The streams of one connection are one core's, in the order in which they were opened.
    let gateway = gateway(&origin, "max: 1, queue: 8, queue_timeout: 1h");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut streams = vec![session.open(request("GET", "/api/0", &[]), true).await.unwrap()];
        wait_for("the first is at the service", || origin.count() == 1).await;
        for number in 1..8 {
            let one = request("GET", &format!("/api/{number}"), &[]);
            streams.push(session.open(one, true).await.unwrap());
            // What came after it has its answer: it waits by now.
            assert_eq!(session.fetch("GET", "/nothing").await.unwrap().status, 404);
        }
        gate.open();
        for stream in streams {
            assert_eq!(stream.whole().await.unwrap().status, 200);
        }
    });
    let wanted: Vec<String> = (0..8).map(|number| format!("/{number}")).collect();
    assert_eq!(*order.lock().unwrap(), wanted);
}

#[test]
fn who_leaves_frees_a_place_in_the_service_and_in_the_queue() {
    let origin =
        Origin::serve(
            |turn| if turn.request().target() == "/hang" { turn.wait_closed() } else { turn.echo() },
        );
    let gateway = gateway(&origin, "max: 2, queue: 2, queue_timeout: 1h");
    for round in 0..5 {
        let inside: Vec<Client> = (0..2).map(|_| begin(&gateway, "/api/hang")).collect();
        origin.wait_count(round * 3 + 2);
        let waiting: Vec<Client> = (0..2).map(|_| begin(&gateway, "/api/hang")).collect();
        until("the queue is full", || calls(&gateway) == (2, 2));
        // First those who wait, then those who are in.
        drop(waiting);
        until("the queue is empty", || calls(&gateway) == (2, 0));
        let mut last = begin(&gateway, "/api/ok");
        until("the last one waits", || calls(&gateway) == (2, 1));
        drop(inside);
        assert_eq!(last.read().status, 200);
        assert_eq!(origin.count(), round * 3 + 3, "who left the queue never came to the service");
    }
}

#[test]
fn an_answer_holds_its_place_until_its_last_byte() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/stream" {
            turn.chunked(200, &[]);
            turn.chunk("begin");
            turn.wait(&held);
            turn.last_chunk(&[]);
        } else {
            turn.echo();
        }
    });
    let gateway = gateway(&origin, "max: 1, queue: 0");
    let mut client = begin(&gateway, "/api/stream");
    assert_eq!(client.read_head().0, 200);
    assert_eq!(gateway.get("/api/x").problem(503), "overloaded");
    gate.open();
    until("its place is free", || gateway.get("/api/x").status == 200);
}

#[test]
fn a_stream_of_events_leaves_the_count_after_its_head() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/events" {
            turn.chunked(200, &[("Content-Type", "text/event-stream; charset=utf-8")]);
            turn.chunk("data: 1\n\n");
            turn.wait(&held);
            turn.chunk("data: 2\n\n");
            turn.last_chunk(&[]);
        } else {
            turn.echo();
        }
    });
    let gateway = gateway(&origin, "max: 1, queue: 0");
    let mut streams: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = begin(&gateway, "/api/events");
            assert_eq!(client.read_head().0, 200);
            client
        })
        .collect();
    assert_eq!(gateway.get("/api/x").status, 200);
    gate.open();
    for client in &mut streams {
        let mut all = String::new();
        until("the stream goes on", || {
            all.push_str(&String::from_utf8_lossy(&client.read_bytes(1)));
            all.contains("data: 2")
        });
    }
}

#[test]
fn a_limit_that_is_found_out_starts_small_enough_and_lets_all_through() {
    let inside = Inside::default();
    let count = inside.clone();
    let origin = Origin::serve(move |turn| {
        count.enter();
        turn.read_body();
        count.leave();
        turn.answer(200, &[], "done");
    });
    let gateway = gateway(&origin, "adaptive: true, queue: 1000, queue_timeout: 10s");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..100 {
                    assert_eq!(client.get("/api/x").status, 200);
                }
            });
        }
    });
    assert_eq!(origin.count(), 800);
}

#[test]
fn one_full_service_leaves_the_others_alone() {
    let stuck = Origin::serve(|turn| turn.wait_closed());
    let well = Origin::echo();
    let gateway = Gateway::start(
        &[&stuck, &well],
        "
        upstreams:
          stuck: { url: ORIGIN1, concurrency: { max: 3, queue: 3, queue_timeout: 1h } }
          well: { url: ORIGIN2 }
        routes:
          /stuck: { upstream: stuck, timeout: 1h }
          /well: { upstream: well }
        ",
    );
    let held = fill(&gateway, "/stuck");
    assert!(held.len() >= 6);
    for _ in 0..50 {
        assert_eq!(gateway.get("/well").status, 200);
    }
    assert_eq!(stuck.count(), 3);
    drop(held);
}
