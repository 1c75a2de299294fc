//! What becomes of a source's answer: every row of the tables "What a source comes to" and "The body" in
//! docs/aggregates.md. Each answer is tried in both modes. Ids in comments are cases of the catalogue of behaviour.

use std::sync::Arc;

use serde_json::json;

use crate::support::parts::{
    JSON, bomb, brotli, gzip, hollow, in_pieces, json_origin, page_table, told_words, zlib, zstd,
};
use crate::support::{Answer, Closed, Gateway, Origin, Turn, until};

type Script = Box<dyn Fn(&mut Turn) + Send + Sync>;

/// What a source does, and what it comes to: the bytes of its member, or a word and a status.
pub(crate) struct Case {
    name: String,
    script: Script,
    comes_to: Result<String, (&'static str, u16)>,
}

pub(crate) const INVALID: Result<String, (&'static str, u16)> = Err(("invalid_json", 502));
const RESET: Result<String, (&'static str, u16)> = Err(("reset", 502));
const TOO_LARGE: Result<String, (&'static str, u16)> = Err(("too_large", 502));

pub(crate) fn case(
    name: impl std::fmt::Debug,
    comes_to: Result<String, (&'static str, u16)>,
    script: impl Fn(&mut Turn) + Send + Sync + 'static,
) -> Case {
    let name = format!("{name:?}").chars().take(200).collect();
    Case { name, comes_to, script: Box::new(script) }
}

pub(crate) fn ok(text: &str) -> Result<String, (&'static str, u16)> {
    Ok(text.to_owned())
}

/// 200 with these bytes as `application/json`.
pub(crate) fn carried(body: &str) -> Case {
    let sent = body.to_owned();
    case(body, ok(body), move |turn| turn.answer(200, &[JSON], &sent))
}

/// 200 with these bytes in those codings, whole and in pieces of seven bytes.
fn coded(coding: &'static str, body: Vec<u8>, comes_to: &Result<String, (&'static str, u16)>) -> [Case; 2] {
    let whole = body.clone();
    let headers = [JSON, ("Content-Encoding", coding)];
    [
        case(coding, comes_to.clone(), move |turn| turn.answer(200, &headers, &whole)),
        case(coding, comes_to.clone(), move |turn| in_pieces(turn, &headers, &body, 7)),
    ]
}

fn raw(name: &str, comes_to: Result<String, (&'static str, u16)>, bytes: &'static str) -> Case {
    case(name, comes_to, move |turn| {
        turn.raw(bytes);
        turn.close();
    })
}

/// Two routes for each case, `/partial/N` and `/all/N`, whose second source has those options.
pub(crate) fn hold(options: &str, cases: Vec<Case>) {
    let cases = Arc::new(cases);
    let scripts = Arc::clone(&cases);
    let orders = Origin::serve(move |turn| {
        let at: usize = turn.request().target()[1..].parse().unwrap();
        (scripts[at].script)(turn);
    });
    let user = json_origin(r#"{"id":1}"#);
    let route = |mode: &str| {
        format!(
            "  /{mode}/{{case}}: {{ aggregate: {{ mode: {mode}, sources: {{ user: {{ upstream: ORIGIN1, path: / }}, orders: {{ upstream: STEADY2, path: '/{{case}}'{options} }} }} }} }}\n"
        )
    };
    let gateway =
        Gateway::start(&[&user, &orders], &format!("routes:\n{}{}", route("partial"), route("all")));
    let mut client = gateway.client();
    for (at, case) in cases.iter().enumerate() {
        let partial = client.get(&format!("/partial/{at}"));
        let all = client.get(&format!("/all/{at}"));
        judged(case, &partial, &all);
    }
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
    assert_eq!(gateway.get("/partial/0").status, 200, "and it goes on");
}

#[track_caller]
fn judged(case: &Case, partial: &Answer, all: &Answer) {
    let name = &case.name;
    assert_eq!(partial.status, 200, "{name}: {}", partial.text());
    assert!(partial.complete, "{name}");
    let length = partial.header("content-length").map(|length| length.parse::<usize>().unwrap());
    assert_eq!(length, Some(partial.body.len()), "{name}");
    assert!(!partial.headers.has("content-encoding"), "{name}");
    match &case.comes_to {
        Ok(body) => {
            let expected = format!(r#"{{"user":{{"id":1}},"orders":{body}}}"#);
            assert_eq!(partial.text(), expected, "{name}");
            assert_eq!((all.status, all.text()), (200, expected), "{name}");
            assert_eq!(told_words(partial), "user=ok orders=ok", "{name}");
            assert!(!partial.headers.has("cache-control"), "{name}");
        }
        Err((word, status)) => {
            let errors = format!(r#""_errors":{{"orders":{{"error":"{word}","status":{status}}}}}"#);
            let expected = format!(r#"{{"user":{{"id":1}},"orders":null,{errors}}}"#);
            assert_eq!(partial.text(), expected, "{name}");
            assert_eq!(told_words(partial), format!("user=ok orders={word}"), "{name}");
            assert_eq!(partial.header("cache-control"), Some("no-store"), "{name}");
            let (code, phrase) =
                if *word == "timeout" { (504, "upstream timeout") } else { (502, "upstream failure") };
            assert_eq!(all.problem(code), phrase, "{name}");
            assert_eq!(all.json()["detail"], format!("orders: {word}"), "{name}");
        }
    }
}

#[test]
fn the_pages_rows_are_those_that_are_tested_here() {
    let rows = page_table("What happens");
    let words: Vec<(&str, &str)> = rows.iter().map(|row| (row[1].trim_matches('`'), row[2])).collect();
    // The skipped and the dependent are in aggregate_graph, what an upstream refuses in the tests of resilience.
    assert_eq!(
        words,
        [
            ("ok", ""),
            ("ok", ""),
            ("skipped", ""),
            ("status", "its own"),
            ("timeout", "504"),
            ("refused", "502"),
            ("reset", "502"),
            ("invalid_json", "502"),
            ("too_large", "502"),
            ("breaker_open", "503"),
            ("overloaded", "503"),
            ("dependency", "502"),
        ]
    );
    assert_eq!(page_table("The body").len(), 11);
}

#[test]
fn codings_nobody_asked_for_are_undone() {
    // s-068, s-071
    let body = br#"{"n":12345678901234567890,"x":1.10}"#;
    let whole = ok(std::str::from_utf8(body).unwrap());
    let mut cases = Vec::new();
    cases.extend(coded("gzip", gzip(body), &whole));
    cases.extend(coded("GZip", gzip(body), &whole));
    cases.extend(coded("deflate", zlib(body), &whole));
    cases.extend(coded("br", brotli(body), &whole));
    cases.extend(coded("zstd", zstd(body), &whole));
    cases.extend(coded("identity", body.to_vec(), &whole));
    cases.extend(coded("gzip, br", brotli(&gzip(body)), &whole));
    cases.extend(coded("zstd,deflate", zlib(&zstd(body)), &whole));
    cases.extend(coded("gzip", gzip(b"\xef\xbb\xbf[]"), &ok("[]")));
    // More than two, unknown ones, and what is not what it says.
    cases.extend(coded("gzip, br, gzip", gzip(&brotli(&gzip(body))), &INVALID));
    for unknown in ["zz", "compress", "gzip, zz", "aes128gcm", "dcb"] {
        cases.extend(coded(unknown, body.to_vec(), &INVALID));
    }
    for coding in ["gzip", "deflate", "br", "zstd"] {
        cases.extend(coded(coding, body.to_vec(), &INVALID));
        cases.extend(coded(coding, b"\x1f\x8b\x08secret".to_vec(), &INVALID));
    }
    for (coding, stream) in
        [("gzip", gzip(body)), ("deflate", zlib(body)), ("br", brotli(body)), ("zstd", zstd(body))]
    {
        cases.extend(coded(coding, stream[..stream.len() - 1].to_vec(), &INVALID));
        cases.extend(coded(coding, [&stream[..], b"{}"].concat(), &INVALID));
    }
    let mut wrong = gzip(body);
    wrong[30] ^= 1;
    cases.extend(coded("gzip", wrong, &INVALID));
    cases.extend(coded("gzip", gzip(b"{\"a\":"), &INVALID));
    let unsaid = gzip(body);
    cases.push(case("gzip unsaid", INVALID, move |turn| turn.answer(200, &[JSON], &unsaid)));
    let twice = brotli(&gzip(body));
    cases.push(case("two lines", whole.clone(), move |turn| {
        turn.answer(200, &[JSON, ("Content-Encoding", "gzip"), ("Content-Encoding", "br")], &twice);
    }));
    cases.extend(coded("gzip", bomb(100 << 20), &TOO_LARGE));
    // Within its bound once it is decoded, and over it before.
    cases.extend(coded("gzip", hollow(body, 10), &whole));
    cases.extend(coded("gzip", hollow(body, 300_000), &TOO_LARGE));
    hold("", cases);
}

#[test]
fn framing_and_types_of_a_source() {
    // s-067
    let mut cases = vec![
        raw("until it closes", ok("[1]"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1]"),
        raw("of 1.0", ok("[1]"), "HTTP/1.0 200 OK\r\n\r\n[1]"),
        raw("too long a length", RESET, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1]"),
        raw("too short a length", INVALID, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[1]"),
        raw("two lengths", RESET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n[1]"),
        raw("no length", RESET, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[1]"),
        raw("no chunk", RESET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n[1]\r\n0\r\n\r\n"),
        raw("no last chunk", RESET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"),
        raw("no trailers", RESET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n"),
        raw("no HTTP", RESET, "SSH-2.0 secret\r\n\r\n"),
        raw("half a head", RESET, "HTTP/1.1 200 OK\r\nContent-"),
        case("nothing", RESET, Turn::close),
        case("a reset", RESET, Turn::reset),
        case("a reset in the body", RESET, |turn| {
            turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1]");
            turn.reset();
        }),
        case("204", ok("null"), |turn| turn.answer(204, &[], "")),
        case("205", ok("null"), |turn| turn.answer(205, &[], "")),
        case("empty", ok("null"), |turn| turn.answer(200, &[JSON], "")),
        case("empty in chunks", ok("null"), |turn| {
            turn.chunked(201, &[JSON]);
            turn.last_chunk(&[]);
        }),
        raw("empty until it closes", ok("null"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ];
    let types = ["text/html", "text/plain", "application/json; charset=utf-16", "image/png", "nonsense"];
    for kind in types {
        let headers = [("Content-Type", kind)];
        cases.push(case(kind, ok("[1]"), move |turn| turn.answer(200, &headers, "[1]")));
        cases.push(case(kind, INVALID, move |turn| turn.answer(200, &headers, "<p>")));
    }
    cases.push(case("no type", ok("[1]"), |turn| turn.answer(200, &[], "[1]")));
    hold("", cases);
}

#[test]
fn statuses_of_a_source() {
    let with = |status: u16, comes_to: Result<String, (&'static str, u16)>| {
        case(status, comes_to, move |turn| turn.answer(status, &[JSON, ("Location", "/x")], r#"{"e":1}"#))
    };
    let fine = || ok(r#"{"e":1}"#);
    let mut cases: Vec<Case> = [200, 201, 202, 203, 206, 226, 299].map(|status| with(status, fine())).into();
    cases.extend(
        [300, 301, 304, 307, 400, 401, 404, 418, 429, 499, 500, 501, 503, 504, 599]
            .map(|status| with(status, Err(("status", status)))),
    );
    hold("", cases);
    let mut cases: Vec<Case> = [200, 204, 404, 410]
        .map(|status| with(status, if status == 204 { ok("null") } else { fine() }))
        .into();
    cases.extend([400, 403, 500].map(|status| with(status, Err(("status", status)))));
    cases.push(case("404 empty", ok("null"), |turn| turn.answer(404, &[], "")));
    cases.push(case("404 no JSON", INVALID, |turn| turn.answer(404, &[], "Not Found")));
    hold(", accept: [404, 410]", cases);
}

#[test]
fn a_body_over_its_bound_is_too_large() {
    // s-070, s-071
    let exact = |length: usize| format!("\"{}\"", "a".repeat(length - 2));
    let (fits, over) = (exact(100), exact(101));
    let (packed, bursting) = (gzip(exact(60).as_bytes()), brotli(exact(101).as_bytes()));
    let (whole, pieces) = (over.clone(), over.clone());
    let mut cases = vec![
        carried(&fits),
        case("over", TOO_LARGE, move |turn| turn.answer(200, &[JSON], &whole)),
        case("over, in pieces", TOO_LARGE, move |turn| in_pieces(turn, &[JSON], pieces.as_bytes(), 10)),
        case("a length over it", TOO_LARGE, |turn| {
            turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n");
            turn.wait_closed();
        }),
        case("endless", TOO_LARGE, |turn| {
            turn.chunked(200, &[JSON]);
            // Ends when the gateway closes: writing fails then.
            (0..8192).for_each(|_| turn.chunk(vec![b' '; 64 * 1024]));
            turn.wait_closed();
        }),
    ];
    cases.extend(coded("gzip", packed, &Ok(exact(60))));
    cases.extend(coded("br", bursting, &TOO_LARGE));
    cases.extend(coded("gzip", bomb(10 << 20), &TOO_LARGE));
    hold(", max_body: 100B", cases);
}

#[test]
fn time_that_runs_out_is_a_timeout() {
    // s-075
    let cases = || {
        vec![
            case("in time", ok("1"), |turn| turn.answer(200, &[JSON], "1")),
            case("no answer", Err(("timeout", 504)), Turn::wait_closed),
            case("half a head", Err(("timeout", 504)), |turn| {
                turn.raw("HTTP/1.1 200 OK\r\nContent-");
                turn.wait_closed();
            }),
            case("half a body", Err(("timeout", 504)), |turn| {
                turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1");
                turn.wait_closed();
            }),
            case("a body without an end", Err(("timeout", 504)), |turn| {
                turn.chunked(200, &[JSON]);
                turn.chunk("[1]");
                turn.wait_closed();
            }),
        ]
    };
    hold(", timeout: 500ms", cases());
    // The exchange's own: what is there is given all the same.
    let user = json_origin("1");
    let orders = Origin::serve(Turn::wait_closed);
    let gateway = Gateway::start(
        &[&user, &orders],
        "
        routes:
          /home:
            timeout: 500ms
            aggregate:
              mode: partial
              sources: { user: { upstream: ORIGIN1, path: / }, orders: { upstream: ORIGIN2, path: /, timeout: 10s } }
        ",
    );
    let answer = gateway.get("/home");
    assert_eq!((answer.status, told_words(&answer).as_str()), (200, "user=ok orders=timeout"));
    assert_eq!(answer.json()["_errors"], json!({ "orders": { "error": "timeout", "status": 504 } }));
    orders.wait_closed(0);
}

#[test]
fn a_source_that_refuses_connections() {
    // s-078
    let (user, closed) = (json_origin(r#"{"id":1}"#), Closed::new());
    let config = "
        routes:
          /home: { aggregate: { mode: partial, sources: { user: { upstream: ORIGIN1, path: / }, orders: { upstream: 'CLOSED', path: / } } } }
        ";
    let gateway = Gateway::start(&[&user], &config.replace("CLOSED", &closed.url()));
    let answer = gateway.get("/home");
    let told = r#"{"user":{"id":1},"orders":null,"_errors":{"orders":{"error":"refused","status":502}}}"#;
    assert_eq!((answer.status, answer.text().as_str()), (200, told));
    assert_eq!(told_words(&answer), "user=ok orders=refused");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn whole_answers_are_never_marked() {
    // s-076
    let user = json_origin(r#"{"id":1}"#);
    let orders = Origin::serve(|turn| {
        turn.read_body();
        turn.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n[1,2");
        std::thread::yield_now();
        turn.raw(",3, 4.0]");
    });
    let gateway = Gateway::start(
        &[&user, &orders],
        "
        routes:
          /home:
            aggregate: { mode: partial, sources: { user: { upstream: ORIGIN1, path: / }, orders: { upstream: ORIGIN2, path: /, timeout: 10s } } }
        ",
    );
    let work = || {
        let mut client = gateway.client();
        for _ in 0..10 {
            let answer = client.get("/home");
            assert_eq!(answer.text(), r#"{"user":{"id":1},"orders":[1,2,3, 4.0]}"#);
            assert_eq!(told_words(&answer), "user=ok orders=ok");
            assert!(!answer.headers.has("cache-control"));
        }
    };
    std::thread::scope(|scope| (0..20).for_each(|_| drop(scope.spawn(work))));
    until("all were asked", || user.count() == 200 && orders.count() == 200);
}
