use std::time::Duration;

use bytes::Bytes;

use super::*;

fn head(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    headers
}

fn entry(status: u16, lines: &[(&str, &str)]) -> Entry {
    Entry {
        status: StatusCode::from_u16(status).unwrap(),
        headers: head(lines),
        body: Bytes::from_static(b"whole"),
        stored: Instant::now(),
        age: Duration::from_secs(10),
        lifetime: Duration::from_secs(60),
        keep: Duration::ZERO,
    }
}

fn text(answer: &Response, name: &str) -> Option<String> {
    answer.headers.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn a_hit_tells_its_age_and_what_is_left() {
    let entry = entry(200, &[("cache-control", "max-age=60"), ("cache-status", "inner; hit")]);
    for (after, age, ttl) in [(0, "10", "50"), (50, "60", "0"), (90, "100", "-40")] {
        let answer = hit(&entry, &Headers::new(), entry.stored + Duration::from_secs(after));
        assert_eq!(text(&answer, "age").as_deref(), Some(age));
        let told: Vec<&[u8]> = answer.headers.all("cache-status").collect();
        assert_eq!(told, [b"inner; hit".as_slice(), format!("portcullis; hit; ttl={ttl}").as_bytes()]);
        assert!(matches!(answer.body, Body::Bytes(body) if body == "whole"));
    }
}

#[test]
fn only_what_succeeded_is_judged_by_conditions() {
    let lines = [("etag", "\"v\""), ("content-type", "x/y"), ("vary", "a")];
    let asked = head(&[("if-none-match", "\"v\"")]);
    let now = Instant::now();
    let answer = kept(&entry(200, &lines), &asked, now);
    assert_eq!(answer.status, 304);
    assert!(answer.body.is_empty() && !answer.headers.has_id(crate::exchange::HeaderId::ContentType));
    assert_eq!(text(&answer, "vary").as_deref(), Some("a"));
    assert_eq!(kept(&entry(404, &lines), &asked, now).status, 404);
    assert_eq!(kept(&entry(301, &lines), &asked, now).status, 301);
}

#[test]
fn lists_of_tags_are_read_whatever_is_in_them() {
    for (list, has) in [
        ("\"a\"", true),
        ("W/\"a\"", true),
        ("\"b\", \"a\"", true),
        (",, \"b\",W/\"a\"", true),
        ("\"b,\\\"a\"", false),
        ("\"b\\\", \"a\"", true),
        ("\"a", false),
        ("a", false),
        ("a, \"a\"", true),
        ("b, c", false),
        ("W/", false),
        ("", false),
        ("\"", false),
    ] {
        assert_eq!(names(list.as_bytes(), b"\"a\""), has, "{list}");
    }
}
