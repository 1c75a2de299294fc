//! Answers that are given again without asking the service: which, to whom, and how long. What is stale is in
//! `cache_stale.rs`, which requests have one answer in `cache_keys.rs`.

use serde_json::json;

use crate::support::h2::{Session, block_on};
use crate::support::{Answer, Client, Gateway, Origin};

pub(crate) const OPEN: &str = "
    admin: { listen: 127.0.0.1:0 }
    cache: { max_size: 1MiB, max_entry: 64KiB }
    policies: { cache: {} }
    routes: { /*: { upstream: ORIGIN1 } }
    ";

/// Answers each request with its number, under these lines.
pub(crate) fn numbered(headers: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::serve(move |turn| turn.answer(200, headers, turn.number().to_string()))
}

/// What the gate says of its own handling.
#[track_caller]
pub(crate) fn said(answer: &Answer) -> &str {
    let line = answer.header("cache-status").unwrap_or_else(|| panic!("{:?}", answer.headers));
    line.strip_prefix("portcullis; ").unwrap_or_else(|| panic!("{line}"))
}

/// Asserts that it came from the store.
#[track_caller]
pub(crate) fn is_hit(answer: &Answer) {
    assert!(said(answer).starts_with("hit; ttl="), "{}", said(answer));
    assert!(answer.header("age").is_some_and(|age| age.parse::<u32>().is_ok()));
}

pub(crate) fn status(gateway: &Gateway) -> serde_json::Value {
    let answer = Client::connect(gateway.admin()).request("GET", "/status", &[("Host", "localhost")], b"");
    answer.json()["cache"].clone()
}

#[test]
fn a_fresh_answer_is_given_again() {
    let origin = Origin::serve(|turn| {
        let headers = [
            ("Cache-Control", "max-age=60"),
            ("Content-Type", "text/plain"),
            ("X-Two", "a"),
            ("X-Two", "b"),
            ("X-Request-Id", "the service's own"),
        ];
        turn.answer(200, &headers, format!("hello {}", turn.number()));
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let first = client.get("/a?x=1");
    assert_eq!((first.status, first.text().as_str()), (200, "hello 0"));
    assert_eq!(said(&first), "fwd=uri-miss; stored");
    assert!(!first.headers.has("age"));
    let second = client.get("/a?x=1");
    is_hit(&second);
    assert_eq!((second.status, second.text().as_str()), (200, "hello 0"));
    assert_eq!(second.header("content-type"), Some("text/plain"));
    assert_eq!(second.headers.all("x-two"), first.headers.all("x-two"));
    assert_eq!(second.header("date"), first.header("date"), "of the answer, not of the request");
    assert_ne!(second.header("x-request-id"), first.header("x-request-id"), "the exchange's own");
    // Dots and escapes are one path; another query, path or host is another answer.
    is_hit(&client.get("/b/../%61?x=1"));
    is_hit(&client.request("GET", "/a?x=1", &[("Host", "GW.test")], b""));
    for target in ["/a", "/a?", "/a?x=2", "/a?x=1&", "/a/?x=1"] {
        assert_eq!(said(&client.get(target)), "fwd=uri-miss; stored", "{target}");
    }
    let other = client.request("GET", "/a?x=1", &[("Host", "other.test")], b"");
    assert_eq!(said(&other), "fwd=uri-miss; stored");
    assert_eq!(origin.count(), 7);
    // No service was asked: none is in the log line.
    let log = gateway.log(10);
    assert_eq!((&log[0]["status"], &log[1]["status"]), (&json!(200), &json!(200)));
    let numbers = status(&gateway);
    assert_eq!((&numbers["hits"], &numbers["misses"]), (&json!(3), &json!(7)), "{numbers}");
    assert_eq!((&numbers["entries"], &numbers["max_bytes"]), (&json!(7), &json!(1 << 20)));
    let page = Client::connect(gateway.admin()).request("GET", "/metrics", &[("Host", "localhost")], b"");
    for line in [
        "portcullis_cache_lookups_total{outcome=\"hit\"} 3",
        "portcullis_cache_lookups_total{outcome=\"miss\"} 7",
        "portcullis_cache_stores_total 7",
        "portcullis_cache_entries 7",
        "portcullis_cache_max_bytes 1048576",
    ] {
        assert!(page.text().lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn a_head_is_answered_from_what_a_get_has_brought() {
    let origin = numbered(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /both: { upstream: ORIGIN1, policies: { cache: {} } }
          /get: { upstream: ORIGIN1, policies: { cache: { methods: [GET] } } }
        ",
    );
    let mut client = gateway.client();
    let before = client.request("HEAD", "/both", &[], b"");
    assert_eq!(said(&before), "fwd=uri-miss", "a HEAD brings nothing to keep");
    client.get("/both");
    let head = client.request("HEAD", "/both", &[], b"");
    is_hit(&head);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1")));
    let head = client.request("HEAD", "/both", &[("If-None-Match", "\"v1\"")], b"");
    assert_eq!(head.status, 304);
    assert_eq!(origin.count(), 2);
    client.get("/get");
    assert!(!client.request("HEAD", "/get", &[], b"").headers.has("cache-status"));
    is_hit(&client.get("/get"));
    assert_eq!(origin.count(), 4);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let head = session.fetch("HEAD", "/get").await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
    });
}

/// A pair of name and value.
type Line = (&'static str, &'static str);

/// What an answer says, what is asked, and whether it is kept.
type Row = (u16, &'static [Line], &'static [Line], bool);

#[test]
fn what_is_kept_is_what_rfc_9111_allows() {
    const FRESH: Line = ("Cache-Control", "max-age=60");
    const LATE: Line = ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT");
    const BEARER: Line = ("Authorization", "Bearer x");
    let rows: &[Row] = &[
        (200, &[], &[], false),
        (200, &[FRESH], &[], true),
        (200, &[LATE], &[], true),
        (200, &[("Expires", "0")], &[], false),
        (200, &[("Expires", "0"), FRESH], &[], true),
        (200, &[("Cache-Control", "s-maxage=60")], &[], true),
        (200, &[("Cache-Control", "max-age=60, s-maxage=0")], &[], false),
        (200, &[("Cache-Control", "max-age=0")], &[], false),
        (200, &[FRESH, ("Age", "60")], &[], false),
        (200, &[FRESH, ("Age", "30")], &[], true),
        (200, &[FRESH, ("Date", "Sat, 01 Jan 2000 00:00:00 GMT")], &[], false),
        (200, &[("Cache-Control", "no-store, max-age=60")], &[], false),
        (200, &[FRESH, ("Cache-Control", "no-store")], &[], false),
        (200, &[("Cache-Control", "NO-STORE, max-age=60")], &[], false),
        (200, &[("Cache-Control", "private, max-age=60")], &[], false),
        (200, &[("Cache-Control", "no-cache, max-age=60")], &[], false),
        (200, &[FRESH, ("Set-Cookie", "a=b")], &[], false),
        (200, &[FRESH, ("Vary", "*")], &[], false),
        (200, &[FRESH, ("Vary", "accept, X-Forwarded-For")], &[], false),
        (200, &[FRESH, ("Vary", "x-forwarded-proto")], &[], true),
        (200, &[FRESH], &[("Cache-Control", "no-store")], false),
        (200, &[FRESH], &[("Cache-Control", "no-cache"), ("Pragma", "no-cache")], true),
        (200, &[FRESH], &[("Cookie", "a=b")], true),
        (200, &[FRESH], &[BEARER], false),
        (200, &[("Cache-Control", "public, max-age=60")], &[BEARER], true),
        (200, &[("Cache-Control", "must-revalidate, max-age=60")], &[BEARER], true),
        (200, &[("Cache-Control", "s-maxage=60")], &[BEARER], true),
        (203, &[FRESH], &[], true),
        (204, &[FRESH], &[], true),
        (206, &[FRESH, ("Content-Range", "bytes 0-1/2")], &[("Range", "bytes=0-1")], false),
        (301, &[FRESH, ("Location", "/x")], &[], true),
        (302, &[FRESH, ("Location", "/x")], &[], true),
        (304, &[FRESH], &[("If-None-Match", "\"x\"")], false),
        (308, &[FRESH, ("Location", "/x")], &[], true),
        (404, &[FRESH], &[], true),
        (410, &[FRESH], &[], true),
        (400, &[FRESH], &[], false),
        (401, &[FRESH], &[], false),
        (403, &[FRESH], &[], false),
        (429, &[FRESH], &[], false),
        (500, &[FRESH], &[], false),
        (503, &[FRESH], &[], false),
    ];
    let origin = Origin::serve(move |turn| {
        let row: usize = turn.request().target()[1..].parse().unwrap();
        let (status, lines, _, _) = rows[row];
        turn.answer(status, lines, if matches!(status, 204 | 304) { "" } else { "ok" });
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for (number, (status, lines, asked, kept)) in rows.iter().enumerate() {
        let target = format!("/{number}");
        let first = client.request("GET", &target, asked, b"");
        let stored = if *kept { "fwd=uri-miss; stored" } else { "fwd=uri-miss" };
        assert_eq!((first.status, said(&first)), (*status, stored), "{lines:?} {asked:?}");
        let second = client.request("GET", &target, asked, b"");
        assert_eq!(second.status, *status);
        assert_eq!(said(&second).starts_with("hit"), *kept, "{lines:?} {asked:?}: {}", said(&second));
        assert_eq!(second.text(), first.text());
    }
}

#[test]
fn ttl_is_for_answers_that_say_nothing() {
    let rows: &[Row] = &[
        (200, &[], &[], true),
        (200, &[("Age", "1000"), ("ETag", "\"x\"")], &[], true),
        (200, &[("Cache-Control", "public")], &[], true),
        (301, &[], &[], true),
        (200, &[("Cache-Control", "max-age=0")], &[], false),
        (200, &[("Cache-Control", "no-store")], &[], false),
        (200, &[("Cache-Control", "private")], &[], false),
        (200, &[("Cache-Control", "no-cache")], &[], false),
        (200, &[("Set-Cookie", "a=b")], &[], false),
        (200, &[], &[("Cookie", "session=1")], false),
        (200, &[], &[("Authorization", "Bearer x")], false),
        (302, &[], &[], false),
        (404, &[], &[], false),
        (500, &[], &[], false),
    ];
    let origin = Origin::serve(move |turn| {
        let row: usize = turn.request().target()[1..].parse().unwrap();
        turn.answer(rows[row].0, rows[row].1, "ok");
    });
    let config = "
        policies: { cache: { ttl: 1h } }
        routes:
          /*: { upstream: ORIGIN1 }
          /own/*: { upstream: ORIGIN1, rewrite: /, policies: { cache: { ttl: 1h, key: 'request.cookies.session' } } }
          /shared/*: { upstream: ORIGIN1, rewrite: /, policies: { cache: { ttl: 1h, shared: true } } }
        ";
    let gateway = Gateway::start(&[&origin], config);
    let mut client = gateway.client();
    for (number, (status, lines, asked, kept)) in rows.iter().enumerate() {
        let target = format!("/{number}");
        client.request("GET", &target, asked, b"");
        let second = client.request("GET", &target, asked, b"");
        assert_eq!(second.status, *status);
        assert_eq!(said(&second).starts_with("hit"), *kept, "{lines:?} {asked:?}: {}", said(&second));
    }
    // Without cookies it is kept, and still not given to one who has some.
    is_hit(&client.get("/0"));
    assert_eq!(said(&client.request("GET", "/0", &[("Cookie", "session=1")], b"")), "fwd=uri-miss");
    // A key that tells cookies apart, and the operator's word that answers are the same for all, let them be kept.
    for target in ["/own/0", "/shared/0"] {
        client.request("GET", target, &[("Cookie", "session=1")], b"");
        is_hit(&client.request("GET", target, &[("Cookie", "session=1")], b""));
    }
    assert_eq!(
        said(&client.request("GET", "/own/0", &[("Cookie", "session=2")], b"")),
        "fwd=uri-miss; stored"
    );
    is_hit(&client.request("GET", "/shared/0", &[("Cookie", "session=2")], b""));
    // Whom a key cannot be made for is served without the store.
    let answer = client.get("/own/0");
    assert_eq!((answer.status, said(&answer)), (200, "fwd=bypass"));
    assert!(
        gateway.log(37).iter().any(|line| line["note"].as_str().is_some_and(|note| note.contains("session")))
    );
}

#[test]
fn what_asks_for_more_than_an_answer_goes_to_the_service() {
    let origin = numbered(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/a");
    for (headers, body) in [
        (("If-Match", "\"x\""), ""),
        (("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"), ""),
        (("X", "y"), "b"),
    ] {
        let answer = client.request("GET", "/a", &[headers], body.as_bytes());
        assert_eq!((answer.status, said(&answer)), (200, "fwd=bypass"), "{headers:?}");
    }
    assert_eq!(origin.count(), 4);
    // A part is asked for, and the whole may be given (RFC 9110 section 14.2).
    let answer = client.request("GET", "/a", &[("Range", "bytes=0-0")], b"");
    is_hit(&answer);
    assert_eq!((answer.status, answer.text().as_str()), (200, "0"));
    // No client may make the gate ask, and any may ask for what is there alone.
    is_hit(&client.request(
        "GET",
        "/a",
        &[("Cache-Control", "no-cache, max-age=0"), ("Pragma", "no-cache")],
        b"",
    ));
    is_hit(&client.request("GET", "/a", &[("Cache-Control", "only-if-cached")], b""));
    let answer = client.request("GET", "/b", &[("Cache-Control", "only-if-cached")], b"");
    assert_eq!(answer.problem(504), "not cached");
    assert_eq!(origin.count(), 4);
}

#[test]
fn a_client_that_has_it_gets_304() {
    const DATE: &str = "Wed, 01 Jan 2025 00:00:00 GMT";
    let origin = Origin::serve(|turn| {
        let headers = [
            ("Cache-Control", "max-age=60"),
            ("Content-Type", "text/plain"),
            ("Last-Modified", DATE),
            ("ETag", "W/\"v,1\""),
        ];
        let headers = if turn.request().target() == "/dated" { &headers[..3] } else { &headers[..] };
        turn.answer(200, headers, "whole");
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/tagged");
    client.get("/dated");
    let later = "Thu, 02 Jan 2025 00:00:00 GMT";
    let before = "Tue, 31 Dec 2024 00:00:00 GMT";
    for (target, name, value, known) in [
        ("/tagged", "If-None-Match", "W/\"v,1\"", true),
        ("/tagged", "If-None-Match", "\"v,1\"", true),
        ("/tagged", "If-None-Match", "\"a\" , W/\"b\",\"v,1\"", true),
        ("/tagged", "If-None-Match", "*", true),
        ("/tagged", "If-None-Match", "\"v\"", false),
        ("/tagged", "If-None-Match", "\"1\", \"v,1", false),
        ("/tagged", "If-None-Match", "", false),
        ("/dated", "If-None-Match", "\"v,1\"", false),
        ("/tagged", "If-Modified-Since", DATE, true),
        ("/dated", "If-Modified-Since", later, true),
        ("/dated", "If-Modified-Since", before, false),
        ("/dated", "If-Modified-Since", "yesterday", false),
    ] {
        let answer = client.request("GET", target, &[(name, value)], b"");
        is_hit(&answer);
        assert_eq!(answer.status, if known { 304 } else { 200 }, "{target} {name}: {value}");
        assert_eq!(answer.headers.has("content-type"), !known);
        assert_eq!(answer.header("cache-control"), Some("max-age=60"));
        assert_eq!(answer.headers.has("etag"), target == "/tagged");
    }
    // A tag wins over a date.
    let both = [("If-None-Match", "\"x\""), ("If-Modified-Since", later)];
    assert_eq!(client.request("GET", "/tagged", &both, b"").status, 200);
    assert_eq!(origin.count(), 2);
}

#[test]
fn nothing_half_is_kept() {
    let origin = Origin::serve(|turn| match turn.request().target() {
        "/length" => {
            turn.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf");
            turn.close();
        }
        "/chunked" => {
            turn.chunked(200, &[("Cache-Control", "max-age=60")]);
            turn.chunk("half");
            turn.close();
        }
        "/close" => {
            turn.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\nwhole?");
            turn.close();
        }
        "/trailers" => {
            turn.chunked(200, &[("Cache-Control", "max-age=60"), ("Trailer", "x-sum")]);
            turn.chunk("whole");
            turn.last_chunk(&[("x-sum", "1")]);
        }
        "/left" => {
            turn.chunked(200, &[("Cache-Control", "max-age=60")]);
            turn.chunk("half");
            turn.wait_closed();
        }
        _ => {
            turn.chunked(200, &[("Cache-Control", "max-age=60")]);
            turn.chunk("who");
            turn.chunk("le");
            turn.last_chunk(&[]);
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    for target in ["/length", "/chunked"] {
        for _ in 0..2 {
            let answer = gateway.get(target);
            assert_eq!((answer.text().as_str(), answer.complete), ("half", false), "{target}");
        }
    }
    for target in ["/close", "/trailers"] {
        for _ in 0..2 {
            let answer = gateway.get(target);
            assert!(answer.complete && said(&answer) == "fwd=uri-miss", "{target}: {answer:?}");
        }
    }
    let mut leaving = gateway.client();
    leaving.send("GET /left HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(leaving.read_head().0, 200);
    drop(leaving);
    origin.wait_closed(origin.connections() - 1);
    let mut other = gateway.client();
    other.send("GET /left HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let (_, headers) = other.read_head();
    assert_eq!(headers.one("cache-status"), Some("portcullis; fwd=uri-miss; stored"), "it is asked anew");
    assert_eq!(gateway.get("/whole").text(), "whole");
    let hit = gateway.get("/whole");
    is_hit(&hit);
    assert_eq!((hit.text().as_str(), hit.header("content-length")), ("whole", Some("5")));
}

#[test]
fn what_is_too_large_passes_and_the_store_stays_within_its_bound() {
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        let size = if target.starts_with("/large") { 65 * 1024 } else { 60 * 1024 };
        if target.ends_with("chunked") {
            turn.chunked(200, &[("Cache-Control", "max-age=60")]);
            (0..size / 1024).for_each(|_| turn.chunk([b'x'; 1024]));
            turn.last_chunk(&[]);
        } else {
            turn.answer(200, &[("Cache-Control", "max-age=60")], vec![b'x'; size]);
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for target in ["/large", "/large/chunked"] {
        for _ in 0..2 {
            let answer = client.get(target);
            assert_eq!(answer.body.len(), 65 * 1024);
            assert!(!said(&answer).starts_with("hit"), "{target}");
        }
    }
    for number in 0..40 {
        let target = format!("/{number}{}", if number % 2 == 0 { "" } else { "/chunked" });
        client.get(&target);
        is_hit(&client.get(&target));
        assert!(status(&gateway)["bytes"].as_u64().unwrap() <= 1 << 20);
    }
    assert!(status(&gateway)["entries"].as_u64().unwrap() >= 15);
    assert!(!said(&client.get("/0")).starts_with("hit"), "the first was given up");
}

#[test]
fn what_is_kept_passes_the_other_policies() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]);
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cache: {}, rate_limit: { limit: 2, window: 1h, headers: [draft-7] } }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    let mut client = gateway.client();
    let told = |answer: &Answer| answer.header("ratelimit").unwrap().split(", ").nth(1).unwrap().to_owned();
    assert_eq!(told(&client.get("/a")), "remaining=1");
    let hit = client.get("/a");
    is_hit(&hit);
    assert_eq!(told(&hit), "remaining=0", "its own, not the one that was kept");
    let refused = client.get("/a");
    assert_eq!(refused.problem(429), "rate limited");
    assert!(!refused.headers.has("cache-status"));
    assert_eq!(origin.count(), 1);
}
