//! Clients that do not play along: silent ones, those that leave early, and bodies whose end nobody announced.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use crate::support::h2::{Frames, Session, block_on, request};
use crate::support::{Client, Gate, Gateway, Origin};

const OPEN: &str = "routes: { 'GET,POST,PUT /api/*': { upstream: ORIGIN1, rewrite: / } }";

#[test]
fn an_http2_body_of_unknown_length_has_one_end() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for _ in 0..3 {
            let mut stream = session.open(request("POST", "/api/x", &[]), false).await.unwrap();
            stream.body.send_data(Bytes::from_static(b"hello"), false).unwrap();
            // How most clients end a body: a frame without bytes.
            stream.body.send_data(Bytes::new(), true).unwrap();
            assert_eq!(stream.whole().await.unwrap().status, 200);
        }
    });
    assert_eq!(origin.faults(), [] as [String; 0], "what follows a body is the next request");
    for sent in origin.requests() {
        assert_eq!(sent.body, b"hello");
    }
}

#[test]
fn a_silent_http2_client_does_not_hold_the_end_up() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut frames = Frames::connect(gateway.address());
    // Its settings have come, so the connection stands; from now on the client neither acknowledges nor closes.
    assert!(frames.next().is_some());
    gateway.signal("TERM");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_client_that_leaves_with_an_unread_body_ends_every_call() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        "routes: { /all: { aggregate: { sources: { one: { upstream: ORIGIN1, path: /1 }, two: { upstream: ORIGIN1, path: /2 } } } } }",
    );
    let mut client = Client::connect(gateway.address());
    client.send("GET /all HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\n\r\nhello");
    origin.wait_count(2);
    drop(client);
    gate.open();
    origin.wait_closed(0);
    origin.wait_closed(1);
}

#[test]
fn a_small_body_is_sent_again_where_its_connection_closes_under_it() {
    // s-083 for a request with a body that may be repeated.
    let origin = Origin::serve(|turn| {
        if turn.connection() == 0 && turn.nth() == 1 {
            turn.read_body();
            turn.close();
            return;
        }
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    // One client's connection: its requests use one core's connections to the service.
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("/api/first").status, 200);
    client.send("PUT /api/doc HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 11\r\n\r\nhello world");
    assert_eq!(client.read().status, 200);
    assert_eq!(origin.connections(), 2, "the first one was closed under it");
    for sent in origin.requests().iter().filter(|sent| sent.method() == "PUT") {
        assert_eq!(sent.body, b"hello world", "never a part of it");
    }
}

#[test]
fn a_body_that_was_not_kept_is_not_sent_again() {
    let origin = Origin::serve(|turn| {
        if turn.request().method() == "PUT" {
            turn.read_body();
            turn.close();
            return;
        }
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("/api/first").status, 200);
    // On the connection that is open already, and larger than what is kept of a body.
    assert_eq!(client.request("PUT", "/api/doc", &[], &[b'x'; 64 * 1024]).problem(502), "upstream failure");
    let puts: Vec<_> = origin.requests().into_iter().filter(|seen| seen.method() == "PUT").collect();
    assert_eq!(puts.iter().map(|seen| seen.body.len()).collect::<Vec<_>>(), [64 * 1024]);
}

#[test]
fn a_request_is_not_sent_again_once_a_part_of_its_answer_came() {
    for part in ["HTTP/1.1 200 OK\r\nX-Ha", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let origin = Origin::serve(move |turn| {
            if turn.request().target() == "/first" {
                return turn.echo();
            }
            turn.raw(part);
            turn.close();
        });
        let gateway = Gateway::start(&[&origin], OPEN);
        let mut client = Client::connect(gateway.address());
        assert_eq!(client.get("/api/first").status, 200);
        assert_eq!(client.get("/api/x").problem(502), "upstream failure", "{part:?}");
        assert_eq!((origin.count(), origin.connections()), (2, 1), "{part:?}");
    }
}

#[test]
fn a_client_that_resets_while_it_is_ahead_ends_its_call() {
    let origin = Origin::serve(|turn| turn.wait_closed());
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { patient: { url: ORIGIN1, timeouts: { response: 10m } } }
        routes: { /api/*: { upstream: patient, timeout: 10m } }
        ",
    );
    let mut client = Client::connect(gateway.address());
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    // More than is read ahead, so the end is not seen by reading.
    client.send("GET /api/y HTTP/1.1\r\nHost: gw.test\r\n\r\n".repeat(2000));
    // Whichever core it is on: it has read them once it has served somebody who came later.
    for _ in 0..32 {
        assert_eq!(gateway.get("/elsewhere").status, 404);
    }
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    origin.wait_closed(0);
}

#[test]
fn a_client_that_has_ended_its_side_alone_is_still_answered() {
    // As `nc -N` and old scripts do.
    let served = (0..5).any(|_| {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::serve(move |turn| {
            turn.wait(&held);
            turn.answer(200, &[], "ok");
        });
        let gateway = Gateway::start(&[&origin], OPEN);
        let mut client = Client::connect(gateway.address());
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        origin.wait_count(1);
        client.finish_sending();
        // Asked and answered on the same core or another: the end of the client's side has been seen by then.
        assert_eq!(gateway.get("/elsewhere").status, 404);
        gate.open();
        client.read_to_end().starts_with(b"HTTP/1.1 200 OK")
    });
    assert!(served, "it is not taken for one that has left");
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let origin = Origin::serve(|turn| {
        turn.answer(200, &[], vec![b'x'; 64 << 20]);
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { idle: 300ms } } }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    let mut client = Client::connect(gateway.address());
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(client.read_head().0, 200);
    origin.wait_closed(0);
    let line = &gateway.log(1)[0];
    assert_eq!((&line["status"], &line["error"]), (&200.into(), &"client closed".into()), "{line}");
}

#[test]
fn an_answer_to_a_body_that_nobody_reads_ends_in_order() {
    let gateway = Gateway::start(&[], "routes: { /api/*: { respond: { body: ok } } }");
    let mut client = Client::connect(gateway.address());
    client.send("POST /none HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 200000\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    assert_eq!(client.read().problem(404), "no route");
    // A reset in the place of the end might take the answer from slower clients.
    assert_eq!(client.stream().read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_refused_client_that_stays_holds_the_end_up_no_longer_than_a_moment() {
    let gateway = Gateway::start(&[], "routes: { /api/*: { respond: { body: ok } } }");
    let mut client = Client::connect(gateway.address());
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100\r\n\r\npart");
    assert_eq!(client.read().status, 200);
    // Neither closed nor sent on by the client.
    gateway.signal("TERM");
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(gateway.stderr().contains("every connection has ended"), "{}", gateway.stderr());
}

#[test]
fn a_refused_client_that_sends_on_is_not_read_for_long() {
    let gateway = Gateway::start(&[], "routes: { /api/*: { respond: { body: ok } } }");
    let mut client = Client::connect(gateway.address());
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n");
    let piece = [b'x'; 64 * 1024];
    let taken = (0..4096).take_while(|_| client.try_send(piece).is_ok()).count();
    assert!(taken < 1024, "{taken} pieces of 64 KiB");
}
