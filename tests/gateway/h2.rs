//! HTTP/2 with prior knowledge on the same port. Ids in comments are cases of the catalogue of behaviour.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue};

use crate::support::h2::{Frames, Session, block_on, looks, read, request, wait_for};
use crate::support::{Gate, Gateway, Origin, PATIENCE};

const OPEN: &str = "routes: { 'GET,POST /api/*': { upstream: ORIGIN1, rewrite: / } }";

#[test]
fn requests_are_served_as_over_http_1() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let answer = session.fetch("GET", "/api/x?a=1&a=2").await.unwrap();
        assert_eq!(answer.status, 200);
        let seen = origin.last();
        assert_eq!(seen.line, "GET /x?a=1&a=2 HTTP/1.1");
        assert_eq!(seen.header("x-forwarded-host"), Some("gw.test"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        assert_eq!(Some(answer.headers["x-request-id"].to_str().unwrap()), seen.header("x-request-id"));
        assert!(!answer.headers.contains_key("connection"));

        let answer = session.post("/api/y", b"hello").await.unwrap();
        assert_eq!(answer.status, 200);
        let seen = origin.last();
        assert_eq!((seen.line.as_str(), seen.text().as_str()), ("POST /y HTTP/1.1", "hello"));

        let answer = session.fetch("HEAD", "/api/z").await.unwrap();
        assert_eq!((answer.status, answer.body.len(), origin.last().method()), (200, 0, "HEAD"));
        assert!(answer.headers.contains_key("content-length"));

        for (method, path, status, phrase) in [
            ("GET", "/none", 404, "no route"),
            ("PUT", "/api/x", 405, "method not allowed"),
            ("GET", "/api/%zz", 400, "malformed request"),
            ("M23456789012345678901234567890123", "/api/x", 400, "malformed request"),
        ] {
            let answer = session.fetch(method, path).await.unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["error"], phrase);
            assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
        }
    });
    assert!(origin.faults().is_empty());
}

#[test]
fn connect_is_405_whatever_is_routed() {
    let origin = Origin::echo();
    for routes in [OPEN, "routes: { /*: { upstream: ORIGIN1 } }"] {
        let gateway = Gateway::start(&[&origin], routes);
        block_on(async {
            let session = Session::connect(gateway.address()).await;
            let tunnel = http::Request::connect("inner.test:443").body(()).unwrap();
            let answer = session.open(tunnel, true).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.status, 405);
            assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
            assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
        });
        for target in ["inner.test:443", "/none"] {
            let answer = gateway.raw(format!("CONNECT {target} HTTP/1.1\r\nHost: inner.test:443\r\n\r\n"));
            assert_eq!(answer.problem(405), "method not allowed", "{target}");
            assert!(answer.header("allow").unwrap().contains("GET"));
        }
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn an_expectation_that_nobody_meets_is_417() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let odd = session.open(request("GET", "/api/x", &[("expect", "tea")]), true).await.unwrap();
        assert_eq!(odd.whole().await.unwrap().status, 417);
        let known =
            session.open(request("GET", "/api/x", &[("expect", "100-continue")]), true).await.unwrap();
        assert_eq!(known.whole().await.unwrap().status, 200);
    });
    assert!(!origin.only().has("expect"));
}

#[test]
fn streams_share_a_connection_and_do_not_wait_for_each_other() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/slow" {
            turn.wait(&held);
        }
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let slow = session.open(request("GET", "/api/slow", &[]), true).await.unwrap();
        for _ in 0..20 {
            assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
        }
        gate.open();
        assert_eq!(slow.whole().await.unwrap().status, 200);
    });
}

#[test]
fn big_bodies_pass_whole_both_ways() {
    let origin = Origin::serve(|turn| {
        let body = turn.body();
        turn.answer(200, &[], body);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let back = block_on(async {
        let session = Session::connect(gateway.address()).await;
        session.post("/api/x", &body).await.unwrap()
    });
    assert_eq!(back.status, 200);
    assert!(back.body == body);
}

#[test]
fn a_body_over_the_limit_is_413() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { body: 1KiB } } }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let declared =
            session.open(request("POST", "/api/x", &[("content-length", "2000")]), false).await.unwrap();
        assert_eq!(declared.whole().await.unwrap().status, 413);
        assert_eq!(origin.count(), 0);
        let mut stream = session.open(request("POST", "/api/x", &[]), false).await.unwrap();
        let _ = stream.body.send_data(Bytes::from(vec![b'x'; 2000]), false);
        assert_eq!(stream.whole().await.unwrap().status, 413);
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
    });
    assert!(origin.requests().iter().all(|seen| seen.method() == "GET" || !seen.complete));
}

#[test]
fn a_cancelled_stream_ends_its_call() {
    // s-141
    let origin =
        Origin::serve(
            |turn| if turn.request().target() == "/slow" { turn.wait_closed() } else { turn.echo() },
        );
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut stream = session.open(request("GET", "/api/slow", &[]), true).await.unwrap();
        wait_for("the call at the service", || origin.count() > 0).await;
        stream.body.send_reset(Reason::CANCEL);
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
    });
    origin.wait_closed(0);
}

#[test]
fn an_answer_that_breaks_off_is_a_reset() {
    // s-133
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[]);
        turn.chunk("hello");
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let stream = session.open(request("GET", "/api/x", &[]), true).await.unwrap();
        match stream.head().await {
            Ok((answer, _)) if answer.status() == 502 => {}
            Ok((answer, _)) => assert!(read(answer.into_body()).await.unwrap_err().is_reset()),
            Err(error) => assert!(error.is_reset()),
        }
        // The connection itself serves on.
        assert_eq!(session.fetch("GET", "/none").await.unwrap().status, 404);
    });
}

#[test]
fn trailers_of_an_answer_pass_and_those_of_a_request_do_no_harm() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        turn.chunked(200, &[]);
        turn.chunk("hello");
        turn.last_chunk(&[("X-Sum", "5")]);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut stream = session.open(request("POST", "/api/x", &[("te", "trailers")]), false).await.unwrap();
        stream.body.send_data(Bytes::from_static(b"body"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-check", HeaderValue::from_static("4"));
        trailers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        stream.body.send_trailers(trailers).unwrap();
        let answer = stream.whole().await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(answer.trailers.expect("trailers of the answer")["x-sum"], "5");
    });
    let seen = origin.only();
    assert_eq!((seen.text().as_str(), seen.complete), ("body", true));
    // H10: those of a request may end here; what headers may not say, they may not either.
    assert!([None, Some("4")].contains(&seen.trailers.one("x-check")));
    assert!(!seen.trailers.has("x-forwarded-for"));
}

#[test]
fn a_large_head_is_refused_without_an_invitation_to_repeat() {
    // s-108
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let big = "a".repeat(100_000);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let outcome = match session.open(request("GET", "/api/x", &[("x-big", &big)]), true).await {
            Ok(stream) => stream.whole().await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(answer) => assert_eq!(answer.status, 431),
            Err(error) => assert_ne!(error.reason(), Some(Reason::REFUSED_STREAM), "{error}"),
        }
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn streams_that_are_reset_once_they_run_are_bounded() {
    // The slow form of s-104: each request reaches the service before its client takes it back.
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut frames = Frames::connect(gateway.address());
    let block = Frames::get_block("/api/slow");
    let cancel = 8_u32.to_be_bytes();
    let mut sent = 0;
    let ended = 'flood: loop {
        assert!(sent < 4000, "the connection goes on after {sent} resets");
        let first = sent;
        for n in first..first + 40 {
            if !frames.send(1, 0x05, 2 * n + 1, &block) {
                break 'flood sent;
            }
        }
        // A ping that is answered: what came before it has been taken up.
        let _ = frames.send(6, 0, 0, b"12345678");
        loop {
            match frames.next() {
                None => break 'flood sent,
                Some((7, ..)) => break 'flood sent,
                Some((6, 1, ..)) => break,
                Some(_) => {}
            }
        }
        for n in first..first + 40 {
            if !frames.send(3, 0, 2 * n + 1, &cancel) {
                break 'flood sent;
            }
            sent = n + 1;
        }
    };
    assert!(ended <= 1000, "{ended} streams were reset before the connection ended");
    gate.open();
    assert_eq!(gateway.get("/api/x").status, 200, "others are served");
}

#[test]
fn streams_that_are_reset_at_once_are_bounded() {
    // s-104
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/slow" {
            turn.wait(&held);
        }
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut frames = Frames::connect(gateway.address());
    let block = Frames::get_block("/api/slow");
    let cancel = 8_u32.to_be_bytes();
    for n in 0..4000 {
        let stream = 2 * n + 1;
        if !(frames.send(1, 0x05, stream, &block) && frames.send(3, 0, stream, &cancel)) {
            break;
        }
    }
    assert_eq!(gateway.get("/api/x").status, 200, "others are served meanwhile");
    // A ping after the flood: either it is answered, or the connection has ended.
    let _ = frames.send(6, 0, 0, b"12345678");
    let mut goaway = None;
    while let Some((kind, flags, _, payload)) = frames.next() {
        if kind == 7 {
            goaway = Some(u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]));
            break;
        }
        if kind == 6 && flags == 1 {
            break;
        }
    }
    if let Some(code) = goaway {
        assert!([1, 11].contains(&code), "PROTOCOL_ERROR or ENHANCE_YOUR_CALM, not {code}");
    }
    assert!(origin.count() < 1000, "{} calls", origin.count());
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
    gate.open();
}

#[test]
fn a_head_without_end_is_bounded() {
    // s-105
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(1, 0x01, 1, &Frames::get_block("/api/x")));
    let field = b"\x00\x03x-a\x0a0123456789";
    let payload = field.repeat(16 * 1024 / field.len());
    let mut taken = 0;
    while taken < 5000 && frames.send(9, 0, 1, &payload) {
        taken += 1;
    }
    assert!(taken < 5000, "the connection ended");
    assert_eq!(gateway.get("/api/x").status, 200);
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
    assert_eq!(origin.count(), 1);
}

#[test]
fn frames_that_are_no_http_2_end_the_connection() {
    let gateway = Gateway::start(&[], "routes: { /x: { respond: { body: x } } }");
    let mut frames = Frames::connect(gateway.address());
    // DATA on a stream that was never opened.
    assert!(frames.send(0, 0, 1, b"data"));
    let mut ended = false;
    while let Some((kind, ..)) = frames.next() {
        ended |= kind == 7;
    }
    assert!(ended, "GOAWAY before the end");
    assert_eq!(gateway.get("/x").text(), "x");
}

#[test]
fn a_stopping_gateway_says_goaway_and_finishes_what_runs() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let running = session.open(request("GET", "/api/slow", &[]), true).await.unwrap();
        wait_for("the call at the service", || origin.count() > 0).await;
        gateway.signal("TERM");
        // GOAWAY has come once the session takes no more streams.
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut looks = looks();
        while session.fetch("HEAD", "/none").await.is_ok() {
            assert!(tokio::time::Instant::now() < end, "GOAWAY");
            looks.tick().await;
        }
        gate.open();
        assert_eq!(running.whole().await.unwrap().status, 200);
        assert!(session.driver.await.unwrap().is_ok());
    });
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

// ---- what a translation to HTTP/1 must not let through

/// A literal header field, never indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x10, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// Sends one head made by hand; gives true if it was answered with a HEADERS frame, false if it was refused.
fn answered(gateway: &Gateway, block: &[u8], body: Option<&[u8]>) -> bool {
    let mut frames = Frames::connect(gateway.address());
    let end = if body.is_none() { 0x05 } else { 0x04 };
    assert!(frames.send(1, end, 1, block));
    if let Some(body) = body {
        frames.send(0, 0x01, 1, body);
    }
    while let Some((kind, _, stream, _)) = frames.next() {
        match kind {
            1 if stream == 1 => return true,
            3 if stream == 1 => return false,
            7 => return false,
            _ => {}
        }
    }
    false
}

#[test]
fn fields_of_http_1_have_no_place_in_http_2() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let with = |name: &str, value: &str| [Frames::get_block("/api/x"), field(name, value)].concat();
    assert!(answered(&gateway, &with("x-a", "1"), None), "a head made by hand is a head");
    assert_eq!(origin.count(), 1);
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "x-a"),
        ("upgrade", "x"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("X-Upper", "1"),
        ("x-a", "a\r\nx-b: c"),
        ("x-a\r\nx-b", "c"),
        ("x a", "1"),
        (":path", "/api/y"),
        (":scheme", "http"),
        (":unknown", "x"),
    ] {
        let _ = answered(&gateway, &with(name, value), None);
        for seen in origin.requests().iter().skip(1) {
            assert!(!seen.has(name) && !seen.has("x-b") && seen.target() == "/x", "{name}: {seen:?}");
        }
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
    assert_eq!(gateway.get("/api/x").status, 200);
}

#[test]
fn a_length_that_does_not_hold_is_no_whole_request() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut block = Frames::get_block("/api/x");
    // Indexed :method POST.
    block[0] = 0x83;
    let with = |length: &str| [block.clone(), field("content-length", length)].concat();
    assert!(answered(&gateway, &with("5"), Some(b"hello")));
    assert_eq!(origin.only().text(), "hello");
    for (length, body) in [
        ("5", &b"hel"[..]),
        ("5", b"hello world"),
        ("0", b"GET /x HTTP/1.1\r\n\r\n"),
        ("x", b"a"),
        ("5, 5", b"hello"),
    ] {
        let _ = answered(&gateway, &with(length), Some(body));
        for seen in origin.requests().iter().skip(1) {
            assert!(!seen.complete || seen.body.is_empty(), "{length}: {seen:?}");
        }
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
}

#[test]
fn cookies_are_one_line_again_and_the_authority_is_the_host() {
    // RFC 9113 section 8.2.3
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1, host: client } }");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut with_cookies = request("GET", "/api/x", &[("cookie", "a=1"), ("te", "trailers")]);
        with_cookies.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let answer = session.open(with_cookies, true).await.unwrap().whole().await.unwrap();
        assert_eq!(answer.status, 200);
        let seen = origin.last();
        assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
        assert_eq!(seen.header("host"), Some("gw.test"));
        // A Host that says otherwise than :authority is refused, or has no say.
        let other = session
            .open(request("GET", "/api/x", &[("host", "evil.test")]), true)
            .await
            .unwrap()
            .whole()
            .await;
        assert!(other.map_or(true, |answer| [200, 400].contains(&answer.status)));
    });
    assert!(!origin.raw_all().contains("evil.test"), "{}", origin.raw_all());
}

#[test]
fn the_preface_may_come_in_pieces_and_the_settings_say_the_bounds() {
    let gateway = Gateway::start(
        &[],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { streams: 7 } } }
        routes: { /x: { respond: { body: x } } }
        ",
    );
    let mut client = gateway.client();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" {
        client.send([*byte]);
    }
    let head = client.read_bytes(9);
    assert_eq!(head[3], 4, "SETTINGS come first: {head:?}");
    let settings = client.read_bytes(u64::from(head[2]));
    let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("MAX_CONCURRENT_STREAMS");
    assert_eq!(streams[2..], [0, 0, 0, 7]);
}

// ---- back pressure

const BIG: usize = 48 << 20;

/// Sends zeros, as fast as the gateway's window lets it, until so many have gone.
async fn send_zeros(body: &mut h2::SendStream<Bytes>, sent: &mut usize) {
    while *sent < BIG {
        body.reserve_capacity(64 * 1024);
        let room = poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = room.min(BIG - *sent);
        *sent += piece;
        body.send_data(Bytes::from(vec![0; piece]), *sent == BIG).unwrap();
    }
}

#[test]
fn an_upload_waits_for_a_slow_service_in_bounded_memory() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        let digest = turn.body_digest();
        turn.answer_early(200, &[], digest.length.to_string());
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { body: 128MiB } } }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let head = request("POST", "/api/x", &[("content-length", &BIG.to_string())]);
        let mut stream = session.open(head, false).await.unwrap();
        let mut sent = 0;
        let stalled =
            tokio::time::timeout(Duration::from_secs(1), send_zeros(&mut stream.body, &mut sent)).await;
        assert!(stalled.is_err(), "what the service does not read is not taken from the client");
        gate.open();
        send_zeros(&mut stream.body, &mut sent).await;
        let answer = stream.whole().await.unwrap();
        assert_eq!((answer.status, answer.body), (200, BIG.to_string().into_bytes()));
    });
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
}

#[test]
fn an_answer_waits_for_a_slow_client_in_bounded_memory() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::serve(move |turn| {
        if turn.request().target() != "/big" {
            return turn.echo();
        }
        turn.raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
        for _ in 0..BIG >> 16 {
            turn.raw(vec![0; 1 << 16]);
            counter.fetch_add(1 << 16, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let big = session.open(request("GET", "/api/big", &[]), true).await.unwrap();
        let (answer, _) = big.head().await.unwrap();
        // Streams of one connection share its window, so the others are on another one.
        let other = Session::connect(gateway.address()).await;
        for _ in 0..100 {
            assert_eq!(other.fetch("GET", "/api/x").await.unwrap().status, 200);
        }
        assert!(
            sent.load(Ordering::SeqCst) < BIG,
            "what the client does not read is not taken from the service"
        );
        let (body, _) = read(answer.into_body()).await.unwrap();
        assert_eq!(body.len(), BIG);
    });
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
}

#[test]
fn a_head_is_judged_as_one_of_http_1() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let many: Vec<String> = (0..120).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let long = format!("/api/{}", "a".repeat(9000));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for (status, request) in [
            (400, request("GET", "/api/x", &[("host", "other.test")])),
            (400, request("GET", "/api/x", &[("x-a", " b")])),
            (400, request("GET", "/api/x", &[("x-a", "b\t")])),
            (431, request("GET", "/api/x", &many)),
            (414, request("GET", &long, &[])),
            (200, request("GET", "/api/x", &[("host", "gw.test"), ("x-a", "b c")])),
        ] {
            let what = format!("{request:?}");
            let answer = session.open(request, true).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.status, status, "{}", &what[..what.len().min(200)]);
        }
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_body_that_stops_coming_is_408() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], &short("body_timeout"));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut stream = session.open(request("POST", "/api/x", &[]), false).await.unwrap();
        stream.body.send_data(Bytes::from_static(b"part"), false).unwrap();
        assert_eq!(stream.whole().await.unwrap().status, 408);
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200, "other streams go on");
    });
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], &short("idle"));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
        assert!(session.driver.await.unwrap().is_ok(), "GOAWAY without an error");
    });
    // One that never asks has as long as a head.
    let gateway = Gateway::start(&[&origin], &short("head_timeout"));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert!(session.driver.await.unwrap().is_ok());
    });
}

#[test]
fn a_client_that_takes_nothing_of_any_answer_is_cut_off() {
    let origin = Origin::serve(|turn| {
        turn.answer(200, &[], vec![b'x'; 64 << 20]);
        turn.wait_closed();
    });
    // No other limit may be what ends it.
    let config = short("idle").replace("idle: 300ms", "idle: 300ms, head_timeout: 10m");
    let gateway = Gateway::start(&[&origin], &config);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let stream = session.open(request("GET", "/api/x", &[]), true).await.unwrap();
        let (answer, _unused) = stream.head().await.unwrap();
        assert_eq!(answer.status(), 200);
        // The window stays full: nothing of the body is read.
        let _ = session.driver.await;
        drop(answer);
    });
    origin.wait_closed(0);
}

/// A listener with one short bound.
fn short(limit: &str) -> String {
    format!(
        "
        listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ {limit}: 300ms }} }} }}
        routes: {{ /api/*: {{ upstream: ORIGIN1 }} }}
        "
    )
}
