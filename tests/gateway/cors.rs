//! Which web pages may ask: preflights, the gate's own word on every answer, sockets. Ids in comments are cases of the
//! catalogue of behaviour.

use crate::support::h2::{Session, block_on, request};
use crate::support::token::{self, SECRET};
use crate::support::{Answer, Client, Closed, Gateway, Origin};

const PAGE: (&str, &str) = ("Origin", "https://app.test");
const EVIL: (&str, &str) = ("Origin", "https://evil.test");

/// A page that asks before it sends.
fn preflight(client: &mut Client, target: &str, origin: (&str, &str), method: &str) -> Answer {
    let asks = ("Access-Control-Request-Method", method);
    client.request(
        "OPTIONS",
        target,
        &[origin, asks, ("Access-Control-Request-Headers", "authorization")],
        b"",
    )
}

/// What an answer says to browsers: its lines without what all have in common, in the order of their names.
#[track_caller]
fn said(answer: &Answer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .headers
        .0
        .iter()
        .filter_map(|(name, value)| Some(format!("{}: {value}", name.strip_prefix("access-control-")?)))
        .collect();
    lines.sort();
    lines
}

#[track_caller]
fn granted(answer: &Answer, lines: &[&str]) {
    assert_eq!((answer.status, answer.text().as_str()), (204, ""), "{:?}", answer.headers);
    assert_eq!(said(answer), lines);
    let vary = "origin, access-control-request-method, access-control-request-headers";
    assert_eq!(answer.header("vary"), Some(vary));
    assert!(answer.headers.has("x-request-id") && !answer.headers.has("content-length"));
}

const OWN: &str = "allow-origin: https://app.test";

#[test]
fn preflights_are_answered_before_limits_and_tokens() {
    // s-120
    let origin = Origin::echo();
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        policies:
          auth: user
          rate_limit: { limit: 2, window: 1h }
          cors: { origins: ['https://app.test'], methods: [GET, PUT], headers: [Authorization] }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    let mut client = gateway.client();
    for _ in 0..5 {
        let answer = preflight(&mut client, "/api/x", PAGE, "PUT");
        granted(&answer, &["allow-headers: authorization", "allow-methods: GET, PUT", OWN]);
        assert!(!answer.headers.has("ratelimit"), "it was not counted");
        // No more than where there is a route.
        granted(
            &preflight(&mut client, "/none", PAGE, "PUT"),
            &["allow-headers: authorization", "allow-methods: GET, PUT", OWN],
        );
        // The browser reads that `DELETE` is not among them.
        assert_eq!(said(&preflight(&mut client, "/api/x", PAGE, "DELETE"))[1], "allow-methods: GET, PUT");
    }
    assert_eq!(origin.count(), 0);

    // The requests themselves pass limit and token, and whatever they meet can be read by the page.
    let credentials = format!("Bearer {}", token::for_subject("alice"));
    let answer = client.request("PUT", "/api/x", &[PAGE, ("Authorization", &credentials)], b"");
    assert_eq!(
        (answer.status, said(&answer), answer.header("vary")),
        (200, vec![OWN.to_owned()], Some("origin"))
    );
    let answer = client.request("GET", "/api/x", &[PAGE], b"");
    assert_eq!((answer.problem(401).as_str(), said(&answer)), ("missing token", vec![OWN.to_owned()]));
    let answer = client.request("GET", "/api/x", &[PAGE], b"");
    assert_eq!((answer.problem(429).as_str(), said(&answer)), ("rate limited", vec![OWN.to_owned()]));
    assert_eq!(answer.header("vary"), Some("origin"));
    granted(&preflight(&mut client, "/api/x", EVIL, "PUT"), &[]);
}

#[test]
fn the_gate_speaks_alone() {
    // s-121, s-140
    let origin = Origin::serve(|turn| {
        let lines: &[(&str, &str)] = match turn.request().target() {
            "/star" => &[("Access-Control-Allow-Origin", "*"), ("Vary", "Origin")],
            "/wider" => &[
                ("Access-Control-Allow-Origin", "https://app.test"),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "x-a"),
                ("Access-Control-Allow-Methods", "DELETE"),
                ("access-control-max-age", "5"),
                ("Vary", "Accept-Encoding"),
                ("Vary", "Accept-Language"),
            ],
            "/twice" => &[
                ("Access-Control-Allow-Origin", "https://app.test"),
                ("Access-Control-Allow-Origin", "https://evil.test"),
                ("Vary", "*"),
            ],
            _ => &[],
        };
        turn.answer(200, lines, "x");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cors: { origins: ['https://app.test'] } }
        routes:
          /api/*: { upstream: ORIGIN1, rewrite: / }
          /free/*: { upstream: ORIGIN1, rewrite: /, policies: { cors: none } }
        ",
    );
    let mut client = gateway.client();
    for (target, vary) in [
        ("/api/star", "Origin"),
        ("/api/wider", "Accept-Encoding, Accept-Language, origin"),
        ("/api/twice", "*"),
        ("/api/none", "origin"),
    ] {
        let answer = client.request("GET", target, &[PAGE], b"");
        assert_eq!(said(&answer), [OWN], "{target}");
        assert_eq!(answer.header("vary"), Some(vary), "{target}");
        // A page of another origin passes like everybody else, and its browser keeps the answer from it.
        for headers in
            [&[EVIL][..], &[("Origin", "null")], &[("Origin", "http://app.test")], &[PAGE, EVIL], &[]]
        {
            let answer = client.request("GET", target, headers, b"");
            assert_eq!(
                (answer.status, said(&answer).len(), answer.header("vary")),
                (200, 0, Some(vary)),
                "{target}"
            );
        }
    }
    // Where no policy is in force the service has the word.
    let answer = client.request("GET", "/free/wider", &[PAGE], b"");
    assert_eq!((said(&answer).len(), answer.headers.all("vary").len()), (5, 2));
    assert_eq!(preflight(&mut client, "/free/star", PAGE, "PUT").status, 200);
    assert_eq!(origin.last().method(), "OPTIONS");
}

#[test]
fn every_error_can_be_read() {
    let closed = Closed::new();
    let origin = Origin::echo();
    let config = "
        listeners:
          default:
            listen: 127.0.0.1:0
            limits: { body: 10B }
            policies: { cors: { origins: ['https://app.test'], expose: [x-request-id] } }
        routes:
          GET /closed: { upstream: CLOSED }
          /no: { upstream: ORIGIN1, policies: { authorize: 'false' } }
          /own/*: { upstream: ORIGIN1, policies: { cors: { origins: ['https://own.test'] } } }
          /none/*: { upstream: ORIGIN1, policies: { cors: none } }
        "
    .replace("CLOSED", &closed.url());
    let gateway = Gateway::start(&[&origin], &config);
    let ask = |method: &str, target: &str, page: &str| {
        let body: &[u8] = if method == "POST" { b"more than ten bytes" } else { b"" };
        gateway.request(method, target, &[("Origin", page)], body)
    };
    for (method, target, status, phrase) in [
        ("GET", "/a", 404, "no route"),
        ("PUT", "/closed", 405, "method not allowed"),
        ("GET", "/no", 403, "forbidden"),
        ("GET", "/closed", 502, "upstream failure"),
        // Refused before it is known where they go.
        ("GET", "/%zz", 400, "malformed request"),
        ("POST", "/no", 413, "body too large"),
    ] {
        let answer = ask(method, target, "https://app.test");
        assert_eq!(answer.problem(status), phrase, "{method} {target}");
        assert_eq!(said(&answer), [OWN, "expose-headers: x-request-id"], "{method} {target}");
        assert_eq!(answer.header("vary"), Some("origin"), "{method} {target}");
        let answer = ask(method, target, "https://evil.test");
        assert_eq!((said(&answer).len(), answer.header("vary")), (0, Some("origin")), "{method} {target}");
    }
    // It is the policy of the route where it would have gone.
    let answer = ask("POST", "/own/x", "https://own.test");
    assert_eq!(answer.problem(413), "body too large");
    assert_eq!(said(&answer), ["allow-origin: https://own.test"]);
    let answer = ask("POST", "/none/x", "https://app.test");
    assert_eq!((answer.status, said(&answer).len(), answer.header("vary")), (413, 0, None));
    assert_eq!(origin.count(), 0);
    // They are counted and told as before: no route has had them.
    let log = gateway.log(14);
    assert!(
        log.iter().filter(|line| line["status"] == 413).all(|line| line["route"] != "/own/*"),
        "{log:#?}"
    );
}

#[test]
fn a_preflight_is_judged_where_its_request_would_be() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          GET /x/{id}: { upstream: ORIGIN1, policies: { cors: { origins: ['https://app.test'] } } }
          PUT /x/{id}: { upstream: ORIGIN1, policies: { cors: { origins: ['https://evil.test'], methods: [PUT] } } }
          DELETE /x/{id}: { upstream: ORIGIN1 }
          POST /y: { upstream: ORIGIN1, policies: { cors: { origins: ['https://app.test'] } } }
          OPTIONS /y: { respond: { body: own } }
          PUT /y: { upstream: ORIGIN1 }
          /z/*:
            - { match: { headers: { x-version: '2' } }, upstream: ORIGIN1, policies: { cors: { origins: ['https://app.test'] } } }
            - { match: { when: 'request.path == \"/z/never\"' }, upstream: ORIGIN1 }
          /w/*:
            - { match: { cookies: { a: b } }, upstream: ORIGIN1, policies: { cors: { origins: ['https://evil.test'] } } }
            - { upstream: ORIGIN1, policies: { cors: { origins: ['https://app.test'], max_age: 10s } } }
        ",
    );
    let mut client = gateway.client();
    let usual = ["allow-methods: GET, HEAD, POST", OWN];
    granted(&preflight(&mut client, "/x/1", PAGE, "GET"), &usual);
    granted(&preflight(&mut client, "/x/1", PAGE, "HEAD"), &usual);
    granted(&preflight(&mut client, "/x/1", PAGE, "PUT"), &[]);
    granted(&preflight(&mut client, "/x/1", EVIL, "GET"), &[]);
    granted(
        &preflight(&mut client, "/x/1", EVIL, "PUT"),
        &["allow-methods: PUT", "allow-origin: https://evil.test"],
    );
    // No policy judges these, so they are what they were without one.
    for method in ["DELETE", "PATCH"] {
        let answer = preflight(&mut client, "/x/1", PAGE, method);
        assert_eq!(
            (answer.problem(405).as_str(), said(&answer).len()),
            ("method not allowed", 0),
            "{method}"
        );
        assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    }
    assert_eq!(preflight(&mut client, "/none", PAGE, "GET").problem(404), "no route");
    // A route of its own for `OPTIONS` is not asked where the policy is in force, and is where it is not.
    granted(&preflight(&mut client, "/y", PAGE, "POST"), &usual);
    for answer in [preflight(&mut client, "/y", PAGE, "PUT"), client.request("OPTIONS", "/y", &[PAGE], b"")] {
        assert_eq!((answer.status, answer.text().as_str(), said(&answer).len()), (200, "own", 0));
    }
    // What a condition will see a preflight does not have.
    granted(&preflight(&mut client, "/z/1", PAGE, "GET"), &usual);
    assert_eq!(client.request("GET", "/z/1", &[PAGE], b"").problem(404), "no route");
    granted(
        &preflight(&mut client, "/w/1", PAGE, "GET"),
        &["allow-methods: GET, HEAD, POST", OWN, "max-age: 10"],
    );
    assert_eq!(origin.count(), 0);
    let log = gateway.log(8);
    assert_eq!(
        (log[0]["route"].as_str(), log[2]["note"].is_string()),
        (Some("GET /x/{id}"), true),
        "{log:#?}"
    );
}

#[test]
fn an_options_that_is_no_preflight_goes_its_way() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cors: { origins: ['https://app.test'] } }
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    let mut client = gateway.client();
    let asks = ("Access-Control-Request-Method", "PUT");
    for headers in [&[PAGE][..], &[asks], &[], &[PAGE, ("Access-Control-Request-Method", "P U T")]] {
        let answer = client.request("OPTIONS", "/api/x", headers, b"");
        assert_eq!((answer.status, answer.header("vary")), (200, Some("origin")));
        assert_eq!(said(&answer), if headers.contains(&PAGE) { vec![OWN] } else { vec![] });
    }
    assert_eq!(client.request("GET", "/api/x", &[PAGE, asks], b"").status, 200);
    assert_eq!(origin.count(), 5);
    // A preflight may have a body; the next request on the connection is read behind it.
    let answer = client.request("OPTIONS", "/api/x", &[PAGE, asks], b"hello");
    granted(&answer, &["allow-methods: GET, HEAD, POST", OWN]);
    assert_eq!(client.get("/api/y").status, 200);
}

#[test]
fn credentials_are_for_named_origins_and_get_what_they_ask_for() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /all/*:
            upstream: ORIGIN1
            policies:
              cors:
                origins: ['https://*.app.test', 'HTTP://LocalHost:80']
                methods: ['*']
                headers: ['*', authorization]
                expose: [X-Total, etag]
                credentials: true
                max_age: 0s
          /any/*:
            upstream: ORIGIN1
            policies: { cors: { origins: ['*'], methods: ['*'], headers: ['*'], expose: ['*'], max_age: 1h } }
        ",
    );
    let mut client = gateway.client();
    let yes = "allow-credentials: true";
    for page in ["https://a.app.test", "https://a.b.app.test", "http://localhost"] {
        let (page, told) = (("Origin", page), format!("allow-origin: {page}"));
        let answer = preflight(&mut client, "/all/x", page, "PATCH");
        granted(&answer, &[yes, "allow-headers: authorization", "allow-methods: PATCH", &told, "max-age: 0"]);
        let answer = client.request("GET", "/all/x", &[page], b"");
        assert_eq!(said(&answer), [yes, &told, "expose-headers: x-total, etag"]);
    }
    for page in
        ["https://app.test", "https://xapp.test", "https://evil.test/.app.test", "http://localhost:80"]
    {
        granted(&preflight(&mut client, "/all/x", ("Origin", page), "PATCH"), &[]);
    }
    let star = ["allow-headers: *", "allow-methods: *", "allow-origin: *", "max-age: 3600"];
    for page in ["https://app.test", "null"] {
        granted(&preflight(&mut client, "/any/x", ("Origin", page), "PATCH"), &star);
    }
    // The same for everybody, so that one answer in a cache is for everybody.
    for headers in [&[EVIL][..], &[]] {
        let answer = client.request("GET", "/any/x", headers, b"");
        assert_eq!(said(&answer), ["allow-origin: *", "expose-headers: *"]);
        assert_eq!(answer.header("vary"), None);
    }
    assert_eq!(origin.count(), 5);
}

#[test]
fn it_is_the_same_over_http_2() {
    let origin = Origin::serve(|turn| turn.answer(200, &[("Access-Control-Allow-Origin", "*")], "x"));
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cors: { origins: ['https://app.test'], methods: [PUT] } }
        routes: { 'PUT /api/*': { upstream: ORIGIN1 } }
        ",
    );
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asks = [PAGE, ("Access-Control-Request-Method", "PUT")];
        let asked =
            session.open(request("OPTIONS", "/api/x", &asks), true).await.unwrap().whole().await.unwrap();
        assert_eq!(
            (asked.status, asked.headers["access-control-allow-methods"].to_str().unwrap()),
            (204, "PUT")
        );
        assert_eq!(asked.headers["access-control-allow-origin"], "https://app.test");
        assert_eq!(origin.count(), 0);
        for (method, path, status) in [("PUT", "/api/x", 200), ("GET", "/api/x", 405), ("GET", "/none", 404)]
        {
            let answer =
                session.open(request(method, path, &[PAGE]), true).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.status, status);
            let lines: Vec<_> = answer.headers.get_all("access-control-allow-origin").iter().collect();
            assert_eq!(lines, ["https://app.test"]);
            assert_eq!(answer.headers["vary"], "origin");
        }
        let shakes = [EVIL, ("sec-websocket-version", "13")];
        let answer =
            session.open(request("PUT", "/api/x", &shakes), true).await.unwrap().whole().await.unwrap();
        assert_eq!(answer.status, 403);
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_page_of_another_origin_opens_no_socket() {
    let origin = Origin::serve(|turn| match turn.request().header("upgrade") {
        Some("websocket") => turn.switch("websocket", b""),
        _ => turn.echo(),
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /ws: { upstream: ORIGIN1, policies: { cors: { origins: ['https://app.test'] } } }
          /any: { upstream: ORIGIN1, policies: { cors: { origins: ['*'] } } }
          /free: { upstream: ORIGIN1 }
        ",
    );
    let shake = |target: &str, origin: &[(&str, &str)]| {
        let mut headers = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend_from_slice(origin);
        gateway.request("GET", target, &headers, b"")
    };
    for page in
        ["https://evil.test", "null", "http://app.test", "https://gw.test.evil", "https://gw.test:8443"]
    {
        let answer = shake("/ws", &[("Origin", page)]);
        assert_eq!((answer.problem(403).as_str(), said(&answer).len()), ("forbidden", 0), "{page}");
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    assert_eq!(origin.count(), 0);
    assert!(gateway.log(5).iter().all(|line| line["reason"] == "origin"));
    // A named one, one of the very host, and a client that is no browser.
    for headers in [&[PAGE][..], &[("Origin", "http://gw.test")], &[]] {
        assert_eq!(shake("/ws", headers).status, 101);
    }
    assert_eq!((shake("/any", &[EVIL]).status, shake("/free", &[EVIL]).status), (101, 101));
    // An offer of another protocol is none that a page could make.
    assert_eq!(
        gateway.request("GET", "/ws", &[EVIL, ("Connection", "upgrade"), ("Upgrade", "foo")], b"").status,
        200
    );
    assert_eq!(origin.count(), 6);
}
