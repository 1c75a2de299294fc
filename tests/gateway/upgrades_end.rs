//! How tunnels end: by either side, by a bound, by a reload that does not, and by the end of the process. Ids in comments
//! are cases (s) of the catalogue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Folder, Process};
use crate::support::websocket::{CLOSE, HANDSHAKE, TEXT, code, echo, frame, open, read_frame};
use crate::support::{Client, Gate, Gateway, Origin, until};

const OPEN: &str = "routes: { /ws/*: { upstream: STEADY1, rewrite: / } }";

const OFFER: &str = "GET /ws/x HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";

/// A tunnel of no known protocol.
fn tunnel(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.send(OFFER);
    assert_eq!(client.read_head().0, 101);
    client
}

/// What a line of the log says of a tunnel.
#[track_caller]
fn ended(line: &Value) -> (&str, &str) {
    assert_eq!(line["status"], 101, "{line}");
    (line["ended_by"].as_str().unwrap_or_default(), line["ended"].as_str().unwrap_or_default())
}

// ---- by either side

#[test]
fn each_direction_ends_by_itself() {
    let origin = Origin::serve(|turn| {
        turn.switch("foo", b"");
        if turn.request().target() == "/client" {
            // Everything up to the end of the client's side, and only then an answer.
            let mut all = Vec::new();
            while let bytes @ [_, ..] = &turn.some()[..] {
                all.extend_from_slice(bytes);
            }
            turn.raw([&b"got "[..], &all].concat());
        } else {
            turn.raw("the last word");
            turn.finish();
            while !turn.some().is_empty() {}
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send(OFFER.replace("/x", "/client"));
    assert_eq!(client.read_head().0, 101);
    client.send("all of it");
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"got all of it");
    assert_eq!(ended(&gateway.log(1)[0]), ("client", "close"));

    let mut client = gateway.client();
    client.send(OFFER.replace("/x", "/service"));
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_to_end(), b"the last word");
    client.send("still heard");
    until("it is heard", || origin.raw(1).ends_with("still heard"));
    client.finish_sending();
    origin.wait_closed(1);
    let line = &gateway.log(2)[1];
    assert_eq!(ended(line), ("service", "close"));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&11.into(), &13.into()), "{line}");
    assert!(line["error"].is_null());
}

#[test]
fn a_service_that_goes_away_takes_its_client_along() {
    // s-097
    for resets in [false, true] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::serve(move |turn| {
            turn.accept();
            turn.wait(&held);
            if resets { turn.reset() } else { turn.finish() }
        });
        let gateway = Gateway::start(&[&origin], OPEN);
        let mut client = open(gateway.address(), "/ws/x");
        gate.open();
        assert!(client.closed(), "resets: {resets}");
        // The client may stay on its own side: it is not waited for.
        assert_eq!(ended(&gateway.log(1)[0]), ("service", if resets { "reset" } else { "close" }));
    }
}

#[test]
fn a_client_that_breaks_off_takes_its_service_along() {
    let origin = Origin::serve(|turn| {
        turn.switch("foo", b"");
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { s: { url: ORIGIN1, breaker: { consecutive: 1, min_requests: 1 } } }
        routes: { /ws/*: { upstream: s } }
        ",
    );
    for round in 0..3 {
        let client = tunnel(&gateway);
        let socket = socket2::SockRef::from(client.stream());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        origin.wait_closed(round);
        assert_eq!(ended(&gateway.log(round + 1)[round]), ("client", "reset"));
    }
}

// ---- by a bound

#[test]
fn a_tunnel_without_bytes_ends_after_its_time() {
    let origin = Origin::serve(|turn| {
        if turn.request().has("sec-websocket-key") {
            turn.accept();
            turn.echo_frames();
        } else {
            turn.switch("foo", b"");
            turn.wait_closed();
        }
    });
    for timeouts in ["idle: 300ms", "idle: 20s, tunnel_idle: 300ms", "tunnel: 300ms"] {
        let gateway = Gateway::start(
            &[&origin],
            &format!(
                "
                upstreams: {{ s: {{ url: ORIGIN1, timeouts: {{ {timeouts} }} }} }}
                routes: {{ /ws/*: {{ upstream: s }} }}
                "
            ),
        );
        let how = if timeouts.starts_with("tunnel:") { "total" } else { "idle" };
        // Each side that still reads gets a Close frame.
        let mut client = open(gateway.address(), "/ws/x");
        assert_eq!(client.hear(), Some((CLOSE, code(1001))));
        client.say(CLOSE, code(1001));
        assert!(client.closed());
        assert_eq!(ended(&gateway.log(1)[0]), ("gateway", how), "{timeouts}");
        assert!(tunnel(&gateway).closed());
        assert_eq!(ended(&gateway.log(2)[1]), ("gateway", how), "{timeouts}");
    }
}

// ---- not by a reload

#[test]
fn a_reload_cuts_no_tunnel() {
    // s-115
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = open(gateway.address(), "/ws/x");
    for (number, config) in [
        "routes: { /ws/*: { upstream: STEADY1, rewrite: / }, /new: { respond: { body: new } } }",
        // Not even one that leaves its route and its service out.
        "routes: { /newer: { respond: { body: new } } }",
    ]
    .iter()
    .enumerate()
    {
        gateway.replace_config(config);
        let target = if number == 0 { "/new" } else { "/newer" };
        until("the new configuration is in force", || gateway.get(target).status == 200);
        client.say(TEXT, "after");
        assert_eq!(client.hear(), Some((TEXT, b"after".to_vec())));
    }
}

// ---- by the end of the process

/// A process that gives requests this long to end, with one route to this service.
fn with_grace(origin: &Origin, grace: &str) -> (Folder, Process) {
    let folder = Folder::new();
    let config = format!(
        "listen: 127.0.0.1:0\ntelemetry: {{ access_log: {{ file: access.log, format: json }} }}\n\
         routes: {{ /ws/*: {{ upstream: '{}' }} }}\n",
        origin.url()
    );
    let process = Process::serve(&folder, &config, &["--grace", grace]);
    (folder, process)
}

fn websocket(process: &Process) -> Client {
    let mut client = process.client();
    assert_eq!(client.request("GET", "/ws/x", &HANDSHAKE, b"").status, 101);
    client
}

fn log(folder: &Folder) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_service_in_the_middle_of_a_frame_ends_it_before_the_goodbye() {
    let origin = Origin::serve(move |turn| {
        turn.accept();
        let whole = frame(TEXT, &[b's'; 400], false);
        turn.raw(&whole[..200]);
        assert_eq!(turn.hear(), Some((CLOSE, code(1001))), "the process is ending");
        turn.raw(&whole[200..]);
        turn.say(TEXT, "nobody hears this");
        turn.say(CLOSE, code(1001));
        turn.close();
    });
    let (folder, process) = with_grace(&origin, "10m");
    let mut client = websocket(&process);
    assert_eq!(client.read_bytes(200).len(), 200);
    process.signal("TERM");
    assert_eq!(client.read_bytes(204), [b's'; 204]);
    assert_eq!(client.hear(), Some((CLOSE, code(1001))));
    client.say(CLOSE, code(1001));
    assert!(client.closed());
    assert!(process.wait_exit().success());
    assert!(process.stderr().contains("every connection has ended"), "{}", process.stderr());
    let lines = log(&folder);
    assert_eq!((lines.len(), ended(&lines[0])), (1, ("gateway", "drain")));
    assert!(lines[0]["error"].is_null(), "{}", lines[0]);
    assert_eq!(
        (&lines[0]["bytes_in"], &lines[0]["bytes_out"]),
        (&0.into(), &404.into()),
        "what it said itself"
    );
}

#[test]
fn a_client_in_the_middle_of_a_frame_ends_it_before_the_goodbye() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let origin = Origin::serve(move |turn| {
        turn.accept();
        while let Some(frame) = turn.hear() {
            hearing.lock().unwrap().push(frame);
        }
        turn.close();
    });
    let (folder, process) = with_grace(&origin, "10m");
    let mut client = websocket(&process);
    let whole = frame(TEXT, &[b'c'; 300], true);
    client.send(&whole[..150]);
    process.signal("TERM");
    assert_eq!(client.hear(), Some((CLOSE, code(1001))), "the process is ending");
    client.send(&whole[150..]);
    client.say(TEXT, "too late");
    client.say(CLOSE, code(1001));
    assert!(client.closed());
    assert!(process.wait_exit().success());
    origin.wait_closed(0);
    assert_eq!(*heard.lock().unwrap(), [(TEXT, vec![b'c'; 300]), (CLOSE, code(1001))]);
    assert_eq!(ended(&log(&folder)[0]), ("gateway", "drain"));
}

#[test]
fn a_side_that_does_not_answer_the_goodbye_holds_nobody_up() {
    let origin = Origin::serve(|turn| {
        turn.accept();
        turn.wait_closed();
    });
    let (folder, process) = with_grace(&origin, "10m");
    let mut client = websocket(&process);
    process.signal("TERM");
    assert_eq!(client.hear(), Some((CLOSE, code(1001))));
    assert!(client.closed());
    assert!(process.wait_exit().success());
    let raw = origin.raw(0).into_bytes();
    assert!(!raw.is_empty());
    assert_eq!(ended(&log(&folder)[0]), ("gateway", "drain"));
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_frame_holds_the_process_no_longer_than_the_grace() {
    let origin = Origin::serve(|turn| {
        turn.accept();
        turn.wait_closed();
    });
    let (folder, process) = with_grace(&origin, "1s");
    let mut client = websocket(&process);
    client.send(&frame(TEXT, &[b'c'; 300], true)[..150]);
    until("the service has the part", || origin.raw(0).len() > 300);
    process.signal("TERM");
    assert_eq!(client.hear(), Some((CLOSE, code(1001))), "what it is sent is between frames");
    assert!(process.wait_exit().success());
    assert!(client.closed());
    assert_eq!(ended(&log(&folder)[0]), ("gateway", "grace"));
}

#[test]
fn a_close_that_is_under_way_is_not_said_twice() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.accept();
        assert_eq!(turn.hear(), Some((CLOSE, code(4000))));
        turn.wait(&held);
        turn.say(CLOSE, code(4000));
        turn.close();
    });
    let (folder, process) = with_grace(&origin, "1m");
    let mut client = websocket(&process);
    client.say(CLOSE, code(4000));
    until("the service has it", || origin.raw(0).len() > 200);
    process.signal("TERM");
    // The service has the Close frame of its client, and the client one of the gateway.
    assert_eq!(client.hear(), Some((CLOSE, code(1001))));
    gate.open();
    assert!(process.wait_exit().success());
    let end = origin.raw(0).len();
    origin.wait_closed(0);
    assert_eq!(origin.raw(0).len(), end, "nothing follows a Close frame");
    assert_eq!(ended(&log(&folder)[0]), ("client", "close"));
}

#[test]
fn other_tunnels_are_cut_when_the_grace_ends() {
    let origin = Origin::serve(|turn| {
        turn.switch("foo", b"hello");
        turn.wait_closed();
    });
    let (folder, process) = with_grace(&origin, "1s");
    let mut client = process.client();
    client.send(OFFER);
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_bytes(5), b"hello");
    process.signal("TERM");
    until("it drains", || process.stderr().contains("draining"));
    client.send("still passed on");
    until("it is passed on", || origin.raw(0).ends_with("still passed on"));
    assert!(process.wait_exit().success());
    assert!(client.closed());
    let line = &log(&folder)[0];
    assert_eq!(ended(line), ("gateway", "grace"));
    assert_eq!((&line["error"], &line["bytes_in"]), (&"shutting down".into(), &15.into()), "{line}");
}

// ---- what is counted

#[test]
fn tunnels_are_counted_and_recorded_once() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], &format!("admin: {{ listen: 127.0.0.1:0 }}\n{OPEN}"));
    let number = |name: &str| {
        let mut client = Client::connect(gateway.admin());
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = client.read().text();
        let line = text.lines().find(|line| line.starts_with(name) && line.contains("/ws/*"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(number("portcullis_tunnels_total"), None);
    let mut clients: Vec<_> = (0..2).map(|_| open(gateway.address(), "/ws/x")).collect();
    until("both are counted", || number("portcullis_tunnels_open") == Some(2));
    assert_eq!(number("portcullis_tunnels_total"), Some(2));
    assert_eq!(number("portcullis_requests_in_flight"), Some(0), "as requests they have ended");
    assert_eq!(
        number("portcullis_requests_total{listener=\"default\",route=\"/ws/*\",class=\"1xx\""),
        Some(2)
    );
    for client in &mut clients {
        client.say(TEXT, "12345");
        assert_eq!(client.hear(), Some((TEXT, b"12345".to_vec())));
        client.say(CLOSE, code(1000));
        assert_eq!(client.hear(), Some((CLOSE, code(1000))));
    }
    drop(clients);
    until("both have ended", || number("portcullis_tunnels_open") == Some(0));
    assert_eq!(number("portcullis_tunnels_total"), Some(2));
    let (up, down) = (11 + 8, 7 + 4);
    assert_eq!(number("portcullis_request_bytes_total"), Some(2 * up));
    assert_eq!(number("portcullis_response_bytes_total"), Some(2 * down));
    let lines = gateway.log(2);
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(ended(&line), ("client", "close"));
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&up.into(), &down.into()), "{line}");
        assert!(line["duration_ms"].as_f64() >= line["upstream_ms"].as_f64(), "{line}");
    }
}

#[test]
fn frames_of_the_harness_are_read_as_they_were_written() {
    for length in [0, 125, 126, 65_535, 65_536] {
        for masked in [false, true] {
            let bytes = frame(TEXT, &vec![7; length], masked);
            let mut left = &bytes[..];
            let take = |length: u64| {
                let (now, rest) = left.split_at(usize::try_from(length).unwrap());
                left = rest;
                now.to_vec()
            };
            assert_eq!(read_frame(take, masked), Some((TEXT, vec![7; length])));
        }
    }
}
