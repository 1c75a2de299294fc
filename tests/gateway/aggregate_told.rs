//! What a source is told, and what of it reaches the client: methods and bodies, headers both ways, cookies,
//! `cache-control`, merged members and the names of errors.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::parts::{JSON, json_origin, page_table, told_words};
use crate::support::token::{self, SECRET};
use crate::support::{Client, Gateway, Origin, Seen, Turn};

/// One route `/home/{id}` whose aggregate has those keys.
fn aggregate(keys: &str) -> String {
    format!("routes: {{ '/home/{{id}}': {{ aggregate: {{ {keys} }} }} }}")
}

/// What one source with those options, of ORIGIN1, was told.
fn heard(options: &str, target: &str, headers: &[(&str, &str)]) -> Seen {
    let origin = json_origin(r#"{"n":12,"l":[1.5,"x"],"s":"a\"b","t":true,"z":null}"#);
    let gateway = Gateway::start(
        &[&origin],
        &aggregate(&format!(
            "sources: {{ user: {{ upstream: ORIGIN1, path: /user }}, it: {{ upstream: ORIGIN1, {options} }} }}"
        )),
    );
    let answer = gateway.request("GET", target, headers, b"");
    assert_eq!(answer.status, 200, "{options}: {}", answer.text());
    let requests = origin.requests();
    let seen = requests.iter().find(|seen| !seen.target().starts_with("/user"));
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
    seen.unwrap_or_else(|| panic!("{options}: {requests:?}")).clone()
}

#[test]
fn a_source_has_a_method_and_a_body() {
    let seen = heard(
        r#"path: '/x/{id}', method: POST, body: { id: "{id}", text: "n={sources.user.body.n}", n: "{sources.user.body.n}", l: ["{sources.user.body.l}", 1.10, null, "{{"], t: "{sources.user.body.t}", s: "{sources.user.body.s}" }"#,
        "/home/7",
        &[],
    );
    assert_eq!(seen.line, "POST /x/7 HTTP/1.1");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&seen.text()).unwrap(),
        json!({ "id": "7", "text": "n=12", "n": 12, "l": [[1.5, "x"], 1.1, null, "{"], "t": true, "s": "a\"b" })
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    let seen = heard(r#"path: /x, method: PUT, body: 'Hello {id}, {sources.user.body.s}'"#, "/home/7", &[]);
    let text = "Hello {id}, {sources.user.body.s}";
    assert_eq!((seen.method(), seen.text().as_str()), ("PUT", text), "text is sent as it stands");
    assert!(seen.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{seen:?}");
    let seen = heard(
        r#"path: /x, method: PATCH, body: [], headers: { content-type: application/merge-patch+json }"#,
        "/home/7",
        &[],
    );
    assert_eq!((seen.method(), seen.text().as_str()), ("PATCH", "[]"));
    assert_eq!(seen.header("content-type"), Some("application/merge-patch+json"));
    let seen = heard(
        r#"path: /x, method: POST, body: [], forward_headers: [content-type]"#,
        "/home/7",
        &[("Content-Type", "text/csv")],
    );
    assert_eq!(seen.headers.all("content-type"), ["application/json"], "what is true of its own content");
    for method in ["POST", "DELETE", "GET"] {
        let seen = heard(&format!("path: /x, method: {method}"), "/home/7", &[]);
        assert_eq!((seen.method(), seen.body.len()), (method, 0));
        assert!(!seen.has("content-type"), "{method}");
    }
}

#[test]
fn a_source_is_told_what_it_needs_and_nothing_else_of_the_client() {
    let sent = [
        ("Accept", "text/html"),
        ("Accept-Encoding", "zstd, br;q=0.9, x-own"),
        ("Accept-Language", "de"),
        ("Cookie", "a=b"),
        ("Authorization", "Bearer x"),
        ("If-None-Match", "\"x\""),
        ("Range", "bytes=0-1"),
        ("User-Agent", "me"),
        ("X-Own", "1"),
        ("X-Forwarded-For", "9.9.9.9"),
    ];
    // s-069
    let seen = heard("path: /x", "/home/7?secret=1", &sent);
    assert_eq!(seen.line, "GET /x HTTP/1.1");
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen.has("x-request-id") && seen.has("x-forwarded-proto"), "{seen:?}");
    for absent in
        ["accept-language", "cookie", "authorization", "if-none-match", "range", "x-own", "transfer-encoding"]
    {
        assert!(!seen.has(absent), "{absent}: {seen:?}");
    }
    let seen = heard(
        "path: /x, forward_headers: [accept-language, accept, x-own, x-none, cookie]",
        "/home/7",
        &sent,
    );
    for (name, value) in [
        ("accept-language", "de"),
        ("accept", "text/html"),
        ("accept-encoding", "identity"),
        ("x-own", "1"),
        ("cookie", "a=b"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{seen:?}");
    }
    assert!(!seen.has("x-none") && !seen.has("authorization"));
    let seen = heard(
        "path: /x, forward_headers: [accept, x-own], headers: { accept: text/csv, accept-encoding: gzip, x-own: '{id}-{sources.user.body.n}' }",
        "/home/7",
        &sent,
    );
    assert_eq!(seen.header("accept"), Some("text/csv"), "what is set wins");
    assert_eq!((seen.header("accept-encoding"), seen.header("x-own")), (Some("gzip"), Some("7-12")));
}

#[test]
fn a_query_is_made_of_templates() {
    let options = "path: '/x?first=1', query: { q: '{request.query.q}', id: '{id}', fixed: 'a&b=c' }";
    let seen = heard(options, "/home/7?q=a%26b%3Dc%20%C3%A9%2B%23", &[]);
    let (path, query) = seen.target().split_once('?').unwrap();
    let parts: Vec<&str> = query.split('&').collect();
    assert_eq!(path, "/x");
    assert_eq!(parts, ["first=1", "q=a%26b%3Dc%20%C3%A9%2B%23", "id=7", "fixed=a%26b%3Dc"]);
}

#[test]
fn a_source_may_know_how_long_it_has() {
    let of = |options: &str, most: u64| {
        let seen = heard(&format!("path: /x, deadline_header: x-deadline-ms{options}"), "/home/7", &[]);
        let left: u64 = seen.header("x-deadline-ms").unwrap().parse().unwrap();
        assert!(left <= most, "{left} of {most}");
        assert!(left > 0, "{options}");
    };
    of(", timeout: 7s", 7000);
    of("", 30_000);
    of(", timeout: 90s", 30_000);
    let seen = heard(
        "path: /x, deadline_header: x-left, forward_headers: [x-left]",
        "/home/7",
        &[("X-Left", "999999")],
    );
    assert!(seen.header("x-left").unwrap().parse::<u64>().unwrap() <= 30_000, "the gate's own word");
}

#[test]
fn a_source_that_is_tried_again_knows_what_is_left_by_then() {
    let origin = Origin::serve(|turn| match turn.number() {
        0 => turn.answer(503, &[], ""),
        _ => turn.answer(200, &[JSON], "{}"),
    });
    let gateway = Gateway::start(
        &[&origin],
        "upstreams: { it: { url: ORIGIN1, retry: { retry_on: [503], backoff: 50ms..50ms } } }
routes: { /home: { aggregate: { sources: { it: { upstream: it, path: /x, deadline_header: x-left } } } } }",
    );
    assert_eq!(gateway.request("GET", "/home", &[], b"").status, 200);
    let requests = origin.requests();
    let left = requests.iter().map(|seen| seen.header("x-left").unwrap().parse::<u64>().unwrap());
    let [first, second] = left.collect::<Vec<_>>()[..] else { panic!("{requests:?}") };
    assert!(second + 50 <= first, "{second} ms are left after a pause of 50 ms, {first} ms before it");
}

/// An origin that answers `{}` with those lines.
fn with_lines(lines: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::serve(move |turn| turn.answer(200, &[&[JSON], lines].concat(), "{}"))
}

#[test]
fn only_lines_that_are_named_reach_the_client() {
    // s-079
    let lines = |turn: &mut Turn, name: &str| {
        let cookie = format!("{name}=1; Domain=localhost; Path=/; HttpOnly");
        let more = format!("{name}2=2; Secure");
        let headers = [
            JSON,
            ("Set-Cookie", cookie.as_str()),
            ("Set-Cookie", more.as_str()),
            ("X-Total", name),
            ("X-Hidden", "1"),
            ("ETag", "\"e\""),
            ("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ("Server", "secret"),
            ("Vary", "Accept"),
        ];
        turn.answer(200, &headers, "{}");
    };
    let origins = [
        Origin::serve(move |turn| lines(turn, "a")),
        Origin::serve(move |turn| lines(turn, "b")),
        Origin::serve(move |turn| lines(turn, "c")),
    ];
    let [a, b, c] = origins.each_ref().map(|origin| origin.address().port());
    let gateway = Gateway::start(
        &[],
        &format!(
            "
            routes:
              /:
                aggregate:
                  sources:
                    a: {{ upstream: 'http://localhost:{a}', path: / }}
                    b: {{ upstream: 'http://localhost:{b}', path: /, expose: [X-Total, set-cookie] }}
                    c: {{ upstream: 'http://localhost:{c}', path: /, expose: [set-cookie, x-total, x-none] }}
            "
        ),
    );
    let answer = gateway.request("GET", "/", &[("Host", "public.test")], b"");
    assert_eq!(answer.headers.all("x-total"), ["b"], "the first that is written and names it");
    let cookies = answer.headers.all("set-cookie");
    assert_eq!(cookies.len(), 4, "{cookies:?}");
    for (cookie, name) in cookies.iter().zip(["b=1", "b2=2", "c=1", "c2=2"]) {
        assert!(cookie.starts_with(name), "{cookies:?}");
        assert!(!cookie.contains("localhost"), "{cookie}");
    }
    assert!(
        cookies[0].to_lowercase().contains("domain=public.test") && cookies[0].contains("HttpOnly"),
        "{cookies:?}"
    );
    for hidden in ["x-hidden", "etag", "last-modified", "x-none"] {
        assert!(!answer.headers.has(hidden), "{hidden}");
    }
    assert!(!format!("{:?}", answer.headers).contains("secret"));
}

type Lines = &'static [(&'static str, &'static str)];

const NOTHING: Lines = &[];

/// What two sources say, and what the answer says then.
const SAID: &[(Lines, Lines, &str)] = &[
    (NOTHING, NOTHING, ""),
    (&[("Cache-Control", "no-store")], NOTHING, "no-store"),
    (&[("Cache-Control", "max-age=60")], &[("Cache-Control", "no-store, max-age=5")], "no-store"),
    (&[("Cache-Control", "max-age=60")], NOTHING, "no-cache"),
    (&[("Cache-Control", "no-cache")], NOTHING, "no-cache"),
    (&[("Cache-Control", "max-age=60")], &[("Cache-Control", "no-cache")], "no-cache"),
    (&[("Cache-Control", "max-age=60, no-cache")], &[("Cache-Control", "max-age=60")], "no-cache"),
    (&[("Cache-Control", "max-age=60")], &[("Cache-Control", "max-age=30")], "max-age=30"),
    (&[("Cache-Control", "max-age=60"), ("Age", "50")], &[("Cache-Control", "max-age=30")], "max-age=10"),
    (&[("Cache-Control", "max-age=60"), ("Age", "70")], &[("Cache-Control", "max-age=30")], "max-age=0"),
    (&[("Cache-Control", "max-age=0")], &[("Cache-Control", "max-age=30")], "max-age=0"),
    (&[("Cache-Control", "public, max-age=60")], &[("Cache-Control", "MAX-AGE=\"60\"")], "max-age=60"),
    (&[("Cache-Control", "private, max-age=60")], &[("Cache-Control", "max-age=90")], "private, max-age=60"),
    (
        &[("Cache-Control", "max-age=60"), ("Cache-Control", "private")],
        &[("Cache-Control", "max-age=90")],
        "private, max-age=60",
    ),
    (&[("Cache-Control", "private")], NOTHING, "private"),
    (&[("Cache-Control", "private")], &[("Cache-Control", "max-age=90")], "private, no-cache"),
    (
        &[("Cache-Control", "must-revalidate, max-age=9")],
        &[("Cache-Control", "max-age=9")],
        "must-revalidate, max-age=9",
    ),
    (&[("Cache-Control", "s-maxage=10")], &[("Cache-Control", "max-age=60")], "max-age=10"),
    (&[("Cache-Control", "s-maxage=10, max-age=60")], &[("Cache-Control", "max-age=60")], "max-age=60"),
    (&[("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")], NOTHING, ""),
    (&[("Expires", "0")], &[("Cache-Control", "max-age=60")], "no-cache"),
];

fn directives(line: &str) -> BTreeSet<String> {
    line.split(',').map(|one| one.trim().to_lowercase()).filter(|one| !one.is_empty()).collect()
}

#[test]
fn cache_control_is_the_strictest_of_all() {
    assert_eq!(page_table("The sources say").len(), 6, "the rows that are tried here");
    let origin = |which: usize| {
        Origin::serve(move |turn| {
            let at: usize = turn.request().target()[1..].parse().unwrap();
            let lines = if which == 0 { SAID[at].0 } else { SAID[at].1 };
            turn.answer(200, &[&[JSON], lines].concat(), "{}");
        })
    };
    let origins = [origin(0), origin(1)];
    let config = "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        routes:
          /open/{at}: { aggregate: SOURCES }
          /known/{at}: { policies: { auth: user }, aggregate: SOURCES }
          /other/{at}: { aggregate: { mode: partial, sources: { b: { upstream: ORIGIN2, path: '/{at}' }, a: { upstream: ORIGIN1, path: '/{at}' } } } }
        "
    .replace(
        "SOURCES",
        "{ sources: { a: { upstream: ORIGIN1, path: '/{at}' }, off: { upstream: ORIGIN1, path: /, when: 'false' }, b: { upstream: ORIGIN2, path: '/{at}' } } }",
    );
    let gateway = Gateway::prepare(&origins.each_ref()).env("SECRET", SECRET).start(&config);
    let credentials = format!("Bearer {}", token::for_subject("42"));
    for (at, (first, second, expected)) in SAID.iter().enumerate() {
        let what = format!("{first:?} {second:?}");
        let expected = directives(expected);
        for route in ["open", "other"] {
            let answer = gateway.get(&format!("/{route}/{at}"));
            let said = answer.header("cache-control");
            assert_eq!(said.map(directives).unwrap_or_default(), expected, "{what}");
            assert_eq!(said.is_some(), !expected.is_empty(), "{what}");
            assert!(!answer.headers.has("expires") && !answer.headers.has("age"), "{what}");
        }
        let answer = gateway.request("GET", &format!("/known/{at}"), &[("Authorization", &credentials)], b"");
        let mut known = expected.clone();
        if !known.is_empty() && !known.contains("no-store") {
            known.insert("private".to_owned());
        }
        assert_eq!(directives(answer.header("cache-control").unwrap_or_default()), known, "{what}");
    }
}

/// Two sources `a` and `b` with those options, which answer with those texts.
fn merged(keys: &str, a: (&str, &str), b: (&str, &str)) -> (String, String, u64) {
    let origins = [a.1, b.1].map(|body| {
        let body = body.to_owned();
        let status = if body == "failed" { 500 } else { 200 };
        Origin::serve(move |turn| turn.answer(status, &[JSON], &body))
    });
    let config = format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        routes:
          /: {{ aggregate: {{ mode: partial, {keys} sources: {{ a: {{ upstream: ORIGIN1, path: / {} }}, b: {{ upstream: ORIGIN2, path: / {} }} }} }} }}
        ",
        a.0, b.0
    );
    let gateway = Gateway::start(&origins.each_ref(), &config);
    let answer = gateway.get("/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let admin = gateway.admin();
    let metrics =
        Client::connect(admin).request("GET", "/metrics", &[("Host", &admin.to_string())], b"").text();
    let clashes = metrics
        .lines()
        .filter(|line| line.starts_with("portcullis_aggregate_clashes_total"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    (answer.text(), told_words(&answer), clashes)
}

const MERGE: &str = ", merge: true";

#[test]
fn members_are_lifted_to_their_place_and_the_first_written_wins() {
    let ok = "a=ok b=ok";
    for (a, b, text, clashes) in [
        ((MERGE, r#"{"x":1,"y":1.10}"#), (MERGE, r#"{"z":[3]}"#), r#"{"x":1,"y":1.10,"z":[3]}"#, 0),
        ((MERGE, r#"{"x":1}"#), (MERGE, r#"{"x":2,"y":3}"#), r#"{"x":1,"y":3}"#, 1),
        (("", r#"{"x":1}"#), (MERGE, r#"{"x":2,"a":3}"#), r#"{"a":{"x":1},"x":2}"#, 1),
        ((MERGE, r#"{"b":1}"#), ("", r#"{"x":2}"#), r#"{"b":1}"#, 1),
        ((MERGE, r#"{"a":1}"#), (MERGE, r#"{"b":2}"#), r#"{"a":1,"b":2}"#, 0),
        // Names are equal however they are written.
        ((MERGE, r#"{"\u0078":1}"#), (MERGE, r#"{"x":2,"\u0061":3}"#), r#"{"\u0078":1,"\u0061":3}"#, 1),
        ((MERGE, "null"), (MERGE, r#"{"x":2}"#), r#"{"x":2}"#, 0),
        ((MERGE, "{}"), (MERGE, "{ }"), "{}", 0),
        ((MERGE, ""), ("", "1"), r#"{"b":1}"#, 0),
        // Nobody forges what the gate says.
        ((MERGE, r#"{"_errors":{"b":1},"x":1}"#), ("", "1"), r#"{"x":1,"b":1}"#, 1),
        ((MERGE, r#"{"\u005ferrors":{"b":1},"x":1}"#), ("", "1"), r#"{"x":1,"b":1}"#, 1),
    ] {
        let (body, words, counted) = merged("", a, b);
        assert_eq!((body.as_str(), words.as_str(), counted), (text, ok, clashes), "{a:?} {b:?}");
    }
}

#[test]
fn what_cannot_be_lifted_fails_and_a_fallback_is_lifted() {
    for no_object in ["[1]", "1", "\"x\"", "true"] {
        let (body, words, _) = merged("", (MERGE, no_object), ("", "1"));
        assert_eq!(body, r#"{"b":1,"_errors":{"a":{"error":"invalid_json","status":502}}}"#, "{no_object}");
        assert_eq!(words, "a=invalid_json b=ok");
    }
    let (body, words, _) = merged("", (", merge: true, fallback: { x: 1, y: [] }", "failed"), ("", "1"));
    assert_eq!(body, r#"{"x":1,"y":[],"b":1,"_errors":{"a":{"error":"status","status":500}}}"#);
    assert_eq!(words, "a=status b=ok");
    // A forged one beside a true one.
    let (body, ..) = merged("", (MERGE, r#"{"x":1,"_errors":{}}"#), ("", "failed"));
    assert_eq!(body, r#"{"x":1,"b":null,"_errors":{"b":{"error":"status","status":500}}}"#);
}

#[test]
fn errors_may_have_another_name_or_none() {
    let errors = r#"{"b":{"error":"status","status":500}}"#;
    let lifted = r#"{"x":1,"problems":2,"_errors":3}"#;
    for (keys, expected) in [
        ("errors_key: problems,", format!(r#"{{"x":1,"_errors":3,"b":null,"problems":{errors}}}"#)),
        ("errors_key: none,", r#"{"x":1,"problems":2,"_errors":3,"b":null}"#.to_owned()),
        ("errors_key: _errors,", format!(r#"{{"x":1,"problems":2,"b":null,"_errors":{errors}}}"#)),
    ] {
        let (body, words, _) = merged(keys, (MERGE, lifted), ("", "failed"));
        assert_eq!((body.as_str(), words.as_str()), (expected.as_str(), "a=ok b=status"), "{keys}");
    }
}

#[test]
fn a_partial_answer_is_never_to_be_kept() {
    let user = with_lines(&[("Cache-Control", "public, max-age=600")]);
    let orders = Origin::serve(|turn| turn.answer(500, &[JSON, ("Cache-Control", "max-age=600")], "{}"));
    for key in ["_errors", "problems", "none"] {
        let config = aggregate(&format!(
            "mode: partial, errors_key: {key}, sources: {{ user: {{ upstream: ORIGIN1, path: / }}, orders: {{ upstream: ORIGIN2, path: / }} }}"
        ));
        let answer = Gateway::start(&[&user, &orders], &config).get("/home/7");
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{key}");
        assert_eq!(told_words(&answer), "user=ok orders=status", "{key}");
    }
}

#[test]
fn a_shape_that_comes_to_nothing_tells_of_the_sources_too() {
    let (user, orders) = (json_origin(r#"{"id":1}"#), with_lines(&[]));
    let config = aggregate(
        "mode: partial, sources: { user: { upstream: ORIGIN1, path: / }, orders: { upstream: ORIGIN2, path: / } }, shape: { body: 'response.body.user.none' }",
    );
    let answer = Gateway::start(&[&user, &orders], &config).get("/home/7");
    assert_eq!(answer.problem(502), "upstream failure");
    assert_eq!(told_words(&answer), "user=ok orders=ok");
}

#[test]
fn without_a_member_for_errors_a_shape_keeps_every_name() {
    let user = json_origin(r#"{"":1,"_errors":2}"#);
    let config = aggregate(
        "mode: partial, errors_key: none, sources: { user: { upstream: ORIGIN1, path: / } }, shape: { unwrap: user }",
    );
    assert_eq!(Gateway::start(&[&user], &config).get("/home/7").text(), r#"{"":1,"_errors":2}"#);
}
