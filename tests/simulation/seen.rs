//! What was seen in one world: by its services, by its clients, and in the access log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::network::lock;
use crate::tunnel::{Heard, Side};

/// A request as a service got it.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) token: u64,
    pub(crate) endpoint: SocketAddr,
    /// Since the world began.
    pub(crate) at: Duration,
    /// When the head of the answer was sent.
    pub(crate) answered: Option<Duration>,
    /// When the service had done what it does with this request.
    pub(crate) ended: Option<Duration>,
    /// What the service did with it.
    pub(crate) deed: &'static str,
    /// Whether the service got all of its body.
    pub(crate) read: bool,
    /// Whether its connection had carried a request before.
    pub(crate) reused: bool,
    /// The time that is left as it was given, in milliseconds.
    pub(crate) left: Option<u64>,
}

/// An answer as a client got it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) token: u64,
    pub(crate) status: u16,
    /// The number that the answer bears.
    pub(crate) bears: Option<u64>,
    /// The body, or why it is not whole.
    pub(crate) body: Result<Vec<u8>, String>,
    /// From the last byte of the request to the head.
    pub(crate) took: Duration,
    /// When the last byte had come, or the answer had broken off.
    pub(crate) ended: Duration,
    pub(crate) aggregate: Option<String>,
    pub(crate) cache_control: Option<String>,
}

/// A line of the access log, and when it was written.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) value: Value,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) visits: Vec<Visit>,
    pub(crate) answers: Vec<Answer>,
    /// Requests of which no answer came, and why.
    pub(crate) failed: Vec<(u64, String)>,
    pub(crate) lines: Vec<Line>,
    /// When clients began to send their requests.
    pub(crate) sent: HashMap<u64, Duration>,
    /// Where services closed a connection in the moment in which it was to carry a request.
    pub(crate) closed: Vec<(SocketAddr, Duration)>,
    /// What clients and services got in tunnels, and when that was all.
    pub(crate) tunnels: HashMap<(u64, Side), (Heard, Duration)>,
    /// When clients stopped to send in the middle of a body.
    pub(crate) stalled: HashMap<u64, Duration>,
    pub(crate) faults: Vec<String>,
    /// Everything in the order in which it happened, where a seed is replayed.
    pub(crate) trace: Vec<String>,
    /// A number that differs where anything in that order differs.
    pub(crate) digest: u64,
}

/// Shared by all tasks of a world.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Seen>>);

impl Log {
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut lock(&self.0))
    }

    pub(crate) fn fault(&self, fault: String) {
        self.with(|seen| {
            if !seen.faults.contains(&fault) {
                seen.faults.push(fault);
            }
        });
    }

    /// Notes that something happened.
    pub(crate) fn note(&self, at: Duration, what: &str) {
        self.with(|seen| {
            let line = format!("{:>8.3} {what}", at.as_secs_f64());
            for byte in line.bytes() {
                seen.digest = (seen.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            seen.trace.push(line);
        });
    }
}
