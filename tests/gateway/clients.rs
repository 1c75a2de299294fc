//! Clients that do not play along: silent ones, those that leave early, and bodies whose end nobody announced.

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
