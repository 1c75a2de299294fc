//! Edges of aggregates: what services say that would do harm elsewhere, long answers, and what is read of odd bodies.

use serde_json::json;

use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::{Gateway, Origin, Turn};

/// One route `/` in mode partial: `user` of ORIGIN1, and `it` of ORIGIN2 with those options.
fn two(keys: &str, user: &str, it: &str) -> String {
    format!(
        "
        routes:
          /:
            aggregate: {{ mode: partial, {keys} sources: {{ user: {{ upstream: ORIGIN1, path: /{user} }}, it: {{ upstream: ORIGIN2, {it} }} }} }}
        "
    )
}

/// What a source that reads another's body is asked, or the word that it comes to.
fn reads(body: &str, option: &str) -> Result<String, String> {
    let user = json_origin(body);
    let it = Origin::serve(|turn: &mut Turn| turn.answer(200, &[JSON], "1"));
    let answer = Gateway::start(&[&user, &it], &two("", "", option)).get("/");
    assert_eq!(answer.status, 200, "{option}: {}", answer.text());
    let words = told_words(&answer);
    let word = words.strip_prefix("user=ok it=").unwrap_or_else(|| panic!("{words}"));
    assert!(it.faults().is_empty());
    if word != "ok" {
        assert_eq!(it.count(), 0, "it is not called");
        return Err(word.to_owned());
    }
    let seen = it.only();
    assert_eq!(seen.headers.all("host").len(), 1, "{seen:?}");
    assert!(!seen.has("x-evil"), "{seen:?}");
    Ok(format!("{} {:?}", seen.line, seen.header("x-q")))
}

#[test]
fn a_service_cannot_write_more_than_its_value() {
    let line = |path: &str| Ok(format!("GET {path} HTTP/1.1 None"));
    let dependency = || Err("dependency".to_owned());
    let query = "path: /x, query: { q: '{sources.user.body.v}' }";
    assert_eq!(reads(r#"{"v":"a&b=c#d e\r\n%"}"#, query), line("/x?q=a%26b%3Dc%23d%20e%0D%0A%25"));
    assert_eq!(reads(r#"{"v":"a?b#c"}"#, "path: '/{sources.user.body.v}/y'"), line("/a%3Fb%23c/y"));
    let header = "path: /x, headers: { x-q: '{sources.user.body.v}' }";
    assert_eq!(reads(r#"{"v":"a b"}"#, header), Ok("GET /x HTTP/1.1 Some(\"a b\")".to_owned()));
    for evil in [r"a\r\nx-evil: 1", r"a\nx-evil: 1", r"a\rx", r"a\u0000b"] {
        assert_eq!(reads(&format!(r#"{{"v":"{evil}"}}"#), header), dependency(), "{evil}");
    }
    for path in ["..", ".", "", "%2e%2e", "../../admin", "a/../../b", r"a\\b", r"a\u0000b", "..;x", "a/b"] {
        // It may be carried as one segment, or not at all; it climbs nowhere, and the client has done nothing wrong.
        let seen = reads(&format!(r#"{{"v":"{path}"}}"#), "path: '/x/{sources.user.body.v}/y'");
        let Ok(seen) = seen else {
            assert_eq!(seen, dependency(), "{path}");
            continue;
        };
        let target = seen.split(' ').nth(1).unwrap();
        let segments: Vec<&str> = target.split('/').collect();
        let right = segments.len() == 4 && segments[1] == "x" && segments[3] == "y";
        assert!(right && !["", ".", ".."].contains(&segments[2]), "{path}: {target}");
        assert!(!target.to_lowercase().contains("/%2e"), "{target}");
    }
}

#[test]
fn a_member_is_read_whatever_stands_beside_it() {
    let path = "path: '/{sources.user.body.v}'";
    let deep = format!(r#"{{"v":1,"deep":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    let wide = format!(r#"{{"wide":"{}","v":1}}"#, "a".repeat(500_000));
    for body in [
        deep.as_str(),
        &wide,
        r#"{"big":1e999,"v":1}"#,
        r#"{"odd":"\ud800","v":1}"#,
        r#"{"n":123456789012345678901234567890,"v":1}"#,
        r#"{"\u0076":1}"#,
        "\u{feff} { \"v\" : 1 } ",
    ] {
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reads(body, path), Ok("GET /1 HTTP/1.1 None".to_owned()), "{shown}");
    }
    // What cannot be a value is a dependency, and nothing breaks.
    for body in [
        r#"{"v":"\ud800"}"#,
        r#"{"v":1e999}"#,
        r#"{"v":null}"#,
        r#"{"v":[1]}"#,
        r#"{"v":{}}"#,
        "[1]",
        "1",
        "null",
    ] {
        let asked = reads(body, path);
        assert!(asked.is_ok() || asked == Err("dependency".to_owned()), "{body}: {asked:?}");
    }
    let digits = reads(r#"{"v":12345678901234567890}"#, path);
    assert_eq!(digits, Ok("GET /12345678901234567890 HTTP/1.1 None".to_owned()), "an id keeps its digits");
}

#[test]
fn long_answers_are_told_of_too() {
    let items: Vec<String> =
        (0..20_000).map(|id| format!(r#"{{"id":{id},"t":"{}"}}"#, "x".repeat(20))).collect();
    let user = json_origin(&format!("[{}] ", items.join(", ")));
    let fails = Origin::serve(|turn| turn.answer(500, &[JSON], "{}"));
    let errors = r#""_errors":{"it":{"error":"status","status":500}}"#;
    let ids: Vec<String> = (0..20_000).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    for (keys, expected) in [
        ("", format!(r#"{{"user":[{}] ,"it":null,{errors}}}"#, items.join(", "))),
        (r#"shape: { keep: ["user[].id"] },"#, format!(r#"{{"user":[{}],{errors}}}"#, ids.join(","))),
        (
            r#"shape: { keep: ["user[].id"], wrap: all },"#,
            format!(r#"{{"all":{{"user":[{}]}},{errors}}}"#, ids.join(",")),
        ),
        (r#"shape: { omit: ["user[]"] },"#, format!(r#"{{"user":[],"it":null,{errors}}}"#)),
    ] {
        let gateway = Gateway::start(&[&user, &fails], &two(keys, "", "path: /"));
        for method in ["GET", "HEAD"] {
            let answer = gateway.request(method, "/", &[], b"");
            assert!(answer.complete, "{keys}");
            assert!(method == "HEAD" || answer.text() == expected, "{keys} {:.300}", answer.text());
            let length = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
            assert!(length.is_none_or(|length| length == expected.len()), "{method} {keys}: {length:?}");
            assert_eq!(told_words(&answer), "user=ok it=status", "{keys}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{keys}");
        }
        let old = gateway.raw("GET / HTTP/1.0\r\nHost: gw.test\r\n\r\n");
        assert!(old.text() == expected && !old.headers.has("transfer-encoding"), "{keys}");
    }
}

#[test]
fn what_is_asked_with_a_body_is_kept_under_its_body() {
    let origin = Origin::serve(|turn| {
        let body = turn.body();
        turn.answer(200, &[JSON], body);
    });
    let config = "
        routes:
          /{id}: { aggregate: { sources: { it: { upstream: ORIGIN1, path: /search, body: { id: '{id}' }, cache: 10m } } } }
        ";
    let gateway = Gateway::start(&[&origin], config);
    for id in ["a", "b", "a"] {
        assert_eq!(gateway.get(&format!("/{id}")).json(), json!({ "it": { "id": id } }));
    }
    assert_eq!(origin.count(), 2, "the same body is the same question");
}

#[test]
fn a_merged_list_of_calls_cannot_be_lifted() {
    let (user, it) = (json_origin("[1,2]"), json_origin(r#"{"x":1}"#));
    let options = "path: '/{item}', for_each: 'sources.user.body', merge: true";
    let refused = Gateway::prepare(&[&user, &it]).run(&["check", "-c", "CONFIG"], &two("", "", options));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("a list has no members that `merge` could lift"), "{said}");
}

#[test]
fn where_an_answer_is_made_no_object_its_head_tells_what_failed() {
    let user = json_origin(r#"{"l":[1.10, 2],"n":5}"#);
    let fails = Origin::serve(|turn| turn.answer(500, &[JSON], "{}"));
    for (shape, text) in [
        ("unwrap: user.l", "[1.10,2]"),
        ("unwrap: user.n", "5"),
        ("unwrap: it.x", "null"),
        ("body: '[1]'", "[1]"),
    ] {
        let answer =
            Gateway::start(&[&user, &fails], &two(&format!("shape: {{ {shape} }},"), "", "path: /")).get("/");
        assert_eq!((answer.status, answer.text().replace(' ', "").as_str()), (200, text), "{shape}");
        assert_eq!(told_words(&answer), "user=ok it=status", "{shape}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{shape}");
    }
}
