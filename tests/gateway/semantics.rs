//! What the standards ask of a gateway apart from framing: upgrades, `OPTIONS`, `Via` and loops, versions, trailers, interim
//! answers (RFC 9110, RFC 9112, RFC 9113).

use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;

use crate::support::h2::{Frames, Session, block_on, request};
use crate::support::{Client, Gate, Gateway, Origin, token};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }";

// ---- upgrades

#[test]
fn other_offers_to_upgrade_are_ignored() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for lines in [
        &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")][..],
        &[("Connection", "Upgrade"), ("Upgrade", "TLS/1.3")],
        // Not an offer for this connection.
        &[("Upgrade", "websocket")],
        &[("Connection", "Upgrade")],
    ] {
        assert_eq!(client.request("GET", "/api/x", lines, b"").status, 200, "{lines:?}");
        assert!(!origin.last().has("upgrade") && !origin.last().has("http2-settings"), "{lines:?}");
    }
}

#[test]
fn a_426_says_which_protocol_is_required() {
    let origin = Origin::serve(|turn| {
        let lines = [("Upgrade", "websocket"), ("Connection", "Upgrade, x-hop"), ("X-Hop", "1")];
        turn.answer(426, &lines, "no");
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/api/x");
        assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
        assert_eq!((answer.header("connection"), answer.header("x-hop")), (Some("upgrade"), None));
    }
    let over_h2 = block_on(async {
        let session = Session::connect(gateway.address()).await;
        session.fetch("GET", "/api/x").await.unwrap()
    });
    assert_eq!(over_h2.status, 426);
    assert!(!over_h2.headers.contains_key("upgrade"), "HTTP/2 has no such field (RFC 9113 section 8.2.2)");
}

// ---- OPTIONS, Max-Forwards, Via

#[test]
fn options_of_the_server_are_answered_by_the_gateway() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    for target in ["*", "*"] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: gw.test\r\nMax-Forwards: 5\r\n\r\n"));
        let answer = client.read();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    let mut frames = Frames::connect(gateway.address());
    let mut block = vec![0x86, 0x02, 7];
    block.extend_from_slice(b"OPTIONS\x04\x01*\x01\x07gw.test");
    assert!(frames.send(1, 5, 1, &block));
    let head = std::iter::from_fn(|| frames.next()).find(|frame| frame.0 == 1).expect("an answer");
    // 204 is the ninth entry of the static table.
    assert_eq!(head.3[0], 0x80 | 9);
    assert_eq!(gateway.raw("GET * HTTP/1.1\r\nHost: gw.test\r\n\r\n").status, 400);
    assert_eq!(origin.count(), 0);
    let config = format!(
        "auth: {{ user: {{ jwt: {{ secret: '{}', algorithms: [HS256] }} }} }}\npolicies: {{ auth: user }}\n{OPEN}",
        token::SECRET
    );
    let guarded = Gateway::start(&[&origin], &config);
    let answer = guarded.raw("OPTIONS * HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(answer.problem(401), "missing token", "the policies of the listener guard it");
}

#[test]
fn max_forwards_ends_options_and_trace_here() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          'GET,OPTIONS,TRACE /api/*': { upstream: ORIGIN1 }
          GET /here: { respond: { body: here } }
        ",
    );
    let ask = |method: &str, left: &str| gateway.request(method, "/api/x", &[("Max-Forwards", left)], b"");
    let last = ask("OPTIONS", "0");
    assert_eq!((last.status, last.header("allow")), (204, Some("GET, HEAD, OPTIONS, TRACE")));
    let last = ask("TRACE", "0");
    assert_eq!(last.problem(405), "method not allowed");
    assert_eq!(last.header("allow"), Some("GET, HEAD, OPTIONS"));
    for bad in ["", "-1", "x", "1, 2"] {
        assert_eq!(ask("OPTIONS", bad).problem(400), "malformed request", "{bad:?}");
    }
    assert_eq!(origin.count(), 0);
    for (method, left, passed) in [
        ("OPTIONS", "1", "0"),
        ("TRACE", "10", "9"),
        ("OPTIONS", "99999999999999999999999", "18446744073709551614"),
        // It means nothing to other methods.
        ("GET", "0", "0"),
        ("GET", "x", "x"),
    ] {
        assert_eq!(ask(method, left).status, 200, "{method} {left}");
        assert_eq!(origin.last().headers.all("max-forwards"), [passed], "{method} {left}");
    }
}

#[test]
fn requests_to_services_name_the_gateway() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { untold: { url: ORIGIN1, via: false } }
        routes:
          /api/*: { upstream: ORIGIN1 }
          /all: { aggregate: { sources: { one: { upstream: ORIGIN1, path: /1 } } } }
          /untold/*: { upstream: untold }
        ",
    );
    assert_eq!(gateway.get("/api/x").status, 200);
    let own = origin.last().header("via").expect("a line of its own").to_owned();
    let name = own.strip_prefix("1.1 portcullis-").expect(&own);
    assert!(name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
    assert_eq!(gateway.raw("GET /api/x HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(origin.last().header("via"), Some(own.replace("1.1", "1.0").as_str()));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/api/x").await.unwrap().status, 200);
    });
    assert_eq!(origin.last().header("via"), Some(own.replace("1.1", "2.0").as_str()));
    // What stands there stays, before it.
    let before = [("Via", "1.0 fred, 1.1 proxy.test"), ("Via", "HTTP/2.0 edge (a comment)")];
    for target in ["/api/x", "/all"] {
        assert_eq!(gateway.request("GET", target, &before, b"").status, 200);
        assert_eq!(
            origin.last().headers.all("via"),
            ["1.0 fred, 1.1 proxy.test", "HTTP/2.0 edge (a comment)", own.as_str()],
            "{target}"
        );
    }
    assert_eq!(gateway.request("GET", "/untold/x", &before[1..], b"").status, 200);
    assert_eq!(origin.last().headers.all("via"), ["HTTP/2.0 edge (a comment)"]);
}

#[test]
fn a_request_that_goes_round_is_ended() {
    let origin = Origin::echo();
    let config = "
        routes:
          /api/*: { upstream: ORIGIN1 }
          /all: { aggregate: { sources: { one: { upstream: ORIGIN1, path: /1 } } } }
        ";
    let (gateway, other) = (Gateway::start(&[&origin], config), Gateway::start(&[&origin], config));
    let answer = gateway.get("/api/x");
    assert!(!answer.headers.has("via"), "answers say nothing of what is behind");
    let own = origin.last().header("via").unwrap().to_owned();
    let passed = |times: usize| vec![own.as_str(); times].join(", ");
    for target in ["/api/x", "/all"] {
        for times in 1..=3 {
            let line = passed(times);
            assert_eq!(gateway.request("GET", target, &[("Via", &line)], b"").status, 200, "{times}");
        }
        let before = origin.count();
        let looped = gateway.request("GET", target, &[("Via", &passed(4))], b"");
        assert_eq!(looped.problem(508), "loop detected");
        let looped = gateway.request("GET", target, &[("Via", &passed(2)), ("vIA", &passed(2))], b"");
        assert_eq!(looped.problem(508), "loop detected");
        assert_eq!(origin.count(), before);
        // Gateways in a row are no loop.
        assert_eq!(other.request("GET", target, &[("Via", &passed(4))], b"").status, 200);
    }
}

// ---- names, versions, spellings

#[test]
fn an_empty_port_is_none() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, hosts: [gw.test, '[::1]'] } }
        routes:
          /who: { respond: { body: { host: '{request.host}' } } }
          /own: { upstream: ORIGIN1, host: client }
        ",
    );
    for (line, host) in [
        ("/who", "gw.test:"),
        ("http://gw.test:/who", "other.test"),
        ("/who", "[::1]:"),
        ("/who", "GW.test:"),
    ] {
        let answer = gateway.raw(format!("GET {line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let name =
            if line.starts_with('/') { host.trim_end_matches(':').to_lowercase() } else { "gw.test".into() };
        assert_eq!(
            (answer.status, answer.json()["host"].as_str()),
            (200, Some(name.as_str())),
            "{line} {host}"
        );
    }
    assert_eq!(gateway.raw("GET /own HTTP/1.1\r\nHost: gw.test:\r\n\r\n").status, 200);
    let seen = origin.last();
    assert_eq!((seen.header("host"), seen.header("x-forwarded-host")), (Some("gw.test"), Some("gw.test")));
    assert_eq!(seen.header("x-forwarded-port"), Some("80"));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut asked = request("GET", "/who", &[]);
        *asked.uri_mut() = "http://gw.test:/who".parse().unwrap();
        let answer = session.open(asked, true).await.unwrap().whole().await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, br#"{"host":"gw.test"}"#.as_slice()));
    });
}

#[test]
fn versions_of_http() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let answer = |version: &str| gateway.raw(format!("GET /api/x {version}\r\nHost: gw.test\r\n\r\n"));
    for version in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        let answer = answer(version);
        assert_eq!((answer.status, answer.version.as_str()), (200, "HTTP/1.1"), "{version}");
        assert!(!answer.headers.has("connection"), "it is kept open as in HTTP/1.1");
        assert_eq!(answer.json()["line"], "GET /x HTTP/1.1");
    }
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        assert_eq!(answer(version).problem(505), "version not supported", "{version}");
    }
    for version in ["HTTP/2", "HTTP/1", "HTTP/1.", "HTTP/1.10", "HTTP/x.y", "http/1.1", "XTTP/1.1"] {
        assert_eq!(answer(version).problem(400), "malformed request", "{version}");
    }
    assert_eq!(gateway.raw("GET /api/x\r\n\r\n").problem(400), "malformed request");
}

#[test]
fn an_answer_that_spells_its_framing_twice_passes() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        turn.raw("HTTP/1.1 200 OK\r\ncontent_length: 700\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/api/x");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert!(!answer.headers.has("content_length") && !answer.headers.has("transfer_encoding"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn both_versions_judge_the_length_alike() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let fields = [
        &[("content-length", "5"), ("content-length", "5")][..],
        &[("content_length", "5")],
        &[("content-length", "5"), ("content_length", "3")],
        &[("transfer_encoding", "chunked")],
    ];
    for fields in fields {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let over_h1 = gateway.raw(format!("POST /api/x HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\nhello"));
        assert_eq!(over_h1.problem(400), "malformed request", "{fields:?}");
        let over_h2 = block_on(async {
            let session = Session::connect(gateway.address()).await;
            let mut stream = session.open(request("POST", "/api/x", fields), false).await.unwrap();
            stream.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
            stream.whole().await.map(|whole| whole.status)
        });
        // The library may refuse it before the gateway does.
        assert!(
            over_h2.as_ref().is_ok_and(|status| *status == 400) || over_h2.is_err(),
            "{fields:?} {over_h2:?}"
        );
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn cookies_in_many_fields_are_one_line() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let ask = |crumbs: Vec<String>| {
        block_on(async {
            let session = Session::connect(gateway.address()).await;
            let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
            let stream = session.open(request("GET", "/api/x", &fields), true).await.unwrap();
            stream.whole().await.map(|whole| whole.status)
        })
    };
    let crumbs = |count: usize, length: usize| -> Vec<String> {
        (0..count).map(|n| format!("c{n}={}", "v".repeat(length))).collect()
    };
    for (count, length) in [(120, 10), (400, 10), (3, 5_000)] {
        let line = crumbs(count, length).join("; ");
        assert_eq!(gateway.request("GET", "/api/x", &[("Cookie", &line)], b"").status, 200);
        assert_eq!(origin.last().headers.all("cookie"), [line.as_str()]);
        assert_eq!(ask(crumbs(count, length)).unwrap(), 200, "{count} of {length} bytes");
        assert_eq!(origin.last().headers.all("cookie"), [line.as_str()]);
    }
    let before = origin.count();
    // As many bytes as no line may have, and more fields than any client cuts a line into.
    assert_eq!(ask(crumbs(4, 5_000)).unwrap(), 431);
    assert_eq!(ask(vec![String::new(); 1_025]).unwrap(), 431);
    assert_eq!(origin.count(), before);
}

#[test]
fn extensions_of_chunks_are_read_and_dropped_in_both_directions() {
    let body = "5 ; a = b\t;c=\"d;\\\"e\"\r\nhello\r\n0;last\r\n\r\n";
    let origin = Origin::serve(move |turn| {
        let bad = turn.request().target() == "/bad";
        turn.read_body();
        let body = if bad { "5;a=\r\nhello\r\n0\r\n\r\n" } else { body };
        turn.raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let head = "POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = gateway.raw(format!("{head}{body}"));
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "hello", true));
    assert_eq!(origin.only().text(), "hello");
    assert_eq!(gateway.raw(format!("{head}5;a=\r\nhello\r\n0\r\n\r\n")).problem(400), "malformed request");
    let cut = gateway.get("/api/bad");
    assert!(cut.status == 502 || !cut.complete, "{cut:?}");
}

// ---- answers

#[test]
fn what_announces_trailers_passes_with_them() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        let lines = [("Trailer", "x-sum"), ("Content-Type", "application/json")];
        turn.chunked(200, &lines);
        turn.chunk("{}");
        turn.last_chunk(&[("x-sum", "1")]);
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /api/*: { upstream: ORIGIN1 }
          /shaped/*: { upstream: ORIGIN1, policies: { shape: { omit: [a] } } }
          /kept/*: { upstream: ORIGIN1, policies: { cache: { ttl: 1m } } }
        ",
    );
    let answer = gateway.get("/api/x");
    assert_eq!((answer.header("trailer"), answer.trailers.one("x-sum")), (Some("x-sum"), Some("1")));
    let over_h2 = block_on(async {
        let session = Session::connect(gateway.address()).await;
        session.fetch("GET", "/api/x").await.unwrap()
    });
    assert_eq!(over_h2.headers["trailer"], "x-sum");
    assert_eq!(over_h2.trailers.as_ref().map(HeaderMap::len), Some(1));
    let old = gateway.raw("GET /api/x HTTP/1.0\r\nHost: gw.test\r\n\r\n");
    assert_eq!((old.text().as_str(), old.header("trailer")), ("{}", None), "HTTP/1.0 has no trailers");
    for target in ["/shaped/x", "/kept/x", "/kept/x"] {
        let answer = gateway.get(target);
        let announced = answer.headers.has("trailer");
        assert_eq!((answer.status, announced), (200, answer.trailers.has("x-sum")), "{target}");
    }
}

#[test]
fn interim_answers_are_bounded_by_their_bytes() {
    let origin = Origin::serve(|turn| {
        let (count, line) = match turn.request().target() {
            "/many" => (500, String::new()),
            _ => (500, format!("link: <{}>\r\n", "x".repeat(1_000))),
        };
        turn.read_body();
        for _ in 0..count {
            turn.raw(format!("HTTP/1.1 102 Processing\r\n{line}\r\n"));
        }
        turn.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    assert_eq!(gateway.get("/api/many").text(), "ok");
    assert_eq!(gateway.get("/api/large").problem(502), "upstream failure");
}

#[test]
fn a_retry_after_beyond_all_numbers_is_long() {
    let origin = Origin::serve(|turn| turn.answer(503, &[("Retry-After", "99999999999999999999")], "later"));
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { late: { url: ORIGIN1, retry: { attempts: 3, retry_on: [503], budget: 100% } } }
        routes: { /api/*: { upstream: late } }
        ",
    );
    let answer = gateway.get("/api/x");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("99999999999999999999")));
    assert_eq!(origin.count(), 1, "no attempt may come before that");
}

#[test]
fn the_attempts_of_a_client_that_left_are_counted() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /one/*: { upstream: ORIGIN1 }
          /two: { aggregate: { sources: { a: { upstream: ORIGIN1, path: /1 }, b: { upstream: ORIGIN1, path: /2 } } } }
        ",
    );
    for (target, attempts) in [("/one/x", 1), ("/two", 2)] {
        let before = origin.count();
        let mut client = Client::connect(gateway.address());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        origin.wait_count(before + attempts);
        drop(client);
    }
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let before = origin.count();
        let stream = session.open(request("GET", "/one/h2", &[]), true).await.unwrap();
        crate::support::h2::wait_for("the request", || origin.count() > before).await;
        drop(stream);
    });
    gate.open();
    let log = gateway.log(3);
    for (path, attempts) in [("/one/x", 1), ("/two", 2), ("/one/h2", 1)] {
        let line =
            log.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path} in {log:#?}"));
        assert_eq!((&line["status"], &line["attempts"]), (&499.into(), &attempts.into()), "{line}");
    }
}

// ---- bodies over HTTP/2

#[test]
fn an_http2_client_that_waits_for_100_gets_it_or_a_final_answer() {
    let origin = Origin::echo();
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          /api/*: {{ upstream: ORIGIN1 }}
          /private/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
          /here: {{ respond: {{ body: here }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    let expecting =
        |path: &str| request("POST", path, &[("expect", "100-continue"), ("content-length", "5")]);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut stream = session.open(expecting("/api/x"), false).await.unwrap();
        let interim = poll_fn(|cx| stream.answer.poll_informational(cx)).await;
        assert_eq!(interim.expect("one comes").unwrap().status(), 100);
        stream.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        assert_eq!(stream.whole().await.unwrap().status, 200);
        assert_eq!(origin.last().text(), "hello");
        assert!(!origin.last().has("expect"));
        for (path, status) in [("/private/x", 401), ("/none", 404), ("/here", 200)] {
            let stream = session.open(expecting(path), false).await.unwrap();
            assert_eq!(stream.whole().await.unwrap().status, status, "{path}: without its body");
        }
        // Who does not wait for it is not asked.
        let mut stream =
            session.open(request("POST", "/api/y", &[("content-length", "5")]), false).await.unwrap();
        origin_waits(&origin, 2).await;
        stream.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let interim = poll_fn(|cx| stream.answer.poll_informational(cx)).await;
        assert!(interim.is_none_or(|interim| interim.is_err()), "a final answer comes first");
        assert_eq!(stream.whole().await.unwrap().status, 200);
    });
    assert_eq!(origin.count(), 2);
}

async fn origin_waits(origin: &Origin, count: usize) {
    crate::support::h2::wait_for("the request at the service", || origin.count() == count).await;
}

#[test]
fn an_http2_upload_that_is_reset_is_never_whole() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        for (number, reason) in
            [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR].into_iter().enumerate()
        {
            let mut stream = session.open(request("POST", "/api/x", &[]), false).await.unwrap();
            stream.body.send_data(Bytes::from_static(b"half"), false).unwrap();
            origin_waits(&origin, number + 1).await;
            stream.body.send_reset(reason);
            drop(stream);
        }
        assert_eq!(session.fetch("GET", "/api/y").await.unwrap().status, 200);
    });
    for number in 0..3 {
        origin.wait_closed(origin.requests()[number].connection);
    }
    assert!(origin.requests().iter().all(|seen| seen.complete == (seen.method() == "GET")));
    let log = gateway.log(4);
    let cut = log.iter().filter(|line| line["error"] == "client closed" && line["bytes_in"] == 4).count();
    assert_eq!(cut, 3, "{log:#?}");
}
