//! How large the head of an answer may be: `limits` of an upstream.

use crate::support::{Gateway, Origin};

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
