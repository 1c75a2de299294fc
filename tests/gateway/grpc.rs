//! gRPC through the gateway with the real grpcio (PyPI) on both sides: the four kinds of calls, deadlines, cancellation,
//! metadata, statuses, services that die. The service and the client are `tests/vectors/grpc_peer.py`.
//!
//! `./dev test` installs grpcio for it. Without that these tests say that they are left out.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::support::pki::Pki;
use crate::support::{Gateway, PATIENCE, until};

/// The Python that has grpcio; `None`, and a line that says so, where it was not installed.
fn python() -> Option<PathBuf> {
    let peers = std::env::var_os("PORTCULLIS_TEST_PEERS").map(PathBuf::from);
    assert!(peers.is_some() || std::env::var_os("CI").is_none(), "`./dev test` installs the third parties");
    if peers.is_none() {
        eprintln!("left out: grpcio is not installed; ./dev test does that");
    }
    peers.map(|peers| peers.join("python/bin/python"))
}

/// One side of a call, in a process of its own; killed when it is dropped.
struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    fn start(python: &PathBuf, arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/grpc_peer.py");
        let mut child =
            Command::new(python).arg(script).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        });
        Self { child, lines }
    }

    /// The next line that it prints.
    #[track_caller]
    fn says(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; fails the test where that is a failure.
    #[track_caller]
    fn succeeds(mut self, what: &str) {
        let mut status = None;
        until(what, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{what} failed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A service and the URL it serves at.
fn service(python: &PathBuf) -> (Peer, String) {
    let service = Peer::start(python, &["server"]);
    let line = service.says();
    let port = line.strip_prefix("port ").expect("it says its port");
    let url = format!("http://127.0.0.1:{port}");
    (service, url)
}

fn config(url: &str, listener: &str) -> String {
    format!(
        "
        listeners: {{ default: {{ listen: '127.0.0.1:0', limits: {{ body: 64MiB, body_timeout: 500ms }}{listener} }} }}
        upstreams: {{ echo: {{ url: '{url}', protocol: http2, timeouts: {{ response: 20s, idle: 20s }} }} }}
        routes:
          /echo.Echo/chat: {{ upstream: echo, timeout: 500ms }}
          /echo.Echo/gather: {{ upstream: echo, timeout: 500ms }}
          /echo.Echo/*: {{ upstream: echo, timeout: 20s }}
        "
    )
}

fn play(python: &PathBuf, gateway: &Gateway, cases: &[&str]) {
    for case in cases {
        let address = gateway.address().to_string();
        Peer::start(python, &["client", &address, case]).succeeds(case);
    }
}

#[test]
fn every_kind_of_call_passes_with_all_that_belongs_to_it() {
    // s-095, s-103
    let Some(python) = python() else { return };
    let (_service, url) = service(&python);
    let gateway = Gateway::start(&[], &config(&url, ""));
    play(&python, &gateway, &["unary", "streams", "conversation", "metadata", "large", "statuses", "early"]);
    let log = gateway.log(20);
    let unary = log.iter().find(|line| line["path"] == "/echo.Echo/say").unwrap();
    assert_eq!((&unary["status"], &unary["grpc_status"]), (&200.into(), &0.into()));
    assert!(log.iter().any(|line| line["path"] == "/echo.Echo/fail" && line["grpc_status"] == 5));
    assert!(log.iter().all(|line| line.get("error").is_none()), "{log:?}");
}

#[test]
fn a_stream_lasts_as_long_as_its_gaps_are_short() {
    let Some(python) = python() else { return };
    let (_service, url) = service(&python);
    let gateway = Gateway::start(&[], &config(&url, ""));
    play(&python, &gateway, &["pauses"]);
}

#[test]
fn calls_pass_over_tls() {
    let Some(python) = python() else { return };
    let (_service, url) = service(&python);
    let pki = Pki::new();
    pki.issue("web", "DNS:a.test");
    let dir = pki.dir();
    let tls = format!(", tls: {{ certificates: [{{ certificate: {dir}/web.pem, key: {dir}/web.key }}] }}");
    let gateway = Gateway::start(&[], &config(&url, &tls));
    let address = gateway.address().to_string();
    for case in ["unary", "streams", "conversation", "large"] {
        Peer::start(&python, &["client", &address, case, &format!("{dir}/ca.pem")]).succeeds(case);
    }
}

#[test]
fn a_call_that_its_client_gives_up_ends_at_the_service_and_says_nothing_about_it() {
    let Some(python) = python() else { return };
    let (service, url) = service(&python);
    // One failure opens the breaker.
    let breaker = config(&url, "").replace("protocol: http2", "protocol: http2, breaker: { consecutive: 1 }");
    let gateway = Gateway::start(&[], &breaker);
    play(&python, &gateway, &["deadline"]);
    assert_eq!(service.says(), "ended hang");
    play(&python, &gateway, &["cancellation"]);
    assert_eq!(service.says(), "ended hang_late");
    play(&python, &gateway, &["deadline", "unary"]);
}

#[test]
fn what_the_route_bounds_and_a_service_that_is_gone_are_statuses() {
    // s-102
    let Some(python) = python() else { return };
    let (mut peer, url) = service(&python);
    let short = config(&url, "").replace(
        "/echo.Echo/*: { upstream: echo, timeout: 20s }",
        "/echo.Echo/*: { upstream: echo, timeout: 1s }",
    );
    let gateway = Gateway::start(&[], &short);
    play(&python, &gateway, &["timeout"]);
    let gateway = Gateway::start(&[], &config(&url, ""));
    let address = gateway.address().to_string();
    let client = Peer::start(&python, &["client", &address, "killed"]);
    assert_eq!(client.says(), "begun");
    peer.kill();
    client.succeeds("killed");
    play(&python, &gateway, &["gone"]);
}
