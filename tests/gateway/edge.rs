//! The edge: what is refused before any rule is asked, and the bounds. Ids in comments are rows (H) and cases (s) of
//! the catalogue of behaviour.

use std::time::Duration;

use crate::support::{Answer, Client, Gateway, Origin, Turn, token, until};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }";

/// Sends the bytes and asserts that they are refused with 400, the connection closed, and nothing reached upstream.
#[track_caller]
fn refused(gateway: &Gateway, origin: &Origin, bytes: &str) {
    let mut client = gateway.client();
    let answer = client.send(bytes).read();
    assert_eq!(answer.problem(400), "malformed request", "{bytes:?}");
    assert!(client.closed(), "{bytes:?}");
    assert_eq!(origin.count(), 0, "{bytes:?}");
}

/// A listener with these limits, before an echo service under `/api`.
fn bounded(origin: &Origin, limits: &str) -> Gateway {
    let config = format!(
        "
        listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ {limits} }} }} }}
        routes: {{ /api/*: {{ upstream: ORIGIN1, rewrite: / }} }}
        "
    );
    Gateway::start(&[origin], &config)
}

// ---- framing

#[test]
fn two_framings_are_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let post = "POST /api/echo HTTP/1.1\r\nHost: gw.test\r\n";
    let inner = "GET /admin HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    for rest in [
        // s-001, H15
        &format!("Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        // s-002
        &format!("Transfer-Encoding: chunked\t\r\nContent-Length: 39\r\n\r\n0\r\n\r\n{inner}"),
        // s-003
        "Content-Length: 3\r\nContent-Length: 8\r\n\r\nabcdefgh",
        "Content-Length: 3, 8\r\n\r\nabcdefgh",
        // s-004
        "Content-Length: 5\r\nContent-Length : 3\r\n\r\nhello",
        // s-006
        &format!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n1d\r\n{inner}\r\n0\r\n\r\n"),
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x5\r\n\r\nhello",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length:\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n",
    ] {
        refused(&gateway, &origin, &format!("{post}{rest}"));
    }
    assert!(!origin.raw_all().contains("/admin"));
}

#[test]
fn a_head_that_breaks_the_grammar_is_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    for bytes in [
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A: 1\r\n folded\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A : 1\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\n: 1\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nno colon\r\n\r\n",
        "GET /api/x HTTP/1.1\nHost: gw.test\n\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\nX-A: 1\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A: a\rb\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A: a\0b\r\n\r\n",
        "GET  /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        "GET /api/x  HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        "GET /api/x y HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        "G@T /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        "GET /api/x http/1.1\r\nHost: gw.test\r\n\r\n",
        "GET /api/x HTTP/1.10\r\nHost: gw.test\r\n\r\n",
        "GET /api/x\r\n\r\n",
        // H22
        "GET /api/x HTTP/1.1\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: gw.test\r\nHost: gw.test\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        refused(&gateway, &origin, bytes);
    }
}

#[test]
fn a_target_that_breaks_the_rules_is_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    for target in [
        "api/x",
        "/a#/../../private",
        "/a\u{e9}",
        "*",
        "/..",
        "/%2e%2e/x",
        "/a/..;/b",
        "/a%5cb",
        "http:///x",
        "ftp://a/x",
    ] {
        let answer = gateway.raw(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        assert_eq!(answer.problem(400), "malformed request", "{target:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_bad_chunk_ends_the_request_and_the_connection() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let mut client = gateway.client();
        client.send(format!(
            "POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let answer = client.read();
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.text());
        assert!(client.closed(), "{body:?}");
    }
    // Whatever began upstream never became a whole request.
    assert!(origin.requests().iter().all(|seen| !seen.complete));
}

#[test]
fn bodies_pass_whole_in_one_framing() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    // H09, H13, s-091
    for (method, body) in
        [("POST", "hello"), ("PUT", "{}"), ("PATCH", "p"), ("DELETE", "d"), ("GET", "g"), ("OPTIONS", "o")]
    {
        assert_eq!(client.request(method, "/api/x", &[], body.as_bytes()).status, 200);
        let seen = origin.last();
        assert_eq!((seen.method(), seen.text().as_str()), (method, body));
        assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
        assert!(!seen.has("transfer-encoding"));
    }
    // H10, H12: chunks in any cut; what looks like a request inside stays inside.
    for method in ["POST", "DELETE", "OPTIONS", "GET"] {
        let head = format!("{method} /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: Chunked\r\n\r\n");
        client.send(head).send("5;ext=\"a\"\r\nGET /\r\n").send("1");
        client.send("0\r\nadmin HTTP/1.1\r\n\r\n0\r\n\r\n");
        assert_eq!(client.read().status, 200, "{method}");
        let seen = origin.last();
        assert_eq!((seen.method(), seen.text().as_str()), (method, "GET /admin HTTP/1.1\r\n"));
        assert!(seen.has("transfer-encoding") != seen.has("content-length"), "{:?}", seen.headers);
    }
    // H14
    for method in ["OPTIONS", "DELETE", "GET"] {
        assert_eq!(client.request(method, "/api/x", &[], b"").status, 200);
        assert!([None, Some("0")].contains(&origin.last().header("content-length")));
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
    assert_eq!(origin.count(), 13);
}

#[test]
fn a_trailer_line_on_a_request_without_chunks_harms_nobody() {
    // H11
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    assert_eq!(gateway.request("GET", "/api/x", &[("Trailer", "x-t")], b"").status, 200);
    assert!(!origin.only().has("trailer"));
    assert!(!gateway.exited());
}

#[test]
fn trailers_cannot_bring_what_headers_may_not() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let answer = gateway.raw(
        "POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x-forwarded-for\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 3\r\nX_Request_Id: a\r\n\r\n",
    );
    assert!([200, 400].contains(&answer.status));
    for seen in origin.requests() {
        for name in ["x-forwarded-for", "content-length", "x_request_id"] {
            assert!(!seen.trailers.has(name), "{:?}", seen.trailers);
        }
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let mut bytes = String::new();
    for n in 0..20 {
        bytes.push_str(&format!("POST /api/{n} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 4\r\n\r\nbody"));
        bytes.push_str(&format!("GET /api/{n}/get HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
    }
    client.send(bytes);
    for n in 0..20 {
        assert_eq!(client.read().json()["line"], format!("POST /{n} HTTP/1.1"));
        assert_eq!(client.read().json()["line"], format!("GET /{n}/get HTTP/1.1"));
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for byte in b"\r\nPOST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nok" {
        client.send([*byte]);
    }
    assert_eq!(client.read().json()["body"], "ok");
}

#[test]
fn bytes_after_an_upgrade_that_was_not_granted_are_a_request() {
    // s-005
    let origin = Origin::text("ok");
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          /open/*: {{ upstream: ORIGIN1 }}
          /private/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    client.send(
        "GET /open/a HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n\
         GET /private/b HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    );
    let first = client.read();
    assert!([200, 400].contains(&first.status));
    if let Ok(second) = client.try_read_for("GET") {
        assert_eq!(second.problem(401), "missing token");
    }
    assert!(!origin.raw_all().contains("private"));
}

// ---- paths (with `path: { encoded_slash: keep }`)

#[test]
fn an_encoded_slash_passes_as_it_came_where_a_route_keeps_it() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /api/*: { upstream: ORIGIN1, rewrite: /, path: { encoded_slash: keep } }
          /admin/mq/*: { upstream: ORIGIN1, rewrite: /, path: { encoded_slash: keep } }
          /strict/*: { upstream: ORIGIN1, rewrite: / }
          /plain/*: { upstream: ORIGIN1 }
          /here/*: { respond: { body: here } }
        ",
    );
    assert_eq!(gateway.get("/api/queues/%2F/fetch").status, 200);
    assert_eq!(origin.last().target(), "/queues/%2F/fetch"); // s-007
    assert_eq!(gateway.get("/api/v2/obj/k%3Aone%2Ftwo").status, 200);
    assert_eq!(origin.last().target(), "/v2/obj/k%3Aone%2Ftwo"); // s-008
    let answer = gateway.request("PUT", "/admin/mq/api/permissions/%2f/a%252Fb/%E2%82%AC", &[], b"{}");
    assert_eq!(answer.status, 200);
    let seen = origin.last(); // s-009
    assert_eq!((seen.target(), seen.text().as_str()), ("/api/permissions/%2f/a%252Fb/%E2%82%AC", "{}"));
    let before = origin.count();
    for target in ["/strict/a%2Fb", "/plain/a%2Fb", "/here/a%2fb"] {
        assert_eq!(gateway.get(target).problem(400), "malformed request", "{target}");
    }
    assert_eq!(origin.count(), before, "a route that keeps it keeps it for itself alone");
    assert_eq!(gateway.get("/api/..%2Fx").problem(400), "malformed request");
}

#[test]
fn two_slashes_are_one_and_never_a_host() {
    let origin = Origin::echo();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          /api/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
          /*: {{ upstream: ORIGIN1 }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    for target in ["//api/secret", "/api/secret", "/x/../api/secret", "/%61pi/secret", "/./api//secret"] {
        assert_eq!(gateway.get(target).problem(401), "missing token", "{target}"); // s-010, s-013, s-014
    }
    assert_eq!(gateway.get("/api;x=1/secret").problem(400), "malformed request");
    assert_eq!(origin.count(), 0);
    assert_eq!(gateway.get("//evil.test/x").status, 200);
    assert_eq!(origin.last().target(), "/evil.test/x"); // s-011
    assert_eq!(gateway.get("//index.html?a=1").status, 200);
    assert_eq!(origin.last().target(), "/index.html?a=1"); // s-012
}

#[test]
fn a_semicolon_does_not_hide_a_climb() {
    // s-016
    let origin = Origin::echo();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          /pub/*: {{ upstream: ORIGIN1 }}
          /priv/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    for target in
        ["/pub/v1/..;/..;/priv/v1/x", "/pub/..;a=b/priv/x", "/pub/%2e%2e;/priv/x", "/pub/.%2e%3b/priv/x"]
    {
        let answer = gateway.get(target);
        assert!([400, 401, 404].contains(&answer.status), "{target}: {}", answer.status);
    }
    assert_eq!(origin.count(), 0);
}

// ---- bounds

#[test]
fn a_large_head_is_431_and_a_long_target_414() {
    // H21, s-108
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let long = "a".repeat(17 * 1024);
    let answer = |bytes: String| {
        let mut client = gateway.client();
        let _ = client.try_send(bytes);
        let answer = client.read();
        assert!(client.closed());
        answer
    };
    let head = "GET /api/x HTTP/1.1\r\nHost: gw.test\r\n";
    assert_eq!(answer(format!("{head}X-Big: {long}\r\n\r\n")).problem(431), "headers too large");
    assert_eq!(
        answer(format!("{head}X-Big: {}\r\n\r\n", "a".repeat(100_000))).problem(431),
        "headers too large"
    );
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(answer(format!("{head}{many}\r\n")).problem(431), "headers too large");
    let target = format!("GET /api/{} HTTP/1.1\r\nHost: gw.test\r\n\r\n", &long[..9 * 1024]);
    assert_eq!(answer(target).problem(414), "uri too long");
    assert_eq!(origin.count(), 0);
    let large = "a".repeat(8 * 1024);
    assert_eq!(gateway.request("GET", "/api/x", &[("X-Large", &large)], b"").status, 200);
    assert_eq!(gateway.get(&format!("/api/{}", &large[..8000])).status, 200);
}

#[test]
fn limits_of_a_listener_widen_and_narrow() {
    let origin = Origin::echo();
    let gateway = bounded(&origin, "head: 64KiB, headers: 4, target: 100B, body: 10B");
    let large = "a".repeat(40 * 1024);
    assert_eq!(gateway.request("GET", "/api/x", &[("X-Large", &large)], b"").status, 200);
    let many = [("X-1", "1"), ("X-2", "1"), ("X-3", "1"), ("X-4", "1")];
    assert_eq!(gateway.request("GET", "/api/x", &many, b"").problem(431), "headers too large");
    assert_eq!(gateway.get(&format!("/api/{}", "a".repeat(100))).problem(414), "uri too long");
    assert_eq!(gateway.request("POST", "/api/x", &[], b"0123456789").status, 200);
    assert_eq!(gateway.request("POST", "/api/x", &[], b"0123456789a").problem(413), "body too large");
}

#[test]
fn a_body_over_the_limit_is_413_before_and_cut_on_the_way() {
    let origin = Origin::echo();
    let gateway = bounded(&origin, "body: 1KiB");
    let mut client = gateway.client();
    let answer = client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1025\r\n\r\n").read();
    assert_eq!(answer.problem(413), "body too large");
    assert_eq!(origin.count(), 0);
    let mut client = gateway.client();
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("200\r\n{}\r\n", "b".repeat(0x200));
    for _ in 0..3 {
        let _ = client.try_send(&chunk);
    }
    assert_eq!(client.read().problem(413), "body too large");
    assert!(client.closed());
    // What the service had begun to read never ends as if it were whole.
    until("the service sees the cut", || origin.requests().iter().all(|seen| !seen.complete));
    assert_eq!(gateway.request("POST", "/api/x", &[], &[b'c'; 1024]).status, 200);
}

#[test]
fn a_slow_head_is_408() {
    // s-106
    let origin = Origin::echo();
    let gateway = bounded(&origin, "head_timeout: 500ms");
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A: ");
    assert_eq!(client.read().problem(408), "request timeout");
    assert!(client.closed());
    // Each byte more gives no more time.
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-A: ");
    until("the slow head is cut", || {
        client.try_send("a").is_err() || client.has_bytes(Duration::from_millis(20))
    });
    assert_eq!(client.read().status, 408);
    // Nothing at all: the connection ends, with or without a word.
    let mut client = gateway.client();
    if let Ok(answer) = client.try_read_for("GET") {
        assert_eq!(answer.status, 408);
    }
    assert!(client.closed());
    assert_eq!(origin.count(), 0);
    // A connection that has served is idle, not slow.
    let mut client = gateway.client();
    assert_eq!(client.get("/api/x").status, 200);
    assert!(!client.has_bytes(Duration::from_millis(700)), "an idle connection is left alone");
    assert_eq!(client.get("/api/x").status, 200);
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    let origin = Origin::echo();
    let gateway = bounded(&origin, "idle: 300ms");
    let mut client = gateway.client();
    assert_eq!(client.get("/api/x").status, 200);
    assert!(client.closed(), "closed, and nothing was said");
}

#[test]
fn a_body_that_stops_coming_is_408() {
    // s-105 in small
    let origin = Origin::echo();
    let gateway = bounded(&origin, "body_timeout: 500ms");
    let mut client = gateway.client();
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100\r\n\r\nstart");
    assert_eq!(client.read().problem(408), "request timeout");
    assert!(client.closed());
    assert!(origin.requests().iter().all(|seen| !seen.complete));
}

// ---- expectations, versions, methods

#[test]
fn a_refusal_does_not_ask_for_the_body() {
    // s-088, H19, H20
    let origin = Origin::echo();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes: {{ /api/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    let head = "POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\n";
    let answer = gateway.raw(format!("{head}Expect: 100-continue\r\n\r\n"));
    assert_eq!(answer.problem(401), "missing token");
    assert!(answer.interim.is_empty());
    assert_eq!(gateway.raw(format!("{head}\r\n")).problem(401), "missing token");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_wanted_body_is_asked_for() {
    // s-089, H19
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client
        .send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    assert_eq!(client.read_head().0, 100);
    let answer = client.send("hello").read();
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
    let seen = origin.only();
    assert_eq!(seen.text(), "hello");
    assert!(!seen.has("expect"));
    // The body came with the head: no need to ask.
    client.send(
        "POST /api/up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    );
    let answer = client.read();
    assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("hi")));
    let answer = gateway.request("POST", "/api/x", &[("Expect", "a-miracle")], b"x");
    assert_eq!(answer.problem(417), "expectation failed");
}

#[test]
fn http_1_0_is_served_and_closed() {
    // H23
    let origin = Origin::serve(|turn: &mut Turn| {
        turn.read_body();
        turn.chunked(200, &[]);
        turn.chunk("in ");
        turn.chunk("chunks");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let answer = client.send("GET /api/x HTTP/1.0\r\nHost: gw.test\r\n\r\n").read();
    assert_eq!((answer.status, answer.text().as_str()), (200, "in chunks"));
    assert!(!answer.headers.has("transfer-encoding"));
    assert!(client.closed());
    assert_eq!(gateway.raw("GET /api/x HTTP/1.0\r\n\r\n").status, 200);
    assert!(!origin.last().has("x-forwarded-host"), "there is no host to tell");
    let mut client = gateway.client();
    let answer = client.send("GET /none HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").read();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("keep-alive")));
    assert_eq!(client.get("/none").status, 404);
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.read().status, 400);
    assert_eq!(gateway.raw("GET /api/x HTTP/2.0\r\nHost: gw.test\r\n\r\n").status, 505);
}

#[test]
fn a_body_of_no_bytes_keeps_the_connection() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /api/*: { upstream: ORIGIN1 }
          /here: { respond: { body: here } }
        ",
    );
    let mut client = gateway.client();
    for target in ["/api/x", "/here", "/none"] {
        for method in ["POST", "PUT", "DELETE", "GET"] {
            for length in ["Content-Length: 0\r\n", "Content-Length: 0\r\nExpect: 100-continue\r\n", ""] {
                client.send(format!("{method} {target} HTTP/1.1\r\nHost: gw.test\r\n{length}\r\n"));
                let answer = client.read_for(method);
                assert!([200, 404].contains(&answer.status));
                assert!(!answer.headers.has("connection"), "{method} {target} {length:?}");
                assert!(answer.interim.is_empty());
            }
        }
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ));
        if client.read().header("connection") == Some("close") {
            assert_ne!(target, "/api/x", "a body that the service has read is no reason to close");
            client = gateway.client();
        }
    }
}

#[test]
fn connection_close_is_heard() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let answer = client.request("GET", "/api/x", &[("Connection", "close")], b"");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.closed());
    // A client that only ends its own side still gets an answer that needs no waiting.
    let mut client = gateway.client();
    client.send("GET /none HTTP/1.1\r\nHost: gw.test\r\n\r\n").finish_sending();
    assert_eq!(client.read().status, 404);
    assert!(client.closed());
}

// ---- logs, ids, errors

#[test]
fn every_error_has_one_form_and_an_id_of_its_own() {
    let dead = crate::support::Closed::new();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          GET /x: {{ respond: {{ body: x }} }}
          /dead: {{ upstream: "{}" }}
          /auth: {{ respond: {{ body: x }}, policies: {{ auth: user }} }}
        "#,
        token::SECRET,
        dead.url()
    );
    let gateway = Gateway::start(&[], &config);
    let answers: Vec<(Answer, u16, &str)> = vec![
        (gateway.raw("BAD\r\n\r\n"), 400, "malformed request"),
        (gateway.get("/auth"), 401, "missing token"),
        (gateway.request("GET", "/auth", &[("Authorization", "Bearer x")], b""), 401, "invalid token"),
        (gateway.get("/none"), 404, "no route"),
        (gateway.request("POST", "/x", &[], b""), 405, "method not allowed"),
        (gateway.get("/dead"), 502, "upstream failure"),
    ];
    let mut ids: Vec<String> = Vec::new();
    for (answer, status, phrase) in &answers {
        assert_eq!(answer.problem(*status), *phrase);
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    assert_eq!(answers[1].0.header("www-authenticate").unwrap().split(' ').next(), Some("Bearer"));
    let log = gateway.log(answers.len());
    for ((answer, status, phrase), id) in answers.iter().zip(&ids) {
        let line =
            log.iter().find(|line| line["id"] == id.as_str()).unwrap_or_else(|| panic!("{id} in {log:#?}"));
        assert_eq!((&line["status"], &line["error"]), (&(*status).into(), &(*phrase).into()), "{answer:?}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), answers.len());
}

#[test]
fn a_target_cannot_write_lines_into_the_log() {
    // s-130
    let origin = Origin::echo();
    for format in ["json", "text"] {
        let config = format!(
            "
            telemetry: {{ access_log: {{ file: 'DIR/access.log', format: {format} }} }}
            routes: {{ /api/*: {{ upstream: ORIGIN1 }} }}
            "
        );
        let gateway = Gateway::start(&[&origin], &config);
        let requests = [
            "GET /api/%0d%0aFAKE:%20GET%20/admin%20200 HTTP/1.1\r\nHost: gw.test\r\n\r\n",
            "GET /api/%1b[31m HTTP/1.1\r\nHost: gw.test\r\n\r\n",
            "GET /api/x?\"},{\"status\":1 HTTP/1.1\r\nHost: gw.test\r\n\r\n",
            "GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        ];
        for request in requests {
            assert!([200, 400].contains(&gateway.raw(request).status), "{request}");
        }
        until("the lines of the log", || gateway.log_lines().len() >= requests.len());
        let lines = gateway.log_lines();
        assert_eq!(lines.len(), requests.len(), "{lines:#?}");
        for line in &lines {
            assert!(!line.starts_with("FAKE") && !line.contains('\u{1b}'), "{line}");
            assert!(format == "text" || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }
}

#[test]
fn the_log_tells_each_request_once() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let first = client.request("POST", "/api/a?b=c", &[], b"hello");
    let second = client.get("/none");
    let log = gateway.log(2);
    assert_eq!(log.len(), 2);
    let line = &log[0];
    assert_eq!(line["id"], first.header("x-request-id").unwrap());
    for (name, value) in [
        ("method", "POST"),
        ("client", "127.0.0.1"),
        ("host", "gw.test"),
        ("route", "/api/*"),
        ("listener", "default"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(line["path"].as_str().unwrap().starts_with("/api/a"), "{line}");
    assert_eq!((line["status"].as_u64(), line["bytes_in"].as_u64()), (Some(200), Some(5)), "{line}");
    assert_eq!(line["bytes_out"].as_u64(), Some(first.body.len() as u64), "{line}");
    assert_eq!(log[1]["id"], second.header("x-request-id").unwrap());
    assert_eq!(log[1]["error"], "no route");
}

#[test]
fn a_client_that_leaves_early_is_logged_as_such() {
    let gate = crate::support::Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = Client::connect(gateway.address());
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    drop(client);
    let line = gateway.log(1).remove(0);
    assert_eq!(
        (line["status"].as_u64(), line["error"].as_str()),
        (Some(499), Some("client closed")),
        "{line}"
    );
    gate.open();
}
