//! HTTP/2 towards services: how streams and sessions end, what goes out again, and whose fault it was.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use ::h2::server::Builder;
use bytes::Bytes;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::h2_out::{config, gateway};
use crate::support::h2_origin::{Frames, H2Origin, frames, head, kind, send_all};
use crate::support::pki::Pki;
use crate::support::tls_origin::TlsOrigin;
use crate::support::{Client, Gate, Gateway, PATIENCE, h2, until};

const CANCEL: u32 = 0x8;
const INTERNAL_ERROR: u32 = 0x2;
const REFUSED_STREAM: u32 = 0x7;

/// The next requests, in the order of their ends: the stream and the body of each.
#[track_caller]
fn requests<const N: usize>(service: &mut Frames<TcpStream>) -> [(u32, Vec<u8>); N] {
    let (mut open, mut whole) = (Vec::<(u32, Vec<u8>)>::new(), Vec::new());
    while whole.len() < N {
        let frame = service.next().expect("a request");
        match frame.kind {
            kind::HEADERS => open.push((frame.stream, Vec::new())),
            kind::DATA => {
                let (_, body) = open.iter_mut().find(|(stream, _)| *stream == frame.stream).unwrap();
                body.extend(frame.payload);
            }
            _ => continue,
        }
        if frame.flags & 1 == 1 {
            let at = open.iter().position(|(stream, _)| *stream == frame.stream).unwrap();
            whole.push(open.remove(at));
        }
    }
    whole.try_into().unwrap()
}

/// One of them.
#[track_caller]
fn request(service: &mut Frames<TcpStream>) -> (u32, Vec<u8>) {
    let [request] = requests(service);
    request
}

/// How the attempts at `u` have ended, by the metrics page.
fn attempts(gateway: &Gateway, outcome: &str) -> u64 {
    let page = crate::tls::metrics(gateway);
    let start = format!("portcullis_upstream_attempts_total{{upstream=\"u\",outcome=\"{outcome}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or_else(|| panic!("{start} in {page}"), |count| count.parse().unwrap())
}

#[test]
fn a_stream_that_is_refused_goes_out_on_another_session() {
    let (say, seen) = channel();
    let say = std::sync::Mutex::new(say);
    let address = frames(move |number, mut service| {
        service.shake_hands(&[]);
        let (stream, body) = request(&mut service);
        say.lock().unwrap().send((number, body)).unwrap();
        if number == 0 {
            service.reset(stream, REFUSED_STREAM);
        } else {
            service.answer(stream, b"done");
        }
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    // A method that is not repeated otherwise: the service has not begun with it.
    let answer = gateway.request("POST", "/", &[], b"body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{}", gateway.stderr());
    assert_eq!(seen.iter().take(2).collect::<Vec<_>>(), [(0, b"body".to_vec()), (1, b"body".to_vec())]);
    assert_eq!(gateway.log(1)[0]["attempts"], 2);
    assert_eq!((attempts(&gateway, "broken"), attempts(&gateway, "answered")), (0, 1));
}

#[test]
fn a_service_that_refuses_twice_has_failed() {
    let address = frames(|_, mut service| {
        service.shake_hands(&[]);
        let (stream, _) = request(&mut service);
        service.reset(stream, REFUSED_STREAM);
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    let answer = gateway.get("/");
    answer.problem(502);
    assert_eq!(gateway.log(1)[0]["reason"], "refused");
    assert_eq!(attempts(&gateway, "broken"), 1);
}

#[test]
fn streams_above_the_last_of_a_goaway_go_out_again_and_the_others_end_where_they_are() {
    let (say, seen) = channel();
    let say = std::sync::Mutex::new(say);
    let address = frames(move |number, mut service| {
        service.shake_hands(&[]);
        if number == 0 {
            let [(one, _), (other, _)] = requests(&mut service);
            assert_eq!(one.min(other), 1);
            service.go_away(1, 0);
            service.answer(1, b"old");
        } else {
            let (stream, body) = request(&mut service);
            assert_eq!(body, b"body");
            service.answer(stream, b"new");
        }
        while service.next().is_some() {}
        say.lock().unwrap().send(number).unwrap();
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    // One connection of a client is served by one core, and so by one session.
    let (first, second) = h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        tokio::join!(session.post("/a", b"body"), session.post("/b", b"body"))
    });
    let mut bodies = [first.unwrap().body, second.unwrap().body];
    bodies.sort();
    assert_eq!(bodies, [b"new".to_vec(), b"old".to_vec()]);
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(0), "the session ends with its last stream");
    assert_eq!((attempts(&gateway, "broken"), attempts(&gateway, "answered")), (0, 2));
}

#[test]
fn a_request_that_cannot_be_sent_again_says_so_and_blames_nobody_for_a_goaway() {
    let address = frames(|_, mut service| {
        service.shake_hands(&[]);
        service.send(kind::WINDOW_UPDATE, 0, 0, &1_000_000u32.to_be_bytes());
        let head = service.until(kind::HEADERS);
        service.send(kind::WINDOW_UPDATE, 0, head.stream, &1_000_000u32.to_be_bytes());
        let mut got = 0;
        while got < 100_000 {
            got += service.until(kind::DATA).payload.len();
        }
        service.go_away(0, 0);
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    let answer = gateway.request("PUT", "/", &[], &[b'x'; 200_000]);
    answer.problem(502);
    assert_eq!((attempts(&gateway, "broken"), attempts(&gateway, "cancelled")), (0, 1));
}

#[test]
fn a_reset_ends_its_stream_alone() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        match call.head.uri.path() {
            "/before" => call.reply.send_reset(h2_reason(INTERNAL_ERROR)),
            // The whole answer, and then: no more of the request, please (a reset with NO_ERROR).
            "/enough" => call.answer(200, &[], "enough"),
            _ => call.answer(200, &[], "ok"),
        }
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.get("/before").problem(502);
    assert_eq!(gateway.log(1)[0]["reason"], "incomplete");
    assert_eq!(client.get("/").text(), "ok");
    client.send("POST /enough HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin");
    let answer = client.read();
    assert_eq!((answer.status, answer.text().as_str()), (200, "enough"));
    assert_eq!((attempts(&gateway, "broken"), attempts(&gateway, "answered")), (1, 2));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(origin.connections() <= cores, "no session has ended: {}", origin.connections());
}

fn h2_reason(code: u32) -> ::h2::Reason {
    code.into()
}

#[test]
fn a_reset_within_an_answer_cuts_it_off() {
    let address = frames(|_, mut service| {
        service.shake_hands(&[]);
        let (stream, _) = request(&mut service);
        service.send(kind::HEADERS, 0x4, stream, &[0x88]);
        service.send(kind::DATA, 0, stream, b"half");
        service.reset(stream, INTERNAL_ERROR);
        let (stream, _) = request(&mut service);
        service.answer(stream, b"ok");
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        assert!(session.fetch("GET", "/").await.is_err(), "it is not whole");
        assert_eq!(session.fetch("GET", "/").await.unwrap().body, b"ok", "on the same session");
    });
    assert_eq!(gateway.log(2)[0]["reason"], "incomplete");
    assert_eq!((attempts(&gateway, "broken"), attempts(&gateway, "answered")), (1, 1));
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_broken() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        let length = call.head.uri.path().trim_start_matches('/').to_owned();
        let mut stream = call.reply.send_response(head(200, &[("content-length", &length)]), false).unwrap();
        let _ = stream.send_data("12345".into(), true);
    });
    let gateway = gateway(&origin);
    let answer = gateway.get("/5");
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("12345", Some("5")));
    for wrong in ["/4", "/6"] {
        let mut client = gateway.client();
        client.send(format!("GET {wrong} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.read();
        assert!(answer.status == 502 || !answer.complete, "{wrong}: {answer:?}");
    }
    until("both are noticed", || attempts(&gateway, "broken") == 2);
}

#[test]
fn a_service_that_dies_fails_its_streams_and_is_reached_again() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = H2Origin::serve(&Builder::new(), move |mut call| {
        let held = held.clone();
        async move {
            if call.head.uri.path() == "/held" {
                tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
            }
            call.answer(200, &[], "ok");
        }
    });
    let gateway = gateway(&origin);
    h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let (first, second) = (session.fetch("GET", "/held"), session.fetch("GET", "/held"));
        let dies = async {
            h2::wait_for("both are there", || origin.requests().len() == 2).await;
            origin.die();
        };
        let (first, second, ()) = tokio::join!(first, second, dies);
        assert_eq!((first.unwrap().status, second.unwrap().status), (502, 502));
        assert_eq!(session.fetch("GET", "/").await.unwrap().status, 200, "on a new session");
    });
    gate.open();
    assert!(gateway.log(3).iter().filter(|line| line["reason"] == "reset").count() == 2);
}

#[test]
fn a_client_that_leaves_resets_its_own_stream() {
    let (say, seen) = channel();
    let say = std::sync::Mutex::new(say);
    let address = frames(move |_, mut service| {
        service.shake_hands(&[]);
        let (first, _) = request(&mut service);
        say.lock().unwrap().send("there").unwrap();
        // The next request may well come before the reset.
        let (mut reset, mut second) = (None, None);
        while reset.is_none() || second.is_none() {
            let frame = service.next().expect("both");
            match frame.kind {
                kind::RST_STREAM => reset = Some((frame.stream, frame.payload)),
                kind::HEADERS => second = Some(frame.stream),
                _ => {}
            }
        }
        assert_eq!(reset, Some((first, CANCEL.to_be_bytes().to_vec())));
        service.answer(second.unwrap(), b"ok");
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let stream = session.open(h2::request("GET", "/", &[]), true).await.unwrap();
        h2::wait_for("it is there", || seen.try_recv().is_ok()).await;
        drop(stream);
        assert_eq!(session.fetch("GET", "/").await.unwrap().body, b"ok", "on the same session");
    });
    until("it is the client's doing", || attempts(&gateway, "cancelled") == 1);
    assert_eq!(attempts(&gateway, "answered"), 1);
}

#[test]
fn a_service_that_allows_one_stream_has_as_many_sessions_as_calls_at_a_time() {
    // Each call is answered when eight are there.
    let eight = Arc::new(tokio::sync::Barrier::new(8));
    let origin = H2Origin::serve(Builder::new().max_concurrent_streams(1), move |mut call| {
        let eight = Arc::clone(&eight);
        async move {
            eight.wait().await;
            call.answer(200, &[], "ok");
        }
    });
    let gateway = gateway(&origin);
    let statuses = h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let mut answers = Vec::new();
        for _ in 0..5 {
            let calls = [(); 8].map(|()| session.fetch("GET", "/"));
            let [a, b, c, d, e, f, g, h] = calls;
            let (a, b, c, d, e, f, g, h) = tokio::join!(a, b, c, d, e, f, g, h);
            answers.extend([a, b, c, d, e, f, g, h].map(|answer| answer.unwrap().status));
        }
        answers
    });
    assert_eq!(statuses, [200; 40]);
    assert_eq!(origin.connections(), 8, "sessions for 8 calls at a time");
}

#[test]
fn a_request_that_finds_no_free_stream_is_answered_503_and_blames_nobody() {
    let origin = H2Origin::serve(Builder::new().max_concurrent_streams(1), |call| async move {
        let _held = call;
        std::future::pending().await
    });
    let gateway = Gateway::start(&[], &config(origin.address(), ", timeouts: { connect: 2s }"));
    let mut clients: Vec<Client> = (0..64).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until("every session has its stream", || origin.requests().len() == 64);
    let answer = gateway.get("/");
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let line = &gateway.log(1)[0];
    assert_eq!((&line["error"], &line["reason"]), (&"overloaded".into(), &"streams".into()));
    let page = crate::tls::metrics(&gateway);
    assert!(!page.contains("outcome=\"connect_failed\""), "{page}");
    assert_eq!(origin.connections(), 64);
}

/// Shows its certificate to the first client when the test says so, and to others when two of them are there.
#[derive(Debug)]
struct InPairs {
    certificate: Arc<dyn ResolvesServerCert>,
    count: AtomicUsize,
    first: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    two: std::sync::Barrier,
}

impl ResolvesServerCert for InPairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.count.fetch_add(1, Ordering::SeqCst) == 0 {
            self.first.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        } else {
            self.two.wait();
        }
        self.certificate.resolve(hello)
    }
}

#[test]
fn those_who_waited_for_a_session_and_find_http1_connect_at_the_same_time() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:localhost,IP:127.0.0.1");
    let mut server = pki.server("leaf");
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (go, first) = channel();
    server.cert_resolver = Arc::new(InPairs {
        certificate: Arc::clone(&server.cert_resolver),
        count: AtomicUsize::new(0),
        first: first.into(),
        two: std::sync::Barrier::new(2),
    });
    let held = Gate::new();
    let answers = held.clone();
    let origin = TlsOrigin::serve(server, move |talk| {
        answers.wait();
        talk.answer("ok");
    });
    let gateway = Gateway::start(
        &[],
        &format!(
            "admin: {{ listen: 127.0.0.1:0 }}\nupstreams: {{ u: {{ url: '{}', tls: {{ ca: '{}' }}, timeouts: {{ connect: 20s }} }} }}\nroutes: {{ /*: {{ upstream: u }} }}\n",
            origin.url(),
            pki.text("ca.pem")
        ),
    );
    let address = gateway.address();
    // One connection of a client: its requests are on one core.
    let calls = std::thread::spawn(move || {
        h2::block_on(async {
            let session = h2::Session::connect(address).await;
            let (a, b, c) =
                tokio::join!(session.fetch("GET", "/"), session.fetch("GET", "/"), session.fetch("GET", "/"));
            [a, b, c].map(|answer| answer.unwrap().status)
        })
    });
    until("all of them wait", || {
        let page = crate::tls::metrics(&gateway);
        page.lines().any(|line| line.starts_with("portcullis_requests_in_flight") && line.ends_with(" 3"))
    });
    go.send(()).unwrap();
    until("three connections", || origin.agreed().len() == 3);
    held.open();
    assert_eq!(calls.join().unwrap(), [200; 3]);
}

#[test]
fn a_service_that_says_nothing_is_a_failed_connection() {
    let address = frames(|_, mut service| {
        // It reads, and never says its settings.
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ", timeouts: { connect: 200ms }"));
    gateway.get("/").problem(504);
    assert_eq!(gateway.log(1)[0]["reason"], "connect");
    let other = frames(|_, mut service| {
        service.preface();
        std::io::Write::write_all(&mut service.0, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(other, ""));
    gateway.get("/").problem(502);
    assert_eq!(gateway.log(1)[0]["reason"], "connect");
    gateway.wait_stderr("cannot be reached and is avoided: HTTP/2:");
}

#[test]
fn a_client_that_reads_slowly_slows_its_service_and_holds_up_no_other() {
    const LENGTH: usize = 20_000_000;
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let origin = H2Origin::serve(&Builder::new(), move |mut call| {
        let counted = Arc::clone(&counted);
        async move {
            if call.head.uri.path() != "/large" {
                return call.answer(200, &[], vec![b'x'; 300_000]);
            }
            let mut stream = call.reply.send_response(head(200, &[]), false).unwrap();
            for part in 0..LENGTH / 10_000 {
                let last = part + 1 == LENGTH / 10_000;
                if !send_all(&mut stream, Bytes::from_static(&[b'x'; 10_000]), last).await {
                    return;
                }
                counted.fetch_add(10_000, Ordering::SeqCst);
            }
        }
    });
    let gateway = gateway(&origin);
    h2::block_on(async {
        let mut slow = Vec::new();
        for _ in 0..8 {
            let session = h2::Session::connect(gateway.address()).await;
            let stream = session.open(h2::request("GET", "/large", &[]), true).await.unwrap();
            slow.push((session, stream.head().await.unwrap()));
        }
        // All stand still, with more than the windows of a few streams together on their way: others pass them.
        let mut before = 0;
        h2::wait_for("all stand still", || {
            let now = taken.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now && now > 8 * 200_000
        })
        .await;
        for _ in 0..8 {
            let session = h2::Session::connect(gateway.address()).await;
            let answer = tokio::time::timeout(PATIENCE, session.fetch("GET", "/small")).await;
            assert_eq!(answer.unwrap().unwrap().body.len(), 300_000);
        }
        let held = taken.load(Ordering::SeqCst) / 8;
        assert!(held < 1_000_000, "{held} bytes of each have left the service");
        for (_session, (answer, _)) in slow {
            let (body, _) = h2::read(answer.into_body()).await.unwrap();
            assert_eq!(body.len(), LENGTH);
        }
    });
}

#[test]
fn a_service_that_reads_slowly_slows_its_client() {
    const LENGTH: usize = 9_000_000;
    let gate = Gate::new();
    let held = gate.clone();
    let address = frames(move |_, mut service| {
        service.shake_hands(&[]);
        let stream = service.until(kind::HEADERS).stream;
        let mut got = 0;
        while got < 65_535 {
            got += service.until(kind::DATA).payload.len();
        }
        assert_eq!(got, 65_535, "no more than the window");
        held.wait();
        for stream in [0, stream] {
            service.send(kind::WINDOW_UPDATE, 0, stream, &100_000_000u32.to_be_bytes());
        }
        while got < LENGTH {
            got += service.until(kind::DATA).payload.len();
        }
        service.answer(stream, b"all");
        while service.next().is_some() {}
    });
    let gateway = Gateway::start(&[], &config(address, ""));
    h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let length = LENGTH.to_string();
        let lines = [("content-length", length.as_str())];
        let mut stream = session.open(h2::request("POST", "/", &lines), false).await.unwrap();
        let (mut sent, mut opened) = (0, false);
        while sent < LENGTH {
            stream.body.reserve_capacity(10_000.min(LENGTH - sent));
            let room = std::future::poll_fn(|cx| stream.body.poll_capacity(cx));
            // Nothing moves for a while: that is all it takes.
            match tokio::time::timeout(std::time::Duration::from_millis(500), room).await {
                Ok(room) => {
                    let part = vec![b'x'; room.unwrap().unwrap()];
                    sent += part.len();
                    stream.body.send_data(part.into(), sent == LENGTH).unwrap();
                }
                Err(_) => {
                    assert!(!opened, "it goes on");
                    assert!(sent < 800_000, "{sent} bytes were taken for a service that reads nothing");
                    gate.open();
                    opened = true;
                }
            }
        }
        assert!(opened);
        assert_eq!(stream.whole().await.unwrap().body, b"all");
    });
}
