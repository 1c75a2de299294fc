//! The end: whoever is in is served, nobody new is let in. Ids in comments are cases (s) of the catalogue.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Folder, Process};
use crate::support::h2::{Frames, Session, block_on, read, request, wait_for};
use crate::support::{Client, Gate, Gateway, Origin, PATIENCE, until};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1 } }";

/// An origin that answers 1 MB once the gate is open.
fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::serve(move |turn| {
        turn.wait(&gate);
        turn.answer(200, &[], vec![b'x'; 1 << 20]);
    })
}

#[track_caller]
fn refuses(address: std::net::SocketAddr) {
    until("new connections are refused", || std::net::TcpStream::connect(address).is_err());
}

#[test]
fn running_requests_are_served_to_their_end() {
    // s-122
    for signal in ["TERM", "INT"] {
        let gate = Gate::new();
        let origin = held(&gate);
        let gateway = Gateway::start(&[&origin], OPEN);
        let mut client = gateway.client();
        client.send("GET /api/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        origin.wait_count(1);
        gateway.signal(signal);
        gateway.wait_stderr("draining");
        refuses(gateway.address());
        assert!(!gateway.exited(), "it waits");
        gate.open();
        let answer = client.read();
        assert_eq!((answer.status, answer.body.len(), answer.complete), (200, 1 << 20, true));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.closed());
        assert_eq!(gateway.wait_exit().code(), Some(0), "SIG{signal}");
        let log = gateway.log(1);
        assert_eq!((log.len(), &log[0]["status"]), (1, &serde_json::json!(200)), "the last line is written");
        assert!(gateway.stderr().contains("drained"), "{}", gateway.stderr());
    }
}

#[test]
fn an_answer_that_has_begun_is_sent_to_its_end() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.chunked(200, &[]);
        turn.chunk("first,");
        turn.wait(&held);
        turn.chunk("last");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send("GET /api/stream HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(client.has_bytes(PATIENCE));
    gateway.signal("TERM");
    refuses(gateway.address());
    gate.open();
    let answer = client.read();
    assert_eq!((answer.text().as_str(), answer.complete), ("first,last", true));
    assert!(client.closed(), "the head could not say it any more");
    assert!(gateway.wait_exit().success());
}

#[test]
fn idle_connections_hold_nobody_up() {
    // s-123: far less than the grace of 30 seconds, whatever the machine does.
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut kept = gateway.client();
    assert_eq!(kept.get("/api/x").status, 200);
    let mut silent = gateway.client();
    let mut half = gateway.client();
    half.send("GET /api/x HT");
    let mut second_half = gateway.client();
    assert_eq!(second_half.get("/api/x").status, 200);
    gateway.signal("TERM");
    assert!(kept.closed() && silent.closed());
    // A head that has begun may end, or be given up after its time (10s).
    half.send("TP/1.1\r\nHost: gw.test\r\n\r\n");
    if let Ok(answer) = half.try_read_for("GET") {
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    assert!(second_half.closed());
    assert!(gateway.wait_exit().success());
}

#[test]
fn connections_that_wait_in_the_queue_are_served() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], OPEN);
    let address = gateway.address();
    // The process is stopped, so that whoever connects now stands in the system's queue.
    gateway.signal("STOP");
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    }
    gateway.signal("TERM");
    gateway.signal("CONT");
    for client in &mut clients {
        let answer = client.read();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert!(gateway.wait_exit().success());
}

fn with_grace(origin: &Origin, grace: &str) -> (Folder, Process) {
    let folder = Folder::new();
    let config = format!(
        "listen: 127.0.0.1:0\ntelemetry: {{ access_log: {{ file: access.log, format: json }} }}\n{}\n",
        OPEN.replace("ORIGIN1", &format!("'{}'", origin.url()))
    );
    let process = Process::serve(&folder, &config, &["--grace", grace]);
    (folder, process)
}

#[test]
fn the_grace_ends() {
    let origin = Origin::serve(crate::support::Turn::wait_closed);
    let (folder, process) = with_grace(&origin, "1s");
    let mut client = process.client();
    client.send("GET /api/never HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    let begun = Instant::now();
    process.signal("TERM");
    let status = process.wait_exit();
    assert!(begun.elapsed() >= Duration::from_millis(900), "not before");
    assert_eq!(status.code(), Some(0), "{}", process.stderr());
    assert!(process.stderr().contains("the time to drain has passed: 1 connection is cut off"));
    let answer = client.try_read_for("GET");
    assert!(answer.is_err(), "no whole answer: {answer:?}");
    origin.wait_closed(0);
    let log = access_log(&folder);
    assert_eq!(log.len(), 1, "what was cut off is logged too: {log:?}");
    assert_eq!(cut(&log[0]), (503, "shutting down", "grace"), "not as if the client had left");
}

fn access_log(folder: &Folder) -> Vec<Value> {
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Status, error and reason of a line.
fn cut(line: &Value) -> (u64, &str, &str) {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    (line["status"].as_u64().unwrap(), text("error"), text("reason"))
}

#[test]
fn an_answer_that_the_grace_cuts_is_logged_as_cut_by_the_gateway() {
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[]);
        turn.chunk("first");
        turn.wait_closed();
    });
    let (folder, process) = with_grace(&origin, "500ms");
    let address = process.address("listener default on");
    // One client that leaves itself, one by HTTP/1 and one by HTTP/2 that stay.
    let mut leaves = process.client();
    leaves.send("GET /api/stream HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(leaves.has_bytes(PATIENCE));
    drop(leaves);
    origin.wait_closed(0);
    let mut stays = process.client();
    stays.send("GET /api/stream HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(stays.has_bytes(PATIENCE));
    block_on(async {
        let session = Session::connect(address).await;
        let stream = session.open(request("GET", "/api/stream", &[]), true).await.unwrap();
        let (answer, _body) = stream.head().await.unwrap();
        assert_eq!(answer.status(), 200);
        process.signal("TERM");
        wait_for("the process ends", || process.exited()).await;
        assert!(read(answer.into_body()).await.is_err());
    });
    assert!(!stays.try_read_for("GET").is_ok_and(|answer| answer.complete));
    let log = access_log(&folder);
    let mut cuts: Vec<_> = log.iter().map(cut).collect();
    cuts.sort_unstable();
    let (left, grace) = ((200, "client closed", ""), (200, "shutting down", "grace"));
    assert_eq!(cuts, [left, grace, grace]);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let origin = Origin::serve(crate::support::Turn::wait_closed);
        let (folder, process) = with_grace(&origin, "10m");
        let mut client = process.client();
        client.send("GET /api/never HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        origin.wait_count(1);
        process.signal(first);
        until("it drains", || process.stderr().contains("draining"));
        // A signal that only asks for a reload does not end it.
        process.signal("HUP");
        process.signal(second);
        assert_eq!(process.wait_exit().code(), Some(0));
        assert!(process.stderr().contains("another signal"), "{}", process.stderr());
        assert!(client.try_read_for("GET").is_err());
        assert_eq!(cut(&access_log(&folder)[0]), (503, "shutting down", "signal"));
    }
}

#[test]
fn http2_is_told_to_go_away() {
    let gate = Gate::new();
    let origin = held(&gate);
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let stream = session.open(request("GET", "/api/slow", &[]), true).await.unwrap();
        wait_for("the request is at the service", || origin.count() == 1).await;
        gateway.signal("TERM");
        wait_for("new connections are refused", || std::net::TcpStream::connect(gateway.address()).is_err())
            .await;
        gate.open();
        let whole = stream.whole().await.unwrap();
        assert_eq!((whole.status, whole.body.len()), (200, 1 << 20), "the running stream ends in order");
        // A stream that came before the farewell is served, one that came after it is not.
        let mut served = 1;
        while let Ok(whole) = session.fetch("GET", "/api/x").await {
            assert_eq!((whole.status, whole.body.len()), (200, 1 << 20));
            served += 1;
        }
        assert_eq!(origin.count(), served);
        session.driver.await.unwrap().unwrap();
    });
    assert!(gateway.wait_exit().success());
}

#[test]
fn an_idle_http2_connection_gets_goaway_and_ends() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut frames = Frames::connect(gateway.address());
    frames.send(1, 0x5, 1, &Frames::get_block("/api/x"));
    let mut answered = false;
    while !answered {
        let (kind, flags, stream, _) = frames.next().expect("an answer");
        answered = stream == 1 && (kind == 0 || kind == 1) && flags & 1 == 1;
    }
    gateway.signal("TERM");
    let mut goaway = Vec::new();
    while let Some((kind, _, _, payload)) = frames.next() {
        if kind == 7 {
            goaway.push(payload);
        }
        if kind == 6 {
            // A ping between the two GOAWAYs (RFC 9113 section 6.8) wants its answer.
            frames.send(6, 1, 0, &[0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54]);
        }
    }
    let last = goaway.last().expect("GOAWAY");
    assert_eq!(last[4..8], [0, 0, 0, 0], "no error");
    assert!(gateway.wait_exit().success());
}

#[test]
fn a_request_that_was_on_its_way_is_answered() {
    // A client that was answered just now does not know yet: its next request is served, with word of the end.
    let served = (0..5).any(|_| {
        let gateway = Gateway::start(&[], "routes: { /x: { respond: { body: here } } }");
        // Those that have asked for nothing end first, on every core.
        let silent: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
        let mut client = gateway.client();
        assert_eq!(client.get("/x").status, 200);
        gateway.signal("TERM");
        for mut silent in silent {
            assert!(silent.closed());
        }
        let sent = client.try_send("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n").is_ok();
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        sent && answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close")
    });
    assert!(served);
}

/// A process with an admin listener that answers `/x` itself.
fn with_delay(arguments: &[&str]) -> (Folder, Process) {
    let folder = Folder::new();
    let config = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\n\
                  routes: { /x: { respond: { body: here } } }\n";
    let process = Process::serve(&folder, config, arguments);
    (folder, process)
}

/// The status of the readiness probe, while the admin listener is there.
fn readiness(process: &Process) -> u16 {
    let mut admin = Client::connect(process.address("admin on"));
    admin.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").read().status
}

#[test]
fn during_the_delay_it_is_not_ready_and_serves_as_usual() {
    let (_folder, process) = with_delay(&["--drain-delay", "10m"]);
    let address = process.address("listener default on");
    let mut kept = process.client();
    assert_eq!((kept.get("/x").status, readiness(&process)), (200, 200));
    process.signal("TERM");
    until("it is not ready", || readiness(&process) == 503);
    until("it says so", || {
        process.stderr().contains("not ready any more: everything is still served for 600s")
    });
    for _ in 0..10 {
        for client in [&mut kept, &mut Client::connect(address)] {
            let answer = client.get("/x");
            assert_eq!((answer.status, answer.header("connection")), (200, None), "as usual");
        }
    }
    assert!(!process.stderr().contains("draining"), "{}", process.stderr());
    process.signal("TERM");
    assert!(kept.closed());
    assert_eq!(process.wait_exit().code(), Some(0));
}

#[test]
fn after_the_delay_it_drains() {
    let (_folder, process) = with_delay(&["--drain-delay", "1s"]);
    let address = process.address("listener default on");
    let mut kept = process.client();
    assert_eq!(kept.get("/x").status, 200);
    let begun = Instant::now();
    process.signal("TERM");
    refuses(address);
    assert!(begun.elapsed() >= Duration::from_millis(900), "not before");
    assert!(kept.closed());
    assert_eq!(process.wait_exit().code(), Some(0));
    let stderr = process.stderr();
    let steps = ["not ready any more", "draining: ", "drained: "].map(|step| stderr.find(step));
    assert!(steps.is_sorted() && steps.iter().all(Option::is_some), "{stderr}");
}

#[test]
fn a_second_signal_ends_the_delay_and_a_third_one_the_grace() {
    let origin = Origin::serve(crate::support::Turn::wait_closed);
    let folder = Folder::new();
    let config = format!(
        "listen: 127.0.0.1:0\ntelemetry: {{ access_log: none }}\n{}\n",
        OPEN.replace("ORIGIN1", &format!("'{}'", origin.url()))
    );
    let process = Process::serve(&folder, &config, &["--drain-delay", "10m", "--grace", "10m"]);
    let mut client = process.client();
    client.send("GET /api/never HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    process.signal("TERM");
    until("the delay begins", || process.stderr().contains("not ready any more"));
    // A reload is served as usual too.
    process.signal("HUP");
    until("it reloads", || process.stderr().contains("reloaded: version 2"));
    process.signal("INT");
    until("it drains", || process.stderr().contains("draining: "));
    assert!(process.stderr().contains("a second signal: the delay ends early"), "{}", process.stderr());
    assert!(!process.exited(), "what runs goes on");
    process.signal("TERM");
    assert_eq!(process.wait_exit().code(), Some(0));
}

#[test]
fn without_a_delay_it_drains_at_once() {
    for arguments in [&[][..], &["--drain-delay", "0s"]] {
        let (_folder, process) = with_delay(arguments);
        process.signal("TERM");
        assert_eq!(process.wait_exit().code(), Some(0));
        assert!(!process.stderr().contains("not ready any more"), "{}", process.stderr());
    }
}
