//! What a service gets of a request that two readers could take for two different ones: the one message that the gate
//! has read, in the gate's own framing, or none. The cases are data (`tests/vectors/http1_forward.jsonl`, described in
//! the README there).

use serde_json::Value;

use crate::http1_probe::bytes;
use crate::support::{Gateway, Origin, Seen, Turn};

const CASES: &str = include_str!("../vectors/http1_forward.jsonl");

fn texts<'a>(case: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    case[name].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Asserts that the service got this request and nothing else of the case.
#[track_caller]
fn forwarded(case: &Value, seen: &[Seen]) {
    let id = &case["id"];
    let [seen] = seen else { panic!("{id}: one request at the service: {seen:#?}") };
    assert_eq!(seen.line, case["line"], "{id}");
    for line in texts(case, "has") {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(seen.headers.all(name), [value], "{id}");
    }
    for name in texts(case, "without") {
        assert!(!seen.has(name), "{id}: {name} in {:?}", seen.headers);
    }
    let body: String = seen.body.iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(body, case["body"].as_str().unwrap_or_default(), "{id}");
    assert!(seen.complete && seen.trailers.0.is_empty(), "{id}: {seen:?}");
}

#[test]
fn a_service_gets_one_message_or_none() {
    let origin = Origin::serve(Turn::echo);
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: STEADY1 } }");
    for case in CASES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let id = &case["id"];
        let before = origin.count();
        let mut client = gateway.client();
        let answer = client.send(bytes(&case["send"])).read();
        let seen = origin.requests().split_off(before);
        if case["refused"] == true {
            assert_eq!(answer.problem(400), "malformed request", "{id}");
            assert!(client.closed(), "{id}");
            assert!(case["begun"] == true || seen.is_empty(), "{id}: {seen:#?}");
            assert!(seen.iter().all(|seen| !seen.complete), "{id}: {seen:#?}");
        } else {
            assert_eq!(answer.status, 200, "{id}: {}", answer.text());
            forwarded(&case, &seen);
        }
        // The next request on a kept connection is its own.
        let next = gateway.get("/next");
        assert_eq!((next.status, next.json()["line"].as_str()), (200, Some("GET /next HTTP/1.1")), "{id}");
        let raw = origin.raw_all();
        for text in texts(&case, "lacks") {
            assert!(!raw.contains(text), "{id}: {text:?} reached the service");
        }
        assert!(origin.requests().iter().all(|seen| seen.target() != "/evil"), "{id}");
        assert!(origin.faults().is_empty(), "{id}: {:?}", origin.faults());
    }
}
