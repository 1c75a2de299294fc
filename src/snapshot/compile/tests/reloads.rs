//! What a changed configuration takes over from the one before, with real sockets and a slow name server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::exchange::Attempts;
use crate::exchange::target::PathRules;
use crate::exchange::{Body, CoreId, HeaderId, Headers, Request, Target};
use crate::runtime::clock;
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;
use crate::upstream::background::discovery::Resolver;
use crate::upstream::background::discovery::testing::{A, Record, SRV, Say, Server};
use crate::upstream::{Caller, Deadline, Tools};

const LONG: Duration = Duration::from_secs(60);

/// A service that answers every request of every connection; gives its port and how many connections it has got.
fn service() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let (mut read, mut piece) = (Vec::new(), [0; 1024]);
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    read.extend_from_slice(&piece[..length]);
                    while let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
                        read.drain(..end + 4);
                        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (port, connections)
}

fn tools(server: &Server) -> Tools {
    Tools {
        runtime: tokio::runtime::Handle::current(),
        resolver: Resolver::with_nameserver(server.address),
        log: OperatorLog::start(false, Level::Error, |_| {}).unwrap(),
    }
}

/// What a call of the first upstream comes to.
async fn call(snapshot: &Snapshot) -> Result<u16, String> {
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, b"service");
    let target = Target::parse(b"/x", PathRules::default()).unwrap().target;
    let (method, version) = (http::Method::GET, http::Version::HTTP_11);
    let mut request = Request { method, target, version, headers, body: Body::Empty };
    let caller =
        Caller { core: CoreId(0), ground: None, upgrades: false, deadline_header: None, interims: None };
    let deadline =
        Deadline { at: clock::now() + LONG, lifted: None, whole: false, term: crate::exchange::Term::Head };
    let outcome = snapshot.upstreams[0].call(caller, &mut request, deadline, &Attempts::default()).await;
    outcome.map(|answer| answer.status.as_u16()).map_err(|error| format!("{:?}", error.kind()))
}

fn configured(words: &str) -> String {
    format!("listen: 127.0.0.1:0\nupstreams: {{ up: {{ {words} }} }}\nroutes: {{ /: {{ upstream: up }} }}\n")
}

/// Starts a configuration, and then each of the others in the place of the one before, with calls in between. None may
/// fail.
async fn reloads(server: &Server, all: &[String]) {
    let (environment, tools) = (Environment::new(1), tools(server));
    let mut before: Option<Snapshot> = None;
    for text in all {
        let next = compiled(&configured(text), "", before.as_ref(), &environment);
        next.start_upstreams(before.as_ref(), &tools);
        for _ in 0..20 {
            assert_eq!(call(&next).await, Ok(204), "{text}");
        }
        before = Some(next);
    }
}

#[tokio::test]
async fn ten_reloads_with_a_slow_name_server_fail_no_call_and_open_no_connection() {
    let (port, connections) = service();
    let server = Server::slow(Duration::from_millis(200));
    let target = Record::Service { priority: 1, weight: 1, port, target: "a.test" };
    server.set("_http._tcp.up.test", SRV, Say::Records(600, vec![target]));
    server.set("a.test", A, Say::addresses(600, &["127.0.0.1"]));
    let words = |n: u32| {
        let rest = match n % 5 {
            0 => format!("timeouts: {{ connect: 30s, response: {}s }}", n + 5),
            1 => "concurrency: { max: 7, queue: 3 }, timeouts: { connect: 20s }".to_owned(),
            2 => "retry: { attempts: 1 }, breaker: { open: 3s }".to_owned(),
            3 => "outliers: { consecutive: 9 }, balance: round_robin".to_owned(),
            _ => format!("absent_after: {n}s, hedge: {{ after: p95 }}"),
        };
        format!("discover: {{ dns_srv: _http._tcp.up.test }}, {rest}")
    };
    reloads(&server, &(0..11).map(words).collect::<Vec<_>>()).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_an_upstream_keeps_is_not_waited_for() {
    let (port, connections) = service();
    let server = Server::start();
    server.set("a.test", A, Say::addresses(600, &["127.0.0.1"]));
    let one = format!("url: 'http://a.test:{port}', timeouts: {{ connect: 30s }}");
    let two =
        format!("endpoints: ['http://a.test:{port}', 'http://b.test:{port}'], timeouts: {{ connect: 1ms }}");
    reloads(&server, &[one, two]).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn calls_wait_for_the_first_answer_and_not_for_one_that_has_come() {
    let (environment, server) = (Environment::new(1), Server::start());
    server.set("silent.test", A, Say::Nothing);
    // Nobody answers: as long as for a connection, and no longer.
    let yaml = configured("url: http://silent.test, timeouts: { connect: 20ms }");
    let snapshot = compiled(&yaml, "", None, &environment);
    snapshot.start_upstreams(None, &tools(&server));
    assert_eq!(call(&snapshot).await, Err("NoEndpoint".to_owned()));
    // It is said that there is none: at once, though a connection may take an hour.
    let yaml = configured("url: http://absent.test, timeouts: { connect: 1h }");
    let snapshot = compiled(&yaml, "", None, &environment);
    snapshot.start_upstreams(None, &tools(&server));
    assert_eq!(call(&snapshot).await, Err("NoEndpoint".to_owned()));
}

#[tokio::test]
async fn a_service_that_has_moved_is_found_when_its_address_refuses() {
    let (port, _) = service();
    let server = Server::start();
    // Nothing listens at this address of the loopback network.
    server.set("a.test", A, Say::addresses(3600, &["127.0.0.9"]));
    let environment = Environment::new(1);
    let yaml = configured(&format!(
        "url: 'http://a.test:{port}', retry: {{ attempts: 1 }}, breaker: {{ consecutive: 100000, min_requests: 100000 }}"
    ));
    let snapshot = compiled(&yaml, "", None, &environment);
    snapshot.start_upstreams(None, &tools(&server));
    assert_eq!(call(&snapshot).await, Err("UpstreamFailure".to_owned()));
    server.set("a.test", A, Say::addresses(3600, &["127.0.0.1"]));
    let end = clock::now() + Duration::from_secs(10);
    while call(&snapshot).await != Ok(204) {
        assert!(clock::read() < end, "its records live for an hour, and its pace is half a minute");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_under_way_count_against_the_new_limit_and_an_open_breaker_stays_open() {
    let server = Server::start();
    let (environment, tools) = (Environment::new(1), tools(&server));
    let words = |max: u32, response: u32, open: &str| {
        configured(&format!(
            "url: 'http://10.0.0.1', concurrency: {{ max: {max} }}, timeouts: {{ response: {response}s }}, breaker: {{ consecutive: 1, open: {open} }}"
        ))
    };
    let first = compiled(&words(4, 1, "1h"), "", None, &environment);
    first.start_upstreams(None, &tools);
    let held: Vec<_> = (0..3).map(|_| first.upstreams[0].gate().try_enter().unwrap()).collect();
    let next = compiled(&words(2, 2, "1h"), "", Some(&first), &environment);
    assert_eq!(first.upstreams[0].gate().limit(), 4, "nothing changes before it is in force");
    next.start_upstreams(Some(&first), &tools);
    let gate = next.upstreams[0].gate();
    assert_eq!((gate.active(), gate.limit(), gate.try_enter().is_none()), (3, 2, true));
    drop(held);
    assert!(gate.try_enter().is_some());
    let now = clock::now();
    let breaker = next.upstreams[0].breaker();
    let crate::upstream::limits::breaker::Admission::Pass(pass) = breaker.admit(now) else {
        panic!("it is closed")
    };
    breaker.record(pass, CoreId(0), now, Some("reset"));
    let opened = |snapshot: &Snapshot| snapshot.upstreams[0].breaker().opened();
    let third = compiled(&words(2, 3, "1h"), "", Some(&next), &environment);
    let fourth = compiled(&words(2, 3, "2h"), "", Some(&third), &environment);
    assert_eq!((opened(&third), opened(&fourth)), (1, 0), "its own settings are what counts");
}
