//! What is tried again, and what never is: "Retries" of docs/resilience.md. Ids in comments are cases (s) of the
//! catalogue of behaviour.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::relay::BlackHole;
use crate::support::{Client, Closed, Gateway, Origin, Turn};

/// Answers of any kind are tried again, at once, within a budget that is never met; the breaker stays out of the way.
const EAGER: &str = "retry: { attempts: 3, retry_on: [connect, reset, timeout, 500, 503, 504], budget: 100%, backoff: 1ms..1ms }, breaker: { consecutive: 1000, ratio: 100%, min_requests: 1000 }";

/// A gateway before these services as one upstream with those words.
fn gateway(origins: &[&Origin], words: &str) -> Gateway {
    let urls: Vec<String> = (1..=origins.len()).map(|number| format!("ORIGIN{number}")).collect();
    Gateway::start(origins, &config(&urls, words))
}

fn config(urls: &[String], words: &str) -> String {
    format!(
        "
        upstreams: {{ u: {{ endpoints: [{}], {words} }} }}
        routes: {{ /api/*: {{ upstream: u, rewrite: /, timeout: 10s }} }}
        ",
        urls.join(", ")
    )
}

/// Fails in one way for so many requests of a target, then echoes.
fn failing(times: usize, fail: impl Fn(&mut Turn) + Send + Sync + 'static) -> Origin {
    Origin::serve(move |turn| if turn.number() < times { fail(turn) } else { turn.echo() })
}

fn attempts(gateway: &Gateway) -> u64 {
    gateway.log(1)[0]["attempts"].as_u64().unwrap()
}

#[test]
fn each_word_of_retry_on_is_heeded_and_no_other() {
    type Fail = fn(&mut Turn);
    let rows: [(&str, Fail, u16); 8] = [
        ("reset", |turn| turn.reset(), 502),
        ("reset", |turn| turn.close(), 502),
        ("reset", |turn| turn.raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), 502),
        ("timeout", Turn::wait_closed, 504),
        ("503", |turn| turn.answer(503, &[], "no"), 503),
        ("500", |turn| turn.answer(500, &[], "no"), 500),
        ("599", |turn| turn.answer(599, &[], "no"), 599),
        (
            "503",
            |turn| {
                turn.chunked(503, &[]);
                turn.chunk("no");
                turn.last_chunk(&[]);
            },
            503,
        ),
    ];
    for (word, fail, status) in rows {
        let timeouts = "timeouts: { response: 100ms }";
        let retry = |on: &str| format!("retry: {{ retry_on: [{on}], backoff: 1ms..1ms }}, {timeouts}");
        let origin = failing(1, fail);
        let with = gateway(
            &[&origin],
            &retry(word).replace("100ms", if word == "timeout" { "100ms" } else { "10s" }),
        );
        let answer = with.get("/api/x");
        assert_eq!(answer.status, 200, "{word}: {}", answer.text());
        assert_eq!((origin.count(), attempts(&with)), (2, 2), "{word}");
        // With all words but this one.
        let others: Vec<&str> = ["connect", "reset", "timeout", "500", "502", "503", "504", "599"]
            .into_iter()
            .filter(|other| *other != word)
            .collect();
        let origin = failing(1, fail);
        let without = gateway(
            &[&origin],
            &retry(&others.join(", ")).replace("100ms", if word == "timeout" { "100ms" } else { "10s" }),
        );
        assert_eq!(without.get("/api/x").status, status, "{word}");
        assert_eq!((origin.count(), attempts(&without)), (1, 1), "{word}");
    }
}

#[test]
fn where_no_connection_comes_about_another_endpoint_is_taken_by_default() {
    let origin = Origin::echo();
    let (closed, hole) = (Closed::new(), BlackHole::new());
    for dead in [closed.url(), format!("http://{}", hole.address())] {
        let words = "balance: round_robin, timeouts: { connect: 2s }, breaker: { consecutive: 1000, ratio: 100%, min_requests: 1000 }";
        let gateway = Gateway::start(&[&origin], &config(&[dead, "ORIGIN1".to_owned()], words));
        let before = origin.count();
        let mut client = gateway.client();
        // Nothing was sent, so it may be anything.
        for (number, method) in
            ["GET", "POST", "PATCH", "PUT", "DELETE", "POST", "POST", "GET"].iter().enumerate()
        {
            let answer = client.request(method, "/api/x", &[], format!("body {number}").as_bytes());
            assert_eq!(answer.status, 200, "{method}");
            assert_eq!(answer.json()["body"], format!("body {number}"));
        }
        assert_eq!(origin.count() - before, 8);
        let log = gateway.log(8);
        // Going on to the next endpoint is part of connecting.
        assert!(log.iter().all(|line| line["attempts"] == 1));
        assert!(log.iter().all(|line| line["endpoint"] == origin.address().to_string()));
    }
}

#[test]
fn only_what_is_the_same_done_twice_is_repeated() {
    // s-080
    for status in [503, 504] {
        let origin = Origin::serve(move |turn| turn.answer(status, &[], "no"));
        let gateway = gateway(&[&origin], EAGER);
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            let before = origin.count();
            assert_eq!(gateway.request(method, "/api/doc", &[], b"").status, status);
            assert_eq!(origin.count() - before, 3, "{method} may be repeated");
        }
        for method in ["POST", "PATCH", "PURGE"] {
            let before = origin.count();
            assert_eq!(gateway.request(method, "/api/pay", &[], b"{}").status, status);
            assert_eq!(origin.count() - before, 1, "{method} is sent once");
        }
    }
    // As little where the connection breaks after it was sent.
    let origin = Origin::serve(|turn| {
        turn.read_body();
        turn.close();
    });
    let gateway = gateway(&[&origin], EAGER);
    assert_eq!(gateway.request("POST", "/api/pay", &[], b"{}").problem(502), "upstream failure");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_word_of_the_client_may_admit_what_is_unsafe() {
    let origin =
        Origin::serve(|turn| if turn.number() % 2 == 0 { turn.answer(503, &[], "no") } else { turn.echo() });
    let words =
        "retry: { retry_on: [503], backoff: 1ms..1ms, unsafe: '\"idempotency-key\" in request.headers' }";
    let gateway = gateway(&[&origin], words);
    let answer = gateway.request("POST", "/api/pay", &[("Idempotency-Key", "k1")], b"{\"sum\":1}");
    assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("{\"sum\":1}")));
    let keys: Vec<_> =
        origin.requests().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("k1".to_owned()), Some("k1".to_owned())]);
    assert_eq!(gateway.request("POST", "/api/pay", &[], b"{}").status, 503);
    assert_eq!(origin.count(), 3);
}

/// A body in which every place is told from every other.
fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from((at * 7 + at / 251) % 26).unwrap()).collect()
}

#[test]
fn a_body_is_replayed_byte_for_byte_as_long_as_it_is_kept() {
    // s-081; 16 KiB are kept.
    type Fail = fn(&mut Turn);
    let ways: [(&str, Fail); 3] = [
        ("closed", |turn| {
            turn.read_body();
            turn.close();
        }),
        ("refused with a length", |turn| turn.answer(503, &[], "no")),
        ("refused in chunks", |turn| {
            turn.read_body();
            turn.chunked(503, &[]);
            turn.chunk("n");
            turn.last_chunk(&[]);
        }),
    ];
    for (way, fail) in ways {
        for length in [1, 11, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000] {
            for chunked in [false, true] {
                let origin = failing(1, fail);
                let gateway = gateway(&[&origin], EAGER);
                let sent = body(length);
                let mut client = gateway.client();
                let answer = if chunked {
                    in_chunks(&mut client, &sent)
                } else {
                    client.request("PUT", "/api/doc", &[], &sent)
                };
                let kept = length <= 16 * 1024;
                assert_eq!(
                    answer.status == 200,
                    kept,
                    "{way}, {length} bytes, chunked: {chunked}: {}",
                    answer.status
                );
                assert_eq!(origin.count(), if kept { 2 } else { 1 }, "{way}, {length}");
                for seen in origin.requests() {
                    assert!(seen.complete && seen.body == sent, "{way}, {length}: got {}", seen.body.len());
                }
                assert!(origin.faults().is_empty());
            }
        }
    }
}

fn in_chunks(client: &mut Client, body: &[u8]) -> crate::support::Answer {
    let mut bytes = b"PUT /api/doc HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    client.send(bytes).read()
}

#[test]
fn a_body_still_under_way_is_not_sent_in_part() {
    // The service answers 503 before it has the whole body: what is repeated has all of it, or nothing is repeated.
    let origin = failing(1, |turn| {
        turn.read_raw(4);
        turn.answer_early(503, &[("Connection", "close")], "no");
        turn.close();
    });
    let gateway = gateway(&[&origin], EAGER);
    let mut client = gateway.client();
    client.send("PUT /api/doc HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 11\r\n\r\nhello");
    origin.wait_count(1);
    // The rest comes late; the gateway may have answered by then.
    let _ = client.try_send(" world");
    let answer = client.read();
    assert!([200, 503].contains(&answer.status), "{}", answer.status);
    for seen in origin.requests().iter().skip(1) {
        assert_eq!(seen.text(), "hello world");
    }
}

#[test]
fn nothing_is_repeated_once_the_client_has_some_of_an_answer() {
    type Cut = fn(&mut Turn);
    let cuts: [Cut; 3] = [
        |turn| {
            turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            turn.reset();
        },
        |turn| {
            turn.chunked(200, &[]);
            turn.chunk("hello");
            turn.close();
        },
        |turn| {
            turn.chunked(200, &[]);
            turn.chunk("hello");
            turn.wait_closed();
        },
    ];
    for cut in cuts {
        let origin = failing(1, cut);
        let gateway = gateway(&[&origin], &format!("{EAGER}, timeouts: {{ idle: 100ms }}"));
        let mut client = gateway.client();
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        // A reset may overtake the head: then none of it has gone to the client, and it may be repeated.
        let answer = client.read();
        if !answer.complete {
            assert_eq!(origin.count(), 1);
        }
        assert!(answer.complete == (origin.count() == 2), "{answer:?}");
    }
}

#[test]
fn a_repeat_goes_to_an_endpoint_that_was_not_tried() {
    for balance in ["round_robin", "least_request", "random", "{ consistent_hash: request.path }"] {
        let tried: Arc<Mutex<Vec<(String, usize)>>> = Arc::default();
        let one = |number: usize| {
            let tried = Arc::clone(&tried);
            Origin::serve(move |turn| {
                tried.lock().unwrap().push((turn.request().target().to_owned(), number));
                turn.answer(503, &[], "no");
            })
        };
        let origins = [one(0), one(1), one(2)];
        let all: Vec<&Origin> = origins.iter().collect();
        let words = format!(
            "balance: {balance}, retry: {{ attempts: 3, retry_on: [503], budget: 100%, backoff: 1ms..1ms }}, breaker: {{ consecutive: 1000, ratio: 100%, min_requests: 1000 }}"
        );
        let gateway = gateway(&all, &words);
        let mut client = gateway.client();
        for number in 0..10 {
            let target = format!("/{number}");
            assert_eq!(client.get(&format!("/api{target}")).status, 503);
            let mut at: Vec<usize> =
                tried.lock().unwrap().iter().filter(|(one, _)| *one == target).map(|(_, at)| *at).collect();
            at.sort_unstable();
            assert_eq!(at, [0, 1, 2], "{balance}: each endpoint once");
        }
    }
}

#[test]
fn there_are_no_more_attempts_than_written() {
    for attempts in 1..=4_usize {
        let origin = Origin::serve(|turn| turn.answer(503, &[], "no"));
        let words = EAGER.replace("attempts: 3", &format!("attempts: {attempts}"));
        let gateway = gateway(&[&origin], &words);
        assert_eq!(gateway.get("/api/x").status, 503);
        assert_eq!(origin.count(), attempts);
        assert_eq!(gateway.log(1)[0]["attempts"], attempts);
    }
}

/// The moments at which requests came to an origin that refuses so many of them.
fn timed(times: usize, retry_after: Option<&'static str>) -> (Origin, Arc<Mutex<Vec<Instant>>>) {
    let moments: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&moments);
    let origin = Origin::serve(move |turn| {
        noted.lock().unwrap().push(Instant::now());
        let headers: Vec<(&str, &str)> = retry_after.iter().map(|value| ("Retry-After", *value)).collect();
        if turn.number() < times { turn.answer(503, &headers, "no") } else { turn.echo() }
    });
    (origin, moments)
}

fn gaps(moments: &Mutex<Vec<Instant>>) -> Vec<Duration> {
    moments.lock().unwrap().windows(2).map(|two| two[1] - two[0]).collect()
}

#[test]
fn there_is_a_pause_before_a_repeat() {
    // s-082, without Retry-After.
    let (origin, moments) = timed(2, None);
    let gateway = gateway(&[&origin], &EAGER.replace("1ms..1ms", "60ms..80ms"));
    assert_eq!(gateway.get("/api/x").status, 200);
    let gaps = gaps(&moments);
    assert_eq!(gaps.len(), 2);
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(59)), "{gaps:?}");
}

#[test]
fn the_service_may_say_when() {
    // s-082
    let (origin, moments) = timed(1, Some("1"));
    let gateway = gateway(&[&origin], &EAGER.replace("1ms..1ms", "100ms..100ms"));
    assert_eq!(gateway.get("/api/x").status, 200);
    assert_eq!(origin.count(), 2);
    assert!(gaps(&moments)[0] >= Duration::from_millis(990), "{:?}", gaps(&moments));
}

#[test]
fn a_time_beyond_the_deadline_ends_the_attempts() {
    // The answer goes to the client as it is, with what it says of the time.
    for value in ["60", "99999999999", "18446744073709551615", "Wed, 21 Oct 2099 07:28:00 GMT"] {
        let (origin, _) = timed(1, Some(value));
        let gateway = gateway(&[&origin], EAGER);
        let answer = gateway.get("/api/x");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some(value)));
        assert_eq!(origin.count(), 1);
    }
    // What is neither a number of seconds nor a date to come is not waited for.
    for value in ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1", "0"] {
        let (origin, _) = timed(1, Some(value));
        let gateway = gateway(&[&origin], EAGER);
        assert_eq!(gateway.get("/api/x").status, 200, "{value}");
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn a_client_that_leaves_ends_the_attempts() {
    let (origin, _) = timed(1000, None);
    let gateway =
        gateway(&[&origin], &EAGER.replace("1ms..1ms", "200ms..200ms").replace("attempts: 3", "attempts: 5"));
    let mut client = gateway.client();
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    drop(client);
    let log = gateway.log(1);
    assert_eq!(log[0]["status"], 499, "{}", log[0]);
    let count = origin.count();
    // A later call takes the time in which an attempt of the first would have come.
    assert_eq!(gateway.request("POST", "/api/later", &[], b"").status, 503);
    assert_eq!(gateway.get("/api/later").status, 503);
    let first = origin.requests().iter().filter(|seen| seen.target() == "/x").count();
    assert_eq!(first, count);
}

#[test]
fn a_connection_that_closes_at_the_moment_of_its_use_is_no_failure() {
    // s-083, without the waiting; no retries are written, and a single attempt is allowed.
    let uses = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&uses);
    let origin = Origin::serve(move |turn| {
        counted.fetch_add(1, Ordering::SeqCst);
        if turn.nth() == 0 { turn.echo() } else { turn.close() }
    });
    let gateway = gateway(
        &[&origin],
        "retry: { attempts: 1, retry_on: [], budget: 0% }, breaker: { consecutive: 1, open: 1h }",
    );
    let mut client = gateway.client();
    for number in 0..40 {
        let answer = client.get("/api/x");
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
    }
    assert!(uses.load(Ordering::SeqCst) > 40, "some connections were closed in use");
}

#[test]
fn a_connection_known_to_be_closed_takes_no_post() {
    // s-084
    let origin = Origin::serve(|turn| {
        turn.echo();
        turn.finish();
        turn.wait_closed();
    });
    let gateway = gateway(&[&origin], "retry: { attempts: 1 }");
    let mut client = gateway.client();
    for number in 0..2 {
        assert_eq!(client.request("POST", "/api/x", &[], b"{}").status, 200);
        origin.wait_closed(number);
    }
    assert_eq!((origin.count(), origin.connections()), (2, 2));
}

#[test]
fn every_attempt_has_the_host_of_its_endpoint() {
    let origins = [(); 2].map(|()| Origin::serve(|turn| turn.answer(503, &[], "no")));
    let port = origins[0].address().port();
    let gateway = Gateway::start(
        &[&origins[1]],
        &format!(
            "
            upstreams:
              u:
                endpoints: [\"http://localhost:{port}\", ORIGIN1]
                balance: round_robin
                retry: {{ attempts: 2, retry_on: [503], budget: 100%, backoff: 1ms..2ms }}
                breaker: {{ consecutive: 1000, ratio: 100%, min_requests: 100000 }}
            routes: {{ /api/*: {{ upstream: u, rewrite: / }} }}
            "
        ),
    );
    // Whichever is first, the other one is asked after it.
    for _ in 0..6 {
        assert_eq!(gateway.get("/api/x").status, 503);
    }
    let hosts = [format!("localhost:{port}"), origins[1].address().to_string()];
    for (origin, host) in origins.iter().zip(hosts) {
        assert!(origin.count() >= 6);
        let hosts: Vec<String> =
            origin.requests().iter().map(|seen| seen.header("host").unwrap_or_default().to_owned()).collect();
        assert!(hosts.iter().all(|seen| *seen == host), "{host}: {hosts:?}");
    }
}
