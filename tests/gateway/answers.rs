//! What becomes of an answer: the bounds of its head, and the lines that docs/answers.md says are removed.

use crate::support::parts::rows_of;
use crate::support::{Gateway, Origin};

const PAGE: &str = include_str!("../../docs/answers.md");

#[test]
fn the_lines_of_the_page_are_removed_and_others_pass() {
    let rows = rows_of(PAGE, &["Line of the service", "Why"]);
    let names: Vec<&str> = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)).collect();
    assert!(names.len() >= 12, "{names:?}");
    let names: Vec<String> = names.iter().map(|name| name.replace('*', "x")).collect();
    let sent = names.clone();
    let origin = Origin::serve(move |turn| {
        let value = |name: &str| if name == "connection" { "x-hop, x-other" } else { "x" };
        let mut lines: Vec<(&str, &str)> = sent.iter().map(|name| (name.as_str(), value(name))).collect();
        lines.extend([("X-Hop", "1"), ("X-Other", "1"), ("X-Kept", "b"), ("x-kept", "a")]);
        turn.answer(200, &lines, "whole");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies:
          cors: { origins: ['https://a.test'] }
          rate_limit: { limit: 10, window: 1h, headers: [draft-7, legacy] }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    for name in names.iter().map(String::as_str).chain(["x-hop", "x-other"]) {
        assert!(!answer.headers.all(name).contains(&"x"), "{name}: {:?}", answer.headers);
    }
    assert!(!answer.headers.has("x-hop") && !answer.headers.has("x-other"));
    assert_eq!(answer.headers.all("x-kept"), ["b", "a"]);
    for name in ["x-request-id", "date", "ratelimit", "vary"] {
        assert!(answer.headers.has(name), "{name}: {:?}", answer.headers);
    }
}

#[test]
fn the_head_of_an_answer_is_bounded_and_the_bounds_are_keys() {
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        let (count, size) = target[1..].split_once('/').unwrap();
        let value = "x".repeat(size.parse().unwrap());
        // Its length is a line too.
        let lines: Vec<(&str, &str)> = (1..count.parse().unwrap()).map(|_| ("X", value.as_str())).collect();
        turn.answer(200, &lines, "whole");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams:
          default: { url: ORIGIN1, breaker: { consecutive: 100, min_requests: 100 } }
          wide:    { url: ORIGIN1, limits: { head: 1MiB, headers: 1000 } }
          narrow:  { url: ORIGIN1, limits: { head: 500B, headers: 5 }, breaker: { consecutive: 100, min_requests: 100 } }
        routes:
          /default/*: { upstream: default, rewrite: / }
          /wide/*:    { upstream: wide, rewrite: / }
          /narrow/*:  { upstream: narrow, rewrite: / }
        ",
    );
    let mut client = gateway.client();
    for (target, passes) in [
        ("/default/256/1", true),
        ("/default/257/1", false),
        ("/default/2/65000", true),
        ("/default/2/65536", false),
        ("/wide/257/1", true),
        ("/wide/1000/1", true),
        ("/wide/1001/1", false),
        ("/wide/10/100000", true),
        ("/wide/10/120000", false),
        ("/narrow/5/1", true),
        ("/narrow/6/1", false),
        ("/narrow/2/400", true),
        ("/narrow/2/500", false),
    ] {
        let answer = client.get(target);
        if passes {
            assert_eq!((answer.status, answer.text().as_str()), (200, "whole"), "{target}");
        } else {
            assert_eq!(answer.problem(502), "upstream failure", "{target}");
        }
    }
}
