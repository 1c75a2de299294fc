//! How connections end: refusals that reach clients which are still sending, cut answers, and clients that have ended their
//! own side (RFC 9112 sections 8 and 9.6).

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use crate::support::h2::{Session, block_on, request};
use crate::support::{Client, Gate, Gateway, Origin, token, until};

/// A body that no buffer between two sockets holds.
const LARGE: usize = 9 << 20;

/// Refuses for every reason that needs no body.
fn refusing(limits: &str) -> Gateway {
    let config = format!(
        r#"
        listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ {limits} }} }} }}
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        rate_limits: {{ spent: {{ limit: 1, window: 1h }} }}
        routes:
          /private: {{ respond: {{ body: x }}, policies: {{ auth: user }} }}
          GET /read: {{ respond: {{ body: x }} }}
          /limited: {{ respond: {{ body: x }}, policies: {{ rate_limit: spent }} }}
          /open: {{ respond: {{ body: x }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[], &config);
    assert_eq!(gateway.get("/limited").status, 200);
    gateway
}

/// Sends a whole upload before it reads, as blocking clients do; an error where the connection broke meanwhile.
fn upload(client: &mut Client, path: &str, is_chunked: bool) -> Result<u16, String> {
    let framing =
        if is_chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {LARGE}") };
    client.send(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\n{framing}\r\n\r\n"));
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..LARGE / piece.len() {
        let sent = if is_chunked {
            client
                .try_send("10000\r\n")
                .and_then(|()| client.try_send(&piece))
                .and_then(|()| client.try_send("\r\n"))
        } else {
            client.try_send(&piece)
        };
        sent.map_err(|error| error.to_string())?;
    }
    client.try_read_for("POST").map(|answer| answer.status).map_err(|cut| format!("{cut:?}"))
}

#[test]
fn a_refusal_reaches_a_client_that_sends_all_before_it_reads() {
    let gateway = refusing("body: 10MiB");
    for (path, status) in
        [("/private", 401), ("/none", 404), ("/read", 405), ("/limited", 429), ("/open", 200)]
    {
        for is_chunked in [false, true, false] {
            let mut client = gateway.client();
            assert_eq!(upload(&mut client, path, is_chunked), Ok(status), "{path}");
            assert!(client.closed(), "{path}");
        }
    }
    let small = refusing("body: 1MiB");
    for is_chunked in [false, true, false] {
        let mut client = small.client();
        // A route that does not ask for its body may answer before that is known to be too large.
        let status = upload(&mut client, "/none", is_chunked);
        assert_eq!(status, Ok(if is_chunked { 404 } else { 413 }));
        assert!(client.closed());
    }
    let origin = Origin::echo();
    let config = "
        listeners: { default: { listen: 127.0.0.1:0, limits: { body: 1MiB } } }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ";
    let forwarding = Gateway::start(&[&origin], config);
    for is_chunked in [false, true] {
        assert_eq!(upload(&mut forwarding.client(), "/api/x", is_chunked), Ok(413), "chunked: {is_chunked}");
    }
    assert!(origin.requests().iter().all(|seen| !seen.complete));
}

#[test]
fn a_refusal_of_what_came_through_a_proxy_waits_for_the_rest_of_the_body() {
    let gateway = refusing("body: 1MiB, linger_bytes: 256KiB");
    let body = vec![b'x'; 64 << 10];
    for line in
        ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=_x", "Via: 1.1 front"]
    {
        for (path, status) in
            [("/private", 401), ("/none", 404), ("/read", 405), ("/limited", 429), ("/open", 200)]
        {
            let mut client = gateway.client();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: gw.test\r\n{line}\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            client.send(head).send("10000\r\n").send(&body[1..]);
            assert!(!client.has_bytes(Duration::from_millis(20)), "{line} {path}: the body has no end yet");
            client.send("x\r\n0\r\n\r\n");
            let answer = client.read();
            assert_eq!((answer.status, answer.header("connection")), (status, None), "{line} {path}");
            assert_eq!(client.get("/open").status, 200, "the connection goes on");
        }
    }
    let begin = |length: usize, more: &str| {
        let mut client = gateway.client();
        client
            .send(format!("POST /none HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n{more}\r\n"));
        client
    };
    let proxied = "Via: 1.1 front\r\n";
    // Nothing is waited for where nobody is in between, where the body is longer than what is read away, or larger than
    // any, and where the client waits itself.
    for (length, more, status) in [
        (1000, "", 404),
        (257 << 10, proxied, 404),
        (2 << 20, proxied, 413),
        (1000, "Via: 1.1 front\r\nExpect: 100-continue\r\n", 404),
    ] {
        let answer = begin(length, more).read();
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{length} {more}");
    }
    // Chunks say nothing of their sum: the bound ends the wait.
    let mut client = gateway.client();
    client
        .send(format!("POST /none HTTP/1.1\r\nHost: gw.test\r\n{proxied}Transfer-Encoding: chunked\r\n\r\n"));
    for _ in 0..5 {
        client.send("10000\r\n").send(&body).send("\r\n");
    }
    assert_eq!(client.read().status, 404);
}

#[test]
fn an_early_answer_of_a_service_is_not_held_up_for_a_proxy() {
    let origin = Origin::serve(|turn| turn.answer_early(413, &[], "too much"));
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw.test\r\nVia: 1.1 front\r\nContent-Length: 1000\r\n\r\nx");
    assert_eq!(client.read().status, 413);
}

#[test]
fn an_http2_client_reads_its_refusal_too() {
    let gateway = refusing("body: 10MiB");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for (path, status) in [("/private", 401), ("/none", 404), ("/limited", 429), ("/none", 404)] {
            let mut stream = session.open(request("POST", path, &[]), false).await.unwrap();
            stream.body.send_data(Bytes::from(vec![b'x'; LARGE]), true).unwrap();
            assert_eq!(stream.whole().await.unwrap().status, status, "{path}");
        }
        assert_eq!(session.fetch("GET", "/open").await.unwrap().status, 200);
    });
}

#[test]
fn a_refused_upload_is_read_within_bounds() {
    for limits in ["linger_bytes: 256KiB", "linger: 0s"] {
        let gateway = refusing(limits);
        let mut client = gateway.client();
        let broken = upload(&mut client, "/none", false);
        assert!(broken.is_err(), "{limits}: {broken:?}");
    }
    // A client that sends on and on, slowly enough to be kept, is cut after the time.
    let gateway = refusing("linger: 300ms");
    let mut client = gateway.client();
    client.send("POST /none HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    until("the connection is closed", || client.try_send("1\r\nx\r\n").is_err());
}

/// Requests that a client sends behind one which is the last of its connection: more than is read ahead.
fn further_requests(bytes: usize) -> String {
    let one = "GET /open HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    one.repeat(bytes.div_ceil(one.len()))
}

#[test]
fn the_last_answer_reaches_a_client_that_sends_further_requests() {
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[]);
        turn.chunk("without a length");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(
        &[&origin],
        "routes: { /stream: { upstream: ORIGIN1 }, /open: { respond: { body: x } } }",
    );
    for last in [
        "GET /open HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n",
        "POST /open HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        "GET /open HTTP/1.0\r\nHost: gw.test\r\n\r\n",
        "GET /stream HTTP/1.0\r\nHost: gw.test\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n",
        "no request\r\n\r\n",
    ] {
        let mut client = gateway.client();
        client.send(last);
        client.send(further_requests(1 << 20));
        let answer = client.read();
        assert!(answer.complete && answer.status != 499, "{last}");
        let mut rest = Vec::new();
        let ended = client.stream().read_to_end(&mut rest);
        assert_eq!((ended.ok(), rest.len()), (Some(0), 0), "a clean end: {last}");
    }
}

#[test]
fn a_gateway_that_is_ending_does_not_reset_clients_that_ask_on() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "whole");
    });
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    // More than is read ahead, and less than the buffers of two sockets.
    client.send(further_requests(100 << 10));
    gateway.signal("TERM");
    gateway.wait_stderr("draining");
    gate.open();
    let answer = client.read();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("whole", Some("close")));
    assert_eq!(client.stream().read(&mut [0]).ok(), Some(0), "a clean end");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_admin_listener_answers_a_client_that_sends_too_much() {
    let gateway =
        Gateway::start(&[], "admin: { listen: 127.0.0.1:0 }\nroutes: { /x: { respond: { body: x } } }");
    let mut client = Client::connect(gateway.admin());
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n");
    let piece = vec![b'x'; 100_000];
    client.send(&piece);
    let answer = client.read();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(client.stream().read(&mut [0]).ok(), Some(0), "a clean end");
    // It is still read from: a connection that is gone would be reset by the first piece, and break at the second.
    for _ in 0..4 {
        client.send(&piece);
    }
    assert!(client.closed());
}

#[test]
fn a_client_of_http_1_0_can_distinguish_a_cut_answer_from_a_whole_one() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        turn.chunked(200, &[]);
        turn.chunk("all of it?");
        if turn.request().target() == "/whole" { turn.last_chunk(&[]) } else { turn.close() }
    });
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let read = |path: &str| {
        let mut client = gateway.client();
        client.send(format!("GET {path} HTTP/1.0\r\nHost: gw.test\r\n\r\n"));
        let mut bytes = Vec::new();
        let mut stream = client.stream();
        stream.read_to_end(&mut bytes).map(|_| bytes.ends_with(b"all of it?"))
    };
    assert!(read("/whole").unwrap());
    let cut = read("/cut").expect_err("its end is no clean one");
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A listener that gives up a half-closed client soon, and one that waits.
fn half_closed(origins: &[&Origin]) -> Gateway {
    Gateway::start(
        origins,
        "
        listeners:
          short: { listen: 127.0.0.1:0, limits: { half_closed: 1s } }
          long: { listen: 127.0.0.1:0, limits: { half_closed: 1m } }
        routes: { /*: { upstream: ORIGIN1, timeout: 1m } }
        ",
    )
}

fn asked(gateway: &Gateway, listener: &str, paths: &[&str]) -> Client {
    let mut client = Client::connect(gateway.listener(listener));
    for path in paths {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
    }
    client.finish_sending();
    client
}

#[test]
fn a_half_closed_client_is_waited_for_as_long_as_configured() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "ok");
    });
    let gateway = half_closed(&[&origin]);
    let mut patient = asked(&gateway, "long", &["/long", "/again"]);
    origin.wait_count(1);
    let mut hasty = asked(&gateway, "short", &["/short"]);
    assert!(hasty.closed());
    assert_eq!(gateway.log(1)[0]["status"], 499);
    gate.open();
    assert_eq!(patient.read().text(), "ok");
    assert_eq!(patient.read().text(), "ok", "what it had sent before it ended its side is answered too");
    assert!(patient.closed());
}

#[test]
fn an_answer_that_is_under_way_is_not_cut_by_the_end_of_the_clients_side() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| match turn.request().target() {
        "/slow" => turn.wait(&held),
        "/begun" => {
            turn.chunked(200, &[]);
            turn.chunk("one ");
            turn.wait(&held);
            turn.chunk("two");
            turn.last_chunk(&[]);
        }
        _ => turn.answer(200, &[], "next"),
    });
    let gateway = half_closed(&[&origin]);
    let mut client = asked(&gateway, "short", &["/begun", "/next"]);
    assert_eq!(client.read_head().0, 200);
    // One that asked later has been given up by now.
    assert!(asked(&gateway, "short", &["/slow"]).closed());
    gate.open();
    let rest = String::from_utf8(client.read_to_end()).unwrap();
    assert!(rest.contains("two\r\n0\r\n\r\nHTTP/1.1 200 OK") && rest.ends_with("next"), "{rest}");
}

#[test]
fn an_empty_line_behind_a_body_begins_no_request() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { head_timeout: 1s } } }
        routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }
        ",
    );
    let post = "POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\n\r\nhello";
    let mut client = gateway.client();
    client.send(format!("{post}\r\n"));
    assert_eq!(client.read().status, 200);
    assert!(!client.has_bytes(Duration::from_millis(1500)), "no 408 that was not asked for");
    for pieces in [&["\r\n"][..], &["\r", "\n"], &["\r\n"]] {
        client.send(post);
        assert_eq!(client.read().status, 200);
        for piece in pieces {
            client.send(piece);
        }
        assert_eq!(client.get("/api/y").status, 200);
    }
    // One is a mistake of old clients; more are no HTTP.
    client.send("\r\n").send("\r\nGET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(client.read().problem(400), "malformed request");
    assert!(client.closed());
    // On a new connection it gives no more time.
    let mut client = gateway.client();
    client.send("\r\n");
    assert!(client.closed(), "and nothing was said");
    assert_eq!(origin.faults(), [] as [String; 0]);
}
