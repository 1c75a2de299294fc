//! Upgrades up to the 101, and what passes behind it (RFC 9110 section 7.8, RFC 6455). Ids in comments are cases (s) of
//! the catalogue. How tunnels end is in `upgrades_end.rs`.

use std::time::Duration;

use crate::support::websocket::{ACCEPT, CLOSE, HANDSHAKE, TEXT, code, echo, frame, open};
use crate::support::{Closed, Gate, Gateway, Origin, PATIENCE, Turn, token, until};

const OPEN: &str = "routes: { /ws/*: { upstream: STEADY1, rewrite: / } }";

/// Offers a protocol and nothing else.
const OFFER: &str = "GET /ws/x HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n";

/// A service that switches to whatever it is asked for, and gives every byte back in capitals.
fn capitals() -> Origin {
    Origin::serve(|turn| {
        let protocol = turn.request().header("upgrade").unwrap().to_owned();
        turn.switch(&protocol, b"");
        loop {
            let bytes = turn.some();
            if bytes.is_empty() {
                break;
            }
            turn.raw(bytes.to_ascii_uppercase());
        }
    })
}

// ---- what passes

#[test]
fn a_websocket_passes_both_ways() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = open(gateway.address(), "/ws/chat?room=1");
    let long: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
    for payload in [&b""[..], b"hello", &long[..1000], &long] {
        client.say(TEXT, payload);
        assert_eq!(client.hear(), Some((TEXT, payload.to_vec())));
    }
    client.say(CLOSE, code(1000));
    assert_eq!(client.hear(), Some((CLOSE, code(1000))));
    assert!(client.closed());
    let seen = origin.only();
    assert_eq!(seen.line, "GET /chat?room=1 HTTP/1.1");
    assert_eq!((seen.header("connection"), seen.header("upgrade")), (Some("Upgrade"), Some("websocket")));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    origin.wait_closed(0);
}

#[test]
fn any_protocol_passes_byte_by_byte() {
    let origin = capitals();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send(OFFER);
    let (status, headers) = client.read_head();
    assert_eq!(
        (status, headers.one("upgrade"), headers.one("connection")),
        (101, Some("foo/1"), Some("Upgrade"))
    );
    assert!(!headers.has("content-length") && !headers.has("transfer-encoding"));
    assert!(headers.has("x-request-id"));
    for piece in ["a", "GET /ws/x HTTP/1.1\r\n\r\n", "\0\n"] {
        client.send(piece);
        assert_eq!(client.read_bytes(piece.len() as u64), piece.to_uppercase().as_bytes());
    }
    assert_eq!(origin.count(), 1, "what looks like a request is none");
}

#[test]
fn nothing_behind_the_head_is_forwarded_before_the_101() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.switch("foo/1", b"");
        let bytes = turn.some();
        turn.raw(bytes);
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send(OFFER.to_owned() + "early bytes");
    origin.wait_count(1);
    client.send(", and more");
    // The gateway has read what it was sent, and answers others meanwhile.
    assert_eq!(gateway.get("/none").status, 404);
    assert!(!origin.raw(0).contains("early"), "{}", origin.raw(0));
    gate.open();
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_bytes(11), b"early bytes");
    until("all of it comes", || origin.raw(0).ends_with("early bytes, and more"));
}

#[test]
fn bytes_behind_the_101_are_kept() {
    let origin = Origin::serve(|turn| {
        turn.switch("foo/1", b"first words");
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send(OFFER);
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_to_end(), b"first words");
}

#[test]
fn what_the_service_chooses_is_relayed_and_nothing_is_invented() {
    // s-098, s-099
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let handshake = |more: &str| {
        let mut client = gateway.client();
        client.send(format!(
            "GET /ws/x HTTP/1.1\r\nHost: gw.test\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        ));
        client.read_head()
    };
    let (status, headers) = handshake("Sec-WebSocket-Protocol: p1\r\n");
    assert_eq!((status, headers.one("sec-websocket-accept")), (101, Some(ACCEPT)));
    assert!(!headers.has("sec-websocket-protocol") && !headers.has("sec-websocket-extensions"));
    let seen = origin.last();
    assert_eq!(seen.header("sec-websocket-protocol"), Some("p1"));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(handshake("").0, 101);
    let seen = origin.last();
    assert!(!seen.has("sec-websocket-protocol") && !seen.has("sec-websocket-extensions"));
    assert!(seen.header("upgrade").is_some_and(|line| line.eq_ignore_ascii_case("websocket")));
    assert_eq!(seen.header("connection"), Some("Upgrade"));
    let offer = "permessage-deflate; client_max_window_bits, x-other";
    assert_eq!(handshake(&format!("Sec-WebSocket-Extensions: {offer}\r\n")).0, 101);
    assert_eq!(origin.last().header("sec-websocket-extensions"), Some(offer));
}

#[test]
fn a_slow_taker_sets_the_pace() {
    const PIECE: usize = 1 << 20;
    let origin = Origin::serve(|turn| {
        turn.switch("foo/1", b"");
        let piece = vec![b'x'; PIECE];
        // Nobody reads: after a while nothing more is taken.
        let mut sent = 0;
        while sent < 64 && turn.raw_within(&piece, Duration::from_millis(500)) {
            sent += 1;
        }
        turn.raw(format!("\n{sent}\n"));
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let before = gateway.resident_memory();
    let mut client = gateway.client();
    client.send(OFFER);
    assert_eq!(client.read_head().0, 101);
    // The service sends as much as sockets and the gateway hold, then it gives up on a piece.
    let all = {
        origin.wait_count(1);
        assert!(client.has_bytes(PATIENCE));
        std::thread::park_timeout(Duration::from_millis(1));
        client.read_to_end()
    };
    assert!(!all.is_empty());
    assert!(gateway.resident_memory() < before + 8, "MiB");
}

#[test]
fn an_idle_tunnel_takes_little_memory() {
    const TUNNELS: u64 = 200;
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let opened = || {
        let mut client = open(gateway.address(), "/ws/chat");
        client.say(TEXT, "hello");
        assert_eq!(client.hear(), Some((TEXT, b"hello".to_vec())));
        client
    };
    let _first: Vec<_> = (0..20).map(|_| opened()).collect();
    let before = gateway.resident_memory();
    let _all: Vec<_> = (0..TUNNELS).map(|_| opened()).collect();
    // 6 KiB each; the future of a request and the buffers of its reads would be three times as much.
    let grown = gateway.resident_memory() - before;
    assert!(grown * 1024 <= TUNNELS * 12, "{grown} MiB");
}

// ---- before the 101

#[test]
fn a_handshake_passes_every_policy_first() {
    let origin = echo();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }}, identity: {{ x-user-id: sub }} }} }}
        rate_limits: {{ few: {{ limit: 1, window: 1h, key: client.ip }} }}
        routes:
          /ws/*: {{ upstream: STEADY1 }}
          /private/*: {{ upstream: STEADY1, policies: {{ auth: user }} }}
          /few: {{ upstream: STEADY1, policies: {{ rate_limit: few }} }}
          /kept: {{ upstream: STEADY1, policies: {{ cache: {{ ttl: 1m }} }} }}
          /shaped: {{ upstream: STEADY1, policies: {{ shape: {{ omit: [secret] }} }} }}
          /here: {{ respond: {{ body: here }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    assert_eq!(client.request("GET", "/private/x", &HANDSHAKE, b"").problem(401), "missing token");
    assert_eq!(client.request("GET", "/here", &HANDSHAKE, b"").text(), "here", "no service is asked");
    assert_eq!((origin.count(), gateway.log(1)[0]["status"].as_u64()), (0, Some(401)));
    let bearer = format!("Bearer {}", token::for_subject("alice"));
    let mut lines = HANDSHAKE.to_vec();
    lines.extend([
        ("Authorization", bearer.as_str()),
        ("X-User-Id", "mallory"),
        ("X-Forwarded-For", "1.2.3.4"),
    ]);
    assert_eq!(client.request("GET", "/private/x", &lines, b"").status, 101);
    let seen = origin.last();
    assert_eq!(
        (seen.header("x-user-id"), seen.header("x-forwarded-for")),
        (Some("alice"), Some("127.0.0.1"))
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert!(seen.has("x-request-id") && seen.has("via"));
    open(gateway.address(), "/few");
    assert_eq!(gateway.request("GET", "/few", &HANDSHAKE, b"").problem(429), "rate limited");
    // What is kept is no WebSocket, and a shape has nothing to do.
    assert_eq!(gateway.get("/kept").status, 200);
    for target in ["/kept", "/shaped"] {
        let mut client = open(gateway.address(), target);
        client.say(TEXT, "x");
        assert_eq!(client.hear(), Some((TEXT, b"x".to_vec())), "{target}");
    }
}

#[test]
fn protocols_that_carry_http_are_not_offered() {
    let origin = capitals();
    let gateway = Gateway::start(&[&origin], OPEN);
    let offered = |lines: &str| {
        let mut client = gateway.client();
        client.send(format!("GET /ws/x HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n"));
        client.read_head();
        let seen = origin.last();
        assert!(!seen.has("http2-settings"));
        assert_eq!(seen.has("connection"), seen.has("upgrade"));
        seen.header("upgrade").map(str::to_owned)
    };
    let passes =
        offered("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, foo\r\nHTTP2-Settings: AAM\r\n");
    assert_eq!(passes.as_deref(), Some("foo"));
    assert_eq!(
        offered("Connection: Upgrade\r\nUpgrade: TLS/1.3, HTTP/2.0, bar/2\r\n").as_deref(),
        Some("bar/2")
    );
}

#[test]
fn an_upgrade_of_a_request_with_content_or_of_http_1_0_is_ignored() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let ask = |request: &str| {
        let answer = gateway.raw(request);
        assert_eq!(answer.status, 200, "{request}");
        let seen = origin.last();
        assert!(!seen.has("upgrade") && !seen.has("connection"), "{seen:?}");
        seen.text()
    };
    let offer = "Host: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket, foo\r\n";
    assert_eq!(ask(&format!("POST /ws/x HTTP/1.1\r\n{offer}Content-Length: 4\r\n\r\nbody")), "body");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(ask(&format!("GET /ws/x HTTP/1.1\r\n{offer}{chunked}")), "body");
    ask(&format!("GET /ws/x HTTP/1.0\r\n{offer}\r\n"));
    // A handshake of WebSocket is a GET.
    gateway.raw(format!("POST /ws/x HTTP/1.1\r\n{offer}\r\n"));
    assert_eq!(origin.last().header("upgrade"), Some("foo"));
}

// ---- a service that does not switch, or to what it was not asked for

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    // s-096
    let origin = Origin::serve(|turn| match turn.request().target() {
        "/x" => turn.answer(404, &[], "nope"),
        _ => turn.answer(200, &[], "ok"),
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let mut pipelined = OFFER.to_owned();
    pipelined.push_str("GET /ws/plain HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    for request in [OFFER, &pipelined] {
        client.send(request);
        let answer = client.read();
        assert_eq!((answer.status, answer.text().as_str()), (404, "nope"));
        assert_eq!(answer.header("connection"), None, "the connection goes on");
    }
    assert_eq!(client.read().text(), "ok");
    // The connections that offered it carry nothing else, and are closed.
    origin.wait_closed(0);
    origin.wait_closed(1);
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_101_that_was_not_asked_for_is_502() {
    let answers = [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bar\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/1, h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n",
    ];
    let origin = Origin::serve(move |turn| {
        let number: usize = turn.request().target().trim_start_matches('/').parse().unwrap();
        turn.raw(answers[number]);
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    for (number, bytes) in answers.iter().enumerate() {
        let mut client = gateway.client();
        client.send(OFFER.replace("/x", &format!("/{number}")));
        assert_eq!(client.read().problem(502), "upstream failure", "{bytes}");
        origin.wait_closed(number);
    }
    // One that offered nothing.
    assert_eq!(gateway.get("/ws/0").problem(502), "upstream failure");
    assert!(gateway.log(6).iter().all(|line| line["reason"] == "protocol"));
}

// ---- what a handshake takes, and how it is tried

#[test]
fn a_handshake_is_tried_again_only_where_nothing_was_sent() {
    let origin = Origin::serve(|turn| {
        if turn.request().has("upgrade") {
            turn.reset();
        } else {
            turn.answer(200, &[], "ok");
        }
    });
    let closed = Closed::new();
    let config = format!(
        "
        upstreams:
          s: {{ url: ORIGIN1, retry: {{ attempts: 3, retry_on: [connect, reset, 503] }} }}
          c: {{ endpoints: ['{}', ORIGIN2], retry: {{ attempts: 3 }} }}
        routes: {{ /ws/*: {{ upstream: s }}, /c/*: {{ upstream: c }} }}
        ",
        closed.url()
    );
    let other = capitals();
    let gateway = Gateway::start(&[&origin, &other], &config);
    // A connection at rest is not used for it: the service may be closing it in this moment.
    assert_eq!(gateway.get("/ws/plain").status, 200);
    assert_eq!(gateway.raw(OFFER).problem(502), "upstream failure");
    assert_eq!((origin.count(), origin.connections()), (2, 2));
    for _ in 0..4 {
        let mut client = gateway.client();
        client.send(OFFER.replace("/ws/", "/c/"));
        assert_eq!(client.read_head().0, 101);
    }
    assert_eq!(other.count(), 4);
}

#[test]
fn a_tunnel_takes_no_place_of_a_call() {
    let origin = echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { one: { url: ORIGIN1, concurrency: { max: 1, queue: 0 } } }
        overload: { max_in_flight: 1 }
        routes: { /ws/*: { upstream: one } }
        ",
    );
    let mut tunnels: Vec<_> = (0..3).map(|_| open(gateway.address(), "/ws/x")).collect();
    assert_eq!(gateway.get("/ws/plain").status, 200);
    for client in &mut tunnels {
        client.say(TEXT, "still here");
        assert_eq!(client.hear(), Some((TEXT, b"still here".to_vec())));
    }
}

#[test]
fn a_client_that_leaves_before_the_101_ends_the_call() {
    let origin = Origin::serve(Turn::wait_closed);
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send(OFFER);
    origin.wait_count(1);
    drop(client);
    origin.wait_closed(0);
    let line = &gateway.log(1)[0];
    assert_eq!((&line["status"], &line["error"]), (&499.into(), &"client closed".into()), "{line}");
    assert!(line["ended"].is_null(), "there was no tunnel");
}

#[test]
fn the_time_of_a_route_ends_with_the_head() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], "routes: { /ws/*: { upstream: STEADY1, timeout: 500ms } }");
    let mut client = open(gateway.address(), "/ws/x");
    assert!(!client.has_bytes(Duration::from_millis(1200)), "nothing comes, and nothing ends");
    client.say(TEXT, "later");
    assert_eq!(client.hear(), Some((TEXT, b"later".to_vec())));
}

// ---- CONNECT

#[test]
fn what_follows_a_refused_connect_is_no_request() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    for target in ["inner.test:443", "/x"] {
        let mut client = gateway.client();
        client.send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: inner.test:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n"
        ));
        let answer = client.read();
        assert!([400, 405].contains(&answer.status));
        assert_eq!(answer.header("connection"), Some("close"));
        client.finish_sending();
        assert!(client.closed(), "{target}");
    }
    assert_eq!(origin.count(), 0);
    // Nor behind the upload of a proxy on the same connection.
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw.test\r\nVia: 1.1 front\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(client.read().status, 200);
    client
        .send("CONNECT /x HTTP/1.1\r\nHost: gw.test\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let answer = client.read();
    assert!([400, 405].contains(&answer.status));
    client.finish_sending();
    assert!(client.closed());
    assert_eq!(origin.count(), 1);
}

#[test]
fn frames_and_handshake_may_come_in_one_piece() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let lines: String = HANDSHAKE.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut bytes = format!("GET /ws/x HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n").into_bytes();
    bytes.extend(frame(TEXT, b"at once", true));
    client.send(bytes);
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.hear(), Some((TEXT, b"at once".to_vec())));
}
