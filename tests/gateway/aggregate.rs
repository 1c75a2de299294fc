//! One call, several services, one answer. Ids in comments are rows (D) and cases (s) of the catalogue of behaviour.

use serde_json::{Value, json};

use crate::support::token::{self, SECRET};
use crate::support::{Answer, Closed, Gate, Gateway, Origin, Turn};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The dashboard of three services.
const DASHBOARD: &str = "
    routes:
      GET /api/dashboard/{userId}:
        aggregate:
          mode: all
          sources:
            user:            { upstream: ORIGIN1, path: '/{userId}' }
            orders:          { upstream: ORIGIN2, path: '/by-user/{userId}' }
            recommendations: { upstream: ORIGIN3, path: '/recommend/{userId}' }
    ";

/// Two services, A and B.
const HOME: &str = "
    routes:
      GET /home:
        aggregate:
          sources:
            user:   { upstream: ORIGIN1, path: /user }
            orders: { upstream: ORIGIN2, path: /orders }
    ";

fn json_origin(body: &str) -> Origin {
    let body = body.to_owned();
    Origin::serve(move |turn| turn.answer(200, &[JSON], &body))
}

/// The answer of [`HOME`] where A is fine and B does this.
fn with_b(b: impl Fn(&mut Turn) + Send + Sync + 'static) -> (Answer, Value) {
    let (a, b) = (json_origin(r#"{"id":1}"#), Origin::serve(b));
    let gateway = Gateway::start(&[&a, &b], HOME);
    let answer = gateway.get("/home");
    let line = gateway.log(1).remove(0);
    (answer, line)
}

/// Asserts that a B that does this fails the whole call with 502 and that word.
#[track_caller]
fn fails(word: &str, b: impl Fn(&mut Turn) + Send + Sync + 'static) {
    let (answer, line) = with_b(b);
    failed(&answer, &line, 502, word);
}

#[track_caller]
fn failed(answer: &Answer, line: &Value, status: u16, word: &str) {
    let phrase = if status == 504 { "upstream timeout" } else { "upstream failure" };
    assert_eq!(answer.problem(status), phrase, "{}", answer.text());
    assert_eq!(answer.json()["detail"], format!("orders: {word}"));
    let told = format!("{:?} {}", answer.headers, answer.text());
    for hidden in ["127.0.0.1", "/orders", "\"id\"", "secret"] {
        assert!(!told.contains(hidden), "{hidden} in {told}");
    }
    assert_eq!((&line["error"], &line["reason"]), (&json!(phrase), &json!("source")), "{line}");
    assert!(line["source"].as_str().is_some_and(|why| why.starts_with("source orders: ")), "{line}");
}

#[test]
fn all_sources_make_one_answer() {
    // D01, D20
    let origins = ["{\"name\":\"Ada\"}", "[{\"id\":1},{\"id\":2}]", "[]"].map(json_origin);
    let [users, orders, catalog] = &origins;
    let gateway = Gateway::start(&[users, orders, catalog], DASHBOARD);
    let answer = gateway.request(
        "GET",
        "/api/dashboard/42?debug=1",
        &[("Accept", "text/html"), ("Cookie", "a=b"), ("If-None-Match", "\"x\""), ("Range", "bytes=0-1")],
        b"",
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), r#"{"user":{"name":"Ada"},"orders":[{"id":1},{"id":2}],"recommendations":[]}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    let lines = origins.each_ref().map(|origin| origin.only().line);
    assert_eq!(lines, ["GET /42 HTTP/1.1", "GET /by-user/42 HTTP/1.1", "GET /recommend/42 HTTP/1.1"]);
    for origin in &origins {
        let seen = origin.only();
        assert_eq!(seen.header("accept"), Some("application/json"));
        assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
        assert_eq!(seen.header("host"), Some(origin.address().to_string().as_str()));
        for absent in ["cookie", "if-none-match", "range", "content-length", "transfer-encoding"] {
            assert!(!seen.has(absent), "{absent}: {seen:#?}");
        }
    }
}

#[test]
fn members_stand_in_the_order_written_whatever_came_first() {
    let expected = r#"{"user":1,"orders":2,"recommendations":3}"#;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let gates = [Gate::new(), Gate::new(), Gate::new()];
        let origins = [1, 2, 3].map(|number| {
            let gate = gates[number - 1].clone();
            Origin::serve(move |turn| {
                turn.wait(&gate);
                turn.answer(200, &[JSON, ("Connection", "close")], number.to_string());
                turn.wait_closed();
            })
        });
        let gateway = Gateway::start(&[&origins[0], &origins[1], &origins[2]], DASHBOARD);
        let mut client = gateway.client();
        client.send("GET /api/dashboard/42 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        // They start at once: all three are asked before any has answered.
        origins.iter().for_each(|origin| origin.wait_count(1));
        for index in order {
            gates[index].open();
            // Read to its end: the gateway has closed the connection that will not be used again.
            origins[index].wait_closed(0);
        }
        let answer = client.read();
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{order:?}");
    }
}

#[test]
fn a_source_that_does_not_answer_fails_the_call() {
    // D02
    fails("reset", Turn::close);
    fails("reset", Turn::reset);
    fails("reset", |turn| {
        turn.raw(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"secret\":",
        );
        turn.close();
    });
    fails("reset", |turn| {
        turn.chunked(200, &[JSON]);
        turn.chunk("[1]");
        turn.close();
    });
    fails("reset", |turn| {
        turn.raw("SSH-2.0 secret\r\n\r\n");
        turn.close();
    });
    let (a, closed) = (json_origin("{}"), Closed::new());
    let gateway = Gateway::start(&[&a], &HOME.replace("ORIGIN2", &format!("'{}'", closed.url())));
    failed(&gateway.get("/home"), &gateway.log(1)[0], 502, "refused");
}

#[test]
fn a_status_that_is_no_success_fails_the_call() {
    // D03, D04, D08, s-077
    for status in [199, 301, 304, 400, 404, 500, 503].into_iter().filter(|status| *status >= 200) {
        fails("status", move |turn| {
            turn.answer(status, &[JSON, ("Location", "/secret")], r#"{"error":"secret"}"#);
        });
    }
    for status in [200, 201, 203, 299] {
        let (answer, _) = with_b(move |turn| turn.answer(status, &[JSON], "[1]"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, r#"{"user":{"id":1},"orders":[1]}"#),
            "{status}"
        );
    }
}

#[test]
fn a_body_that_is_no_json_fails_the_call() {
    // D05, s-064
    for body in [
        "Welcome",
        "<html>secret</html>",
        "{\"a\":1",
        "{\"a\":1}}",
        "{} {}",
        "[1,]",
        "{'a':1}",
        "NaN",
        "01",
        "\"a\nb\"",
        " ",
        "\u{feff}",
    ] {
        fails("invalid_json", move |turn| turn.answer(200, &[JSON], body));
    }
    fails("invalid_json", |turn| turn.answer(200, &[JSON], b"{\"a\":\"\xff\"}"));
    fails("invalid_json", |turn| {
        turn.answer(200, &[JSON, ("Content-Encoding", "gzip")], b"\x1f\x8b\x08secret")
    });
    // Whatever it looks like: the gateway has asked for no coding.
    fails("invalid_json", |turn| turn.answer(200, &[JSON, ("Content-Encoding", "zz")], "[1]"));
    let (answer, _) = with_b(|turn| turn.answer(200, &[JSON, ("Content-Encoding", "identity")], "[1]"));
    assert_eq!(answer.json(), json!({ "user": { "id": 1 }, "orders": [1] }));
    // The media type does not matter where the body is JSON.
    let (answer, line) = with_b(|turn| turn.answer(200, &[("Content-Type", "text/plain")], " [1] "));
    assert_eq!(line["attempts"], 2, "one for each source: {line}");
    assert_eq!(answer.json(), json!({ "user": { "id": 1 }, "orders": [1] }));
}

#[test]
fn every_json_value_may_be_a_part() {
    // s-065, s-066, s-067
    for body in
        ["[{\"n\":1},{\"n\":2}]", "[]", "{}", "null", "false", "0", "\"\"", "\"\\u0000 \\ud83d\\ude00\""]
    {
        let (answer, _) = with_b(move |turn| turn.answer(200, &[JSON], body));
        assert_eq!(answer.text(), format!("{{\"user\":{{\"id\":1}},\"orders\":{body}}}"));
    }
    let (answer, _) = with_b(|turn| turn.answer(204, &[], ""));
    assert_eq!(answer.text(), r#"{"user":{"id":1},"orders":null}"#);
    let (answer, _) = with_b(|turn| turn.answer(200, &[JSON], ""));
    assert_eq!(answer.text(), r#"{"user":{"id":1},"orders":null}"#, "an empty body is null");
}

#[test]
fn digits_and_bytes_are_carried_over() {
    // s-073, s-074
    for body in [
        r#"{"id":8123456789012345677}"#,
        r#"{"price":0.1}"#,
        r#"{"v":[100000000000000000000.0,1.10,-0,1E+2,0.1000000000000000055511151231257827]}"#,
        r#"{"w":18446744073709551615,"z":123456789012345678901234567890}"#,
        r#"{"b":1,"a":2,"a":3,"\u0061":"\/é"}"#,
        "{ \"spaced\" :\t[ 1 , 2 ]\r\n}",
        r#"{"deep":{"__proto__":{},"constructor":null},"x":1e999}"#,
    ] {
        let (answer, _) = with_b(move |turn| turn.answer(200, &[JSON], body));
        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(answer.text(), format!("{{\"user\":{{\"id\":1}},\"orders\":{body}}}"));
    }
    let (answer, _) = with_b(|turn| {
        turn.chunked(200, &[JSON]);
        b"{\"w\":18446744073709551615}".iter().for_each(|byte| turn.chunk([*byte]));
        turn.last_chunk(&[("x-trailer", "1")]);
    });
    assert_eq!(answer.text(), r#"{"user":{"id":1},"orders":{"w":18446744073709551615}}"#, "in pieces");
}

#[test]
fn a_source_that_is_slow_is_waited_for() {
    // D06
    let gate = Gate::new();
    let held = gate.clone();
    let a = json_origin("1");
    let b = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.chunked(200, &[JSON]);
        turn.chunk("2");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&a, &b], HOME);
    let mut client = gateway.client();
    client.send("GET /home HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    a.wait_count(1);
    b.wait_count(1);
    gate.open();
    assert_eq!(client.read().text(), r#"{"user":1,"orders":2}"#);
}

#[test]
fn time_that_runs_out_is_504() {
    // D07: a source's own timeout, the upstream's, and the route's.
    let timed = [
        HOME.replace("path: /orders }", "path: /orders, timeout: 100ms }"),
        "upstreams: { slow: { url: ORIGIN2, timeouts: { response: 100ms } } }\n".to_owned()
            + &HOME
                .replace("    routes:", "routes:")
                .replace("\n    ", "\n")
                .replace("upstream: ORIGIN2", "upstream: slow"),
        HOME.replace("GET /home:", "GET /home:\n        timeout: 100ms"),
    ];
    for (index, config) in timed.iter().enumerate() {
        let a = json_origin("1");
        let b = Origin::serve(Turn::wait_closed);
        let gateway = Gateway::start(&[&a, &b], config);
        let answer = gateway.get("/home");
        assert_eq!(answer.status, 504, "{index}: {}", answer.text());
        if index < 2 {
            failed(&answer, &gateway.log(1)[0], 504, "timeout");
        }
        b.wait_closed(0);
    }
    // A body that does not come to its end.
    let b = Origin::serve(|turn| {
        turn.chunked(200, &[JSON]);
        turn.chunk("[1");
        turn.wait_closed();
    });
    let a = json_origin("1");
    let gateway = Gateway::start(&[&a, &b], &timed[0]);
    failed(&gateway.get("/home"), &gateway.log(1)[0], 504, "timeout");
    b.wait_closed(0);
}

#[test]
fn the_first_failure_cancels_the_rest() {
    // D09, s-077
    let a = Origin::serve(Turn::wait_closed);
    let gate = Gate::new();
    let held = gate.clone();
    let b = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(404, &[JSON], "{}");
    });
    let c = Origin::serve(|turn| {
        turn.chunked(200, &[JSON]);
        turn.chunk("[1");
        turn.wait_closed();
    });
    let gateway = Gateway::start(&[&a, &b, &c], DASHBOARD);
    let mut client = gateway.client();
    client.send("GET /api/dashboard/42 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    [&a, &b, &c].iter().for_each(|origin| origin.wait_count(1));
    gate.open();
    let answer = client.read();
    assert_eq!(answer.problem(502), "upstream failure");
    assert_eq!(answer.json()["detail"], "orders: status");
    a.wait_closed(0);
    c.wait_closed(0);
}

#[test]
fn a_client_that_leaves_ends_every_call() {
    let calls = || Origin::serve(Turn::wait_closed);
    let (a, b) = (calls(), calls());
    let c = Origin::serve(|turn| {
        turn.chunked(200, &[JSON]);
        turn.chunk("[1");
        turn.wait_closed();
    });
    let gateway = Gateway::start(&[&a, &b, &c], DASHBOARD);
    let mut client = gateway.client();
    client.send("GET /api/dashboard/42 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    [&a, &b, &c].iter().for_each(|origin| origin.wait_count(1));
    socket2::SockRef::from(client.stream()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    [&a, &b, &c].iter().for_each(|origin| origin.wait_closed(0));
    let line = &gateway.log(1)[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client closed")), "{line}");
}

#[test]
fn only_the_owner_sees_the_dashboard() {
    // D11, D12, D13, D20, s-079
    let etagged = |turn: &mut Turn| {
        turn.answer(
            200,
            &[
                JSON,
                ("ETag", "\"e\""),
                ("Cache-Control", "max-age=60"),
                ("Set-Cookie", "s=1"),
                ("X-Inner", "1"),
            ],
            "{}",
        );
    };
    let origins = [Origin::serve(etagged), Origin::serve(etagged), Origin::serve(etagged)];
    let config = "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
        routes:
          GET /api/dashboard/{userId}:
            policies: { auth: user, authorize: identity.id == params.userId }
            aggregate:
              sources:
                user:            { upstream: ORIGIN1, path: '/{userId}' }
                orders:          { upstream: ORIGIN2, path: '/by-user/{userId}' }
                recommendations: { upstream: ORIGIN3, path: '/recommend/{userId}' }
          GET /public/{userId}:
            aggregate: { sources: { user: { upstream: ORIGIN1, path: '/{userId}' } } }
        ";
    let gateway =
        Gateway::prepare(&[&origins[0], &origins[1], &origins[2]]).env("SECRET", SECRET).start(config);
    let credentials = format!("Bearer {}", token::for_subject("42"));
    let headers = [("Authorization", credentials.as_str()), ("X-User-Id", "admin"), ("x_user_id", "root")];
    let mut client = gateway.client();
    assert_eq!(client.get("/api/dashboard/42").problem(401), "missing token");
    assert_eq!(client.request("GET", "/api/dashboard/7", &headers, b"").problem(403), "forbidden");
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 0);
    let answer = client.request("GET", "/api/dashboard/42", &headers, b"");
    assert_eq!(answer.status, 200);
    for absent in ["etag", "content-range", "set-cookie", "x-inner"] {
        assert!(!answer.headers.has(absent), "{absent} of a part is not the whole's");
    }
    for origin in &origins {
        assert_eq!(origin.only().header("x-user-id"), Some("42"));
        assert!(!origin.raw_all().contains("admin") && !origin.raw_all().contains("root"));
    }
    assert_eq!(client.request("GET", "/public/42", &headers[1..], b"").status, 200);
    assert!(!origins[0].last().has("x-user-id"), "nobody's identity is nobody's");
    assert!(!origins[0].raw_all().contains("admin"));
}

#[test]
fn a_parameter_stays_in_its_place() {
    // D14, D15, D16
    let origins = [json_origin("1"), json_origin("2"), json_origin("3")];
    let gateway = Gateway::start(&[&origins[0], &origins[1], &origins[2]], DASHBOARD);
    for bad in ["..%2F..%2Fadmin", "%2e%2e%2fadmin", "a%5Cb", "%zz", "%0d%0aX-A:1", "%00", "a;b=c"] {
        let answer = gateway.get(&format!("/api/dashboard/{bad}"));
        assert_eq!(answer.problem(400), "malformed request", "{bad}");
    }
    assert_eq!(gateway.get("/api/dashboard/%2e%2e").problem(404), "no route");
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 0);
    for (sent, arrives) in [
        ("1%3Frole=admin%26x", "1%3Frole=admin%26x"),
        ("1%23x", "1%23x"),
        ("%7Bid%7D", "%7Bid%7D"),
        ("a%20b%25", "a%20b%25"),
        ("%C3%A9", "%C3%A9"),
        ("%34%32", "42"),
        ("a%3Bb=c", "a%3Bb=c"),
        ("a+b", "a+b"),
    ] {
        let answer = gateway.get(&format!("/api/dashboard/{sent}"));
        assert_eq!(answer.status, 200, "{sent}");
        let decoded = |target: String| {
            let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(p, q)| (p, Some(q)));
            assert_eq!(query, None, "{sent} became a query in {target}");
            unescaped(path)
        };
        let target = decoded(origins[0].last().target().to_owned());
        assert_eq!(target, format!("/{}", unescaped(arrives)), "{sent}");
        let target = decoded(origins[1].last().target().to_owned());
        assert_eq!(target, format!("/by-user/{}", unescaped(arrives)), "{sent}");
    }
}

/// Percent signs decoded once.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_parameter_in_a_query_stays_one_value() {
    let a = json_origin("1");
    let gateway = Gateway::start(
        &[&a],
        "
        routes:
          /find/{word}:
            aggregate: { sources: { found: { upstream: '${BASE}/base', path: '/search?q={word}&limit=5' } } }
        "
        .replace("${BASE}", "ORIGIN1")
        .as_str(),
    );
    for word in ["a%26limit=9", "a+b", "a%20b", "a=b", "%23x", "%C3%A9", "a%2Bb"] {
        let answer = gateway.get(&format!("/find/{word}"));
        assert_eq!(answer.status, 200, "{word}: {}", answer.text());
        let seen = a.last();
        let (path, query) = seen.target().split_once('?').unwrap();
        assert_eq!(path, "/base/search");
        let parts: Vec<&str> = query.split('&').collect();
        assert_eq!((parts.len(), parts[1]), (2, "limit=5"), "{word} in {query}");
        let value = parts[0].strip_prefix("q=").unwrap();
        assert!(!value.contains(['+', '#', ' ']), "a plus would be read as a blank: {value}");
        assert_eq!(unescaped(value), unescaped(word), "{query}");
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    // D17
    let origins = [json_origin("1"), json_origin("2"), json_origin("3")];
    let gateway = Gateway::start(&[&origins[0], &origins[1], &origins[2]], DASHBOARD);
    let mut client = gateway.client();
    let head = client.request("HEAD", "/api/dashboard/42", &[], b"");
    let get = client.get("/api/dashboard/42");
    assert_eq!((head.status, get.status), (200, 200));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert!(origins.iter().all(|origin| origin.requests().iter().all(|seen| seen.method() == "GET")));
}

#[test]
fn other_methods_and_paths_are_refused() {
    // D18, D19
    let origins = [json_origin("1"), json_origin("2"), json_origin("3")];
    let config = DASHBOARD.replace("GET /api", "/api");
    for config in [DASHBOARD, &config] {
        let gateway = Gateway::start(&[&origins[0], &origins[1], &origins[2]], config);
        let mut client = gateway.client();
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = client.request(method, "/api/dashboard/42", &[], b"");
            assert_eq!(answer.problem(405), "method not allowed", "{method}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
        assert_eq!(client.get("/api/dashboard").problem(404), "no route");
        assert_eq!(client.get("/api/dashboard/42/x").problem(404), "no route");
        assert_eq!(client.get("/api/dashboard/").problem(404), "no route");
    }
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 0);
}

#[test]
fn a_body_larger_than_its_bound_fails_the_call() {
    // D21, s-070
    let endless = |turn: &mut Turn| {
        turn.chunked(200, &[JSON]);
        // Ends when the gateway closes: writing fails then.
        for _ in 0..8192 {
            turn.chunk(vec![b' '; 64 * 1024]);
        }
        turn.last_chunk(&[]);
        turn.wait_closed();
    };
    let a = json_origin(r#"{"id":1}"#);
    let b = Origin::serve(endless);
    let gateway = Gateway::start(&[&a, &b], HOME);
    failed(&gateway.get("/home"), &gateway.log(1)[0], 502, "too_large");
    b.wait_closed(0);
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());

    let exact = |length: usize| format!("\"{}\"", "a".repeat(length - 2));
    let (fits, over) = (exact(100), exact(101));
    let config = HOME.replace("path: /orders }", "path: /orders, max_body: 100B }");
    for (body, status) in [(fits, 200), (over, 502)] {
        let b = json_origin(&body);
        let gateway = Gateway::start(&[&a, &b], &config);
        let answer = gateway.get("/home");
        assert_eq!(answer.status, status, "{}", answer.text());
        let lying = Origin::serve(|turn| turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"));
        let gateway = Gateway::start(&[&a, &lying], &config);
        failed(&gateway.get("/home"), &gateway.log(1)[0], 502, "too_large");
    }
}

#[test]
fn connections_of_sources_are_kept() {
    let origins = [json_origin("1"), json_origin("2"), json_origin("3")];
    let gateway = Gateway::start(&[&origins[0], &origins[1], &origins[2]], DASHBOARD);
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.get("/api/dashboard/42").status, 200);
    }
    for origin in &origins {
        assert_eq!((origin.count(), origin.connections()), (10, 1));
    }
}
