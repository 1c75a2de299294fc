//! Answers that come piece by piece, and answers without content, over HTTP/1 and HTTP/2. Ids in comments are cases of the
//! catalogue of behaviour.

use std::time::Duration;

use crate::support::h2::{Session, block_on, read, request};
use crate::support::{Gate, Gateway, Origin, Turn};

#[test]
fn each_event_passes_when_it_comes() {
    // s-100
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn: &mut Turn| {
        let media =
            if turn.request().target().starts_with("/long") { "text/plain" } else { "text/event-stream" };
        turn.chunked(200, &[("Content-Type", media), ("Cache-Control", "max-age=60")]);
        turn.chunk("data: 1\n\n");
        turn.wait(&held);
        turn.chunk("data: 2\n\n");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /plain: { upstream: ORIGIN1 }
          /long: { upstream: ORIGIN1 }
          /kept: { upstream: ORIGIN1, policies: { cache: { ttl: 1m } } }
          /shaped: { upstream: ORIGIN1, policies: { shape: { keep: [a] } } }
        ",
    );
    let paths = ["/plain", "/long", "/kept", "/shaped"];
    let mut clients: Vec<_> = paths
        .iter()
        .map(|path| {
            let mut client = gateway.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            assert_eq!(client.read_head().0, 200);
            assert_eq!(client.read_bytes(14), b"9\r\ndata: 1\n\n\r\n", "{path}");
            client
        })
        .collect();
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut streams = Vec::new();
        for path in paths {
            let stream = session.open(request("GET", path, &[]), true).await.unwrap();
            let (answer, _body) = stream.head().await.unwrap();
            let mut body = answer.into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "data: 1\n\n", "{path}");
            streams.push(body);
        }
        gate.open();
        for body in streams {
            assert_eq!(read(body).await.unwrap().0, b"data: 2\n\n");
        }
    });
    for client in &mut clients {
        assert_eq!(client.read_bytes(19), b"9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    }
    // Nothing was kept of the events.
    let asked = origin.count();
    assert_eq!(gateway.get("/kept").text(), "data: 1\n\ndata: 2\n\n");
    assert_eq!(origin.count(), asked + 1);
}

#[test]
fn a_stream_outlasts_the_time_for_its_head_and_not_the_gap() {
    // s-101
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[("Content-Type", "text/event-stream")]);
        for _ in 0..8 {
            turn.chunk("data: x\n\n");
            // A pause: the client says nothing.
            turn.has_bytes_within(Duration::from_millis(150));
        }
        match turn.request().target() {
            "/ends" => turn.last_chunk(&[]),
            _ => turn.wait_closed(),
        }
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { events: { url: ORIGIN1, timeouts: { response: 500ms, idle: 700ms } } }
        routes: { /*: { upstream: events, timeout: 600ms } }
        ",
    );
    let whole = gateway.get("/ends");
    assert_eq!((whole.complete, whole.text()), (true, "data: x\n\n".repeat(8)));
    // One that falls silent is broken off, and its client sees that.
    let silent = gateway.get("/silent");
    assert_eq!((silent.complete, silent.text()), (false, "data: x\n\n".repeat(8)));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/ends").await.unwrap().body, "data: x\n\n".repeat(8).as_bytes());
        assert!(session.fetch("GET", "/silent").await.is_err());
    });
    assert_eq!(gateway.log(4)[1]["reason"], "idle");
}

/// What a service answers to a target, byte by byte.
fn bodiless(turn: &mut Turn) {
    turn.read_body();
    let head = turn.request().method() == "HEAD";
    match turn.request().target() {
        "/length" if head => turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        "/length" => turn.answer(200, &[], vec![b'x'; 1234]),
        "/chunked" if head => turn.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "/204" => turn.raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/204-length" => turn.raw("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        "/205" => turn.raw("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        "/205-chunked" => {
            turn.raw("HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        }
        "/304" => turn.raw("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 1234\r\n\r\n"),
        "/range" => {
            let range = [("Content-Range", "bytes 2-4/10"), ("Content-Type", "text/plain")];
            turn.answer(206, &range, "234");
        }
        "/416" => turn.answer(416, &[("Content-Range", "bytes */10")], ""),
        _ => turn.answer(200, &[], "next"),
    }
}

/// Method, target, status, length over HTTP/1.1, length over HTTP/2, content.
type Bodiless = (&'static str, &'static str, u16, Option<&'static str>, Option<&'static str>, &'static str);

#[test]
fn answers_without_content_say_what_they_said_over_both_protocols() {
    // s-092, s-093
    let origin = Origin::serve(bodiless);
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let cases: &[Bodiless] = &[
        ("HEAD", "/length", 200, Some("1234"), Some("1234"), ""),
        ("HEAD", "/chunked", 200, None, None, ""),
        ("DELETE", "/204", 204, None, None, ""),
        ("DELETE", "/204-length", 204, None, None, ""),
        ("POST", "/205", 205, Some("0"), None, ""),
        ("POST", "/205-chunked", 205, None, None, ""),
        ("GET", "/304", 304, Some("1234"), Some("1234"), ""),
        ("HEAD", "/304", 304, Some("1234"), Some("1234"), ""),
        ("GET", "/range", 206, Some("3"), Some("3"), "234"),
        ("GET", "/416", 416, Some("0"), None, ""),
    ];
    let mut client = gateway.client();
    for (method, target, status, length, _, content) in cases {
        let answer = client.request(method, target, &[("Range", "bytes=2-4")], b"");
        let said = (answer.status, answer.header("content-length"), answer.text());
        assert_eq!(said, (*status, *length, (*content).to_owned()), "{method} {target}");
        assert!(answer.complete && origin.last().header("range") == Some("bytes=2-4"));
        let framed = answer.headers.has("transfer-encoding");
        assert_eq!(framed, *target == "/205-chunked", "{method} {target}");
        // The connection goes on, and nothing of the answer is left in it.
        assert_eq!(client.get("/next").text(), "next", "behind {method} {target}");
    }
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for (method, target, status, _, length, content) in cases {
            let asked = request(method, target, &[("range", "bytes=2-4")]);
            let answer = session.open(asked, true).await.unwrap().whole().await.unwrap();
            let said = answer.headers.get("content-length").map(|value| value.to_str().unwrap());
            assert_eq!(
                (answer.status, said, &*answer.body),
                (*status, *length, content.as_bytes()),
                "{target}"
            );
            assert_eq!(answer.headers.get("etag").is_some(), *status == 304);
            assert_eq!(answer.headers.get("content-range").is_some(), [206, 416].contains(status));
        }
    });
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
}
