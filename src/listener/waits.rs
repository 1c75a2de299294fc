//! What an HTTP/1 connection waits for before and between its requests.

use std::time::{Duration, Instant};

use crate::exchange::Error;
use crate::http1::{HeadLimits, RequestHead};
use crate::pipeline::Walk;
use crate::runtime::clock;

use super::switched::Switched;
use super::wire::Lent;

/// When a request began.
#[derive(Clone, Copy)]
pub(super) struct Started {
    pub(super) first_byte: Instant,
    /// When its head must be complete.
    pub(super) head_by: Instant,
}

impl Started {
    /// One that begins now.
    pub(super) fn now(bounds: &Bounds) -> Started {
        let first_byte = clock::now();
        Started { first_byte, head_by: first_byte + bounds.head_timeout }
    }
}

/// The bounds of the wait for a head: a connection that waits holds no snapshot.
pub(super) struct Bounds {
    pub(super) head: HeadLimits,
    pub(super) head_timeout: Duration,
    pub(super) idle: Duration,
}

/// The wait for a head.
pub(super) struct Awaited {
    pub(super) bounds: Bounds,
    /// When the last request was answered, and until when the first byte of this one is awaited.
    pub(super) answered: Instant,
    pub(super) until: Instant,
    /// Nothing before the first byte.
    pub(super) started: Option<Started>,
}

/// What the wait for a head came to.
pub(super) enum Begun<'a> {
    Head(RequestHead, Lent<'a>),
    /// It cannot be read, or not in time.
    Broken(Error),
    /// No byte of it came while it was awaited.
    Silence,
    /// The client closed the connection, or the gateway is ending.
    Gone,
}

/// What requests that followed each other came to.
pub(super) enum Served {
    /// None came for a while after the last answer, which was at this moment.
    Rests(Instant),
    /// The connection has ended.
    Ended,
    /// The connection carries HTTP no more.
    Switched(Box<Switched>, Box<Walk>),
}

/// What the rest between two requests came to.
pub(super) enum Rested {
    /// A further request began.
    Begun(Started),
    /// The connection has failed.
    Gone,
    /// No request came while one was awaited. One may be on its way, and the last answer may be unread still.
    Over,
}
