//! Nothing waits without an end: the rows of the table "Time" of docs/resilience.md, each with its error and reason.

use crate::support::relay::BlackHole;
use crate::support::{Gate, Gateway, Origin, until};

/// Asserts that the log's only line with this path tells that error, for that reason.
#[track_caller]
pub(crate) fn told(gateway: &Gateway, path: &str, error: &str, reason: &str) {
    let mut found = Vec::new();
    until("the line of the access log", || {
        // The last line may still be half there.
        let lines = gateway.log_lines();
        let read = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        found = read.filter(|line: &serde_json::Value| line["path"] == path).collect();
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    let words = (found[0]["error"].as_str().unwrap_or("none"), found[0]["reason"].as_str().unwrap_or("none"));
    assert_eq!(words, (error, reason), "{}", found[0]);
}

#[test]
fn a_connection_that_does_not_come_is_given_up() {
    let hole = BlackHole::new();
    let config = format!(
        "
        upstreams:
          own: {{ url: http://{0}, timeouts: {{ connect: 30ms }}, retry: {{ attempts: 1 }} }}
          late: {{ url: http://{0}, timeouts: {{ connect: 20s }} }}
        routes:
          /own: {{ upstream: own }}
          /late: {{ upstream: late, timeout: 30ms }}
        ",
        hole.address()
    );
    let gateway = Gateway::start(&[], &config);
    assert_eq!(gateway.request("POST", "/own", &[], b"body").problem(504), "upstream timeout");
    told(&gateway, "/own", "upstream timeout", "connect");
    assert_eq!(gateway.log(1)[0]["attempts"], 1);
    // The whole exchange has less time than the connection.
    assert_eq!(gateway.get("/late").problem(504), "deadline exceeded");
    told(&gateway, "/late", "deadline exceeded", "connect");
}

#[test]
fn an_answer_that_does_not_begin_is_given_up() {
    let origin = Origin::serve(|turn| turn.wait_closed());
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams:
          own: { url: ORIGIN1, timeouts: { response: 30ms } }
          late: { url: ORIGIN1, timeouts: { response: 20s } }
          plain: { url: ORIGIN1 }
        routes:
          /own: { upstream: own }
          /longer: { upstream: own, timeout: 20s }
          /late: { upstream: late, timeout: 30ms }
          /plain: { upstream: plain, timeout: 30ms }
        ",
    );
    // A `response` that is written is not lifted by a longer timeout of the route.
    for (target, error) in [
        ("/own", "upstream timeout"),
        ("/longer", "upstream timeout"),
        ("/late", "deadline exceeded"),
        ("/plain", "deadline exceeded"),
    ] {
        assert_eq!(gateway.get(target).problem(504), error, "{target}");
        told(&gateway, target, error, "response");
    }
    // Nothing was tried again: that is for `retry_on` to say.
    assert_eq!(origin.count(), 4);
    (0..4).for_each(|connection| origin.wait_closed(connection));
}

#[test]
fn a_service_that_takes_no_more_is_given_up() {
    let origin = Origin::serve(|turn| {
        turn.read_raw(1);
        turn.wait(&Gate::new());
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { deaf: { url: ORIGIN1, timeouts: { idle: 100ms, response: 20s } } }
        routes: { /up: { upstream: deaf, timeout: 20s } }
        ",
    );
    let mut client = gateway.client();
    let mut half = client.stream().try_clone().unwrap();
    let upload = std::thread::spawn(move || {
        use std::io::Write;
        let _ = half.write_all(b"POST /up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 9000000\r\n\r\n");
        let _ = half.write_all(&vec![b'x'; 9_000_000]);
    });
    assert_eq!(client.read().problem(504), "upstream timeout");
    drop(client);
    told(&gateway, "/up", "upstream timeout", "upload");
    upload.join().unwrap();
}

#[test]
fn a_gap_in_an_answer_breaks_it_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.chunked(200, &[]);
        turn.chunk("begin");
        turn.wait(&held);
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { drips: { url: ORIGIN1, timeouts: { idle: 50ms } } }
        routes: { /x: { upstream: drips } }
        ",
    );
    let answer = gateway.get("/x");
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "begin", false));
    told(&gateway, "/x", "upstream timeout", "idle");
    gate.open();
}

#[test]
fn an_exchange_has_one_end_whatever_its_attempts_do() {
    // Each attempt is quick; together they would be endless.
    let origin = Origin::serve(|turn| turn.answer(503, &[], "not now"));
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams:
          sick:
            url: ORIGIN1
            retry: { attempts: 5, retry_on: [503], budget: 100%, backoff: 60ms..60ms }
            breaker: { consecutive: 1000, ratio: 100%, min_requests: 1000 }
        routes: { /x: { upstream: sick, timeout: 150ms } }
        ",
    );
    let answer = gateway.get("/x");
    assert_eq!((answer.status, answer.text().as_str()), (503, "not now"), "what it last said");
    let attempts = origin.count();
    assert!((1..=3).contains(&attempts), "{attempts} attempts at least 60 ms apart within 150 ms");
    assert_eq!(gateway.log(1)[0]["attempts"], attempts);
}

#[test]
fn a_full_service_and_a_full_queue_are_told() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams:
          short: { url: ORIGIN1, concurrency: { max: 1, queue: 1, queue_timeout: 30ms } }
          full: { url: ORIGIN1, concurrency: { max: 1, queue: 0, queue_timeout: 20s } }
          long: { url: ORIGIN1, concurrency: { max: 1, queue: 1, queue_timeout: 20s } }
        routes:
          /short: { upstream: short }
          /full: { upstream: full }
          /long: { upstream: long, timeout: 20s }
          /hasty: { upstream: long, timeout: 50ms }
        ",
    );
    let mut inside = Vec::new();
    for (number, target) in ["/short", "/full", "/long"].iter().enumerate() {
        let mut client = gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        origin.wait_count(number + 1);
        inside.push(client);
    }
    for target in ["/short", "/full"] {
        let answer = gateway.get(target);
        assert_eq!(answer.problem(503), "overloaded", "{target}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        told(&gateway, target, "overloaded", "concurrency");
    }
    // The route's own time ends the waiting too.
    assert_eq!(gateway.get("/hasty").problem(504), "deadline exceeded");
    told(&gateway, "/hasty", "deadline exceeded", "concurrency");
    gate.open();
    for client in &mut inside {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(origin.count(), 3, "who was refused never came to the service");
}
