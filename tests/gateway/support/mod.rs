//! What every test here stands on. A test reads like this:
//!
//! ```ignore
//! let origin = Origin::echo();                                   // a scripted upstream, on a port of its own
//! let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }");
//! let answer = gateway.get("/api/users/42");                     // a new connection, one request, one answer
//! assert_eq!(answer.status, 200);
//! assert_eq!(origin.last().line, "GET /users/42 HTTP/1.1");
//! ```
//!
//! - [`Gateway`] runs the real binary. `ORIGIN1`, `ORIGIN2` ... in the configuration become the URLs of the given
//!   origins, `DIR` the test's own folder. `listen: 127.0.0.1:0` and a JSON access log in a file are added where the
//!   text does not name `listen`/`listeners` or `telemetry` itself. More knobs: [`Gateway::prepare`].
//! - [`Origin::serve`] takes a closure that is called once per request head, on the connection's own thread: it may
//!   read the body ([`Turn::body`]), answer, write raw bytes, wait for a [`Gate`], close or reset. When it returns,
//!   the unread body is read and the next head awaited.
//! - [`Client`] sends raw bytes and reads answers by their framing; [`Client::closed`] says whether the connection
//!   was then closed. [`h2::Session`] speaks HTTP/2 with prior knowledge.
//! - [`redis::Redis`] is a real redis-server that may be stopped, killed and restarted; [`relay::Relay`] a wire before it
//!   that may be cut. [`load::fleet`] starts several gateways, and [`load::Load`] never lets up on them.
//! - [`parts`] reads what an answer says of the sources of an aggregate, and makes bodies in codings.
//! - [`tls_origin`] makes certificates and a service behind TLS.
//! - [`websocket`] opens WebSockets, writes and reads their frames, and has a service that echoes.
//! - [`token`] signs HS256 tokens. [`until`] polls a condition with a bound: use it instead of sleeping.
//!
//! Every wait is bounded by [`PATIENCE`], so that a hang becomes a failure. No test asserts that something was fast.

#![allow(dead_code, reason = "a word may stand ready before its first test")]

mod client;
mod gateway;
pub(crate) mod h2;
pub(crate) mod h2_origin;
pub(crate) mod load;
mod message;
mod origin;
pub(crate) mod parts;
pub(crate) mod pki;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod tls_origin;
pub(crate) mod token;
pub(crate) mod websocket;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Client};
pub(crate) use gateway::Gateway;
pub(crate) use origin::{Closed, Digest, Origin, Seen, Turn};

/// The bound of every wait. Generous, because it is only met by a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until the condition holds; fails the test, naming `what`, when it has not held within [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, holds), "in vain awaited: {what}");
}

/// Polls until the condition holds, or the time is over; gives whether it held.
pub(crate) fn holds_within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !holds() {
        if Instant::now() >= end {
            return false;
        }
        // Nobody unparks: between two looks the processor belongs to those who are waited for.
        std::thread::park_timeout(Duration::from_millis(2));
    }
    true
}

/// A door that a script waits at until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Returns when the gate is open, or after [`PATIENCE`].
    pub(crate) fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        let _ = self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap();
    }
}

/// The tools themselves, without a gateway between them.
#[test]
fn an_origin_answers_a_client() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| match turn.request().target() {
        "/chunked" => {
            turn.chunked(200, &[]);
            turn.chunk("one");
            turn.wait(&held);
            turn.last_chunk(&[("x-t", "1")]);
        }
        "/close" => turn.close(),
        "/reset" => turn.reset(),
        _ => turn.echo(),
    });
    let mut client = Client::connect(origin.address());
    let answer = client.request("POST", "/x?y", &[("X-A", "1")], b"hello");
    assert_eq!(answer.json()["line"], "POST /x?y HTTP/1.1");
    assert_eq!(answer.json()["body"], "hello");
    assert_eq!((origin.last().header("x-a"), origin.connections()), (Some("1"), 1));
    assert_eq!(client.request("HEAD", "/", &[], b"").body.len(), 0);
    client.send("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.has_bytes(PATIENCE));
    gate.open();
    let answer = client.read();
    assert_eq!(
        (answer.text().as_str(), answer.trailers.one("x-t"), answer.complete),
        ("one", Some("1"), true)
    );
    drop(client);
    origin.wait_closed(0);
    for target in ["/close", "/reset"] {
        let mut client = Client::connect(origin.address());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.closed(), "{target}");
    }
    assert!(std::net::TcpStream::connect(Closed::new().url().trim_start_matches("http://")).is_err());
}
