//! HTTP/2 towards an endpoint, by the library `h2` (RFC 9113): many streams on a session.
//!
//! `sessions.rs` finds a stream its place, `session.rs` counts those of one session, and `driver.rs` is the task that
//! reads and writes it. `exchange.rs` sends a request and waits for the head of the response, `send.rs` sends its body,
//! `body.rs` reads that of the response. `head.rs` has the heads, `failure.rs` what an error of the library means.

mod body;
mod driver;
mod exchange;
mod failure;
mod head;
mod piece;
mod send;
mod session;
mod sessions;
mod waiting;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use h2::client::{Builder, Connection, SendRequest};

use crate::config::AnswerLimits;
use crate::exchange::{CoreId, Error, Interims, Request};
use crate::net::Stream;
use crate::net::tls::client::Protocol;
use crate::runtime::{clock, task, time};

use super::exchange::{Exchanged, Waits};
use super::opening::Opening;
use super::upload::Upload;
use driver::Driver;
use exchange::Exchanging;
use piece::Piece;
use send::SEND_BUFFER;
use session::{MAX_STREAMS, Session, Slot, State};
use sessions::{Next, Sessions};

/// The window of a stream: large enough for a download at full speed, and what a client that takes nothing of its
/// answer makes the gateway hold.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The window of a session has room for all of its streams: those whose clients take nothing hold up no other.
const SESSION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;

/// How many streams that the gateway has reset are remembered, and how long: what still comes on them is dropped. A
/// frame on one that is forgotten counts as a fault of the service.
const RESETS: usize = 1024;
const RESETS_FOR: Duration = Duration::from_secs(30);

/// What the frames of responses that nobody has taken yet may cost beyond their bytes, as the library counts it: 256 bytes
/// a frame, less what it holds. A session that would hold more ends with all of its streams, so there is room for the
/// small messages of many clients that take nothing.
const FRAMES: usize = 2 * SESSION_WINDOW as usize;

/// So long before its end who waits for a place says that it was not the service that kept it waiting.
const FULL: Duration = Duration::from_millis(5);

/// What the library counts for each field of a head in addition to its bytes (section 6.5.2).
const FIELD: u32 = 32;

/// The sessions of an endpoint that speaks HTTP/2.
pub struct Http2 {
    sessions: Arc<Sessions>,
    scheme: &'static str,
}

/// A place for one stream on a session.
pub struct Lease {
    slot: Slot,
}

/// What the opening of a connection has come to.
pub(super) enum Reached {
    /// A place on a session.
    Lease(Lease),
    /// A connection whose ends have agreed on HTTP/1.1.
    Http1(Stream),
}

impl Http2 {
    pub(super) fn new(is_secure: bool, cores: usize) -> Http2 {
        Http2 { sessions: Sessions::new(cores), scheme: if is_secure { "https" } else { "http" } }
    }

    pub(super) fn idle(&self, core: CoreId, now: Instant) -> Option<Lease> {
        self.sessions.take(core, now).map(|slot| Lease { slot })
    }

    /// How many sessions there are, and how many streams are open on them.
    pub(super) fn count(&self) -> (usize, usize) {
        self.sessions.count()
    }

    /// A place on a session: on one that is there, or on one that is opened for it. As long as another is being opened
    /// that is going to have room, that one is waited for.
    ///
    /// # Errors
    /// The system's own, or why no session came about; `ResourceBusy` where every stream is taken that may be opened.
    pub(super) async fn connect(&self, opening: &Opening<'_>, protocol: Protocol) -> io::Result<Reached> {
        loop {
            let waiting = self.sessions.waiting();
            let mut changed = pin!(waiting.changed());
            changed.as_mut().enable();
            // Counted before the look: a stream that ends on another core after it wakes this one.
            let waiter = waiting.enter();
            match self.sessions.next(opening.core, opening.proven, clock::now()) {
                Next::Slot(slot) => return Ok(Reached::Lease(Lease { slot })),
                Next::Wait { full } => {
                    if !full {
                        changed.await;
                    } else if time::timeout_at(opening.end - FULL, changed).await.is_err() {
                        let why = "every stream that may be opened to it is taken";
                        return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
                    }
                }
                Next::Open(_opens) => {
                    drop(waiter);
                    let stream = opening.open(protocol).await?;
                    let reached = self.over(stream, opening, protocol).await?;
                    if matches!(reached, Reached::Http1(_)) {
                        self.sessions.carried_one();
                    }
                    return Ok(reached);
                }
            }
        }
    }

    /// A session over a connection that was opened, where that is to be one.
    pub(super) async fn over(
        &self,
        stream: Stream,
        opening: &Opening<'_>,
        protocol: Protocol,
    ) -> io::Result<Reached> {
        if opening.secure.is_some() && !stream.speaks_http2() {
            if protocol == Protocol::Any {
                return Ok(Reached::Http1(stream));
            }
            return Err(io::Error::other("HTTP/2: the service has not agreed to it (ALPN)"));
        }
        let (sender, connection) = handshake(stream, opening.limits).await?;
        let now = clock::now();
        let expires = opening.lifetime.map(|lifetime| now + lifetime);
        let whose = (opening.address, opening.core, self.scheme);
        let state = State::new(whose, expires, Arc::clone(self.sessions.waiting()), now);
        state.allow(connection.max_concurrent_send_streams());
        let session = Arc::new(Session::new(sender, Arc::new(state)));
        task::spawn(Driver::new(connection, &session, Arc::downgrade(&self.sessions)));
        let slot = self.sessions.add(session);
        let slot = slot.ok_or_else(|| io::Error::other("HTTP/2: the service ended the session at once"))?;
        Ok(Reached::Lease(Lease { slot }))
    }
}

/// Both ends say how they want it; ready once the service has. Before that nobody knows whether it speaks HTTP/2 at all,
/// and how many streams it allows.
async fn handshake(
    stream: Stream,
    limits: AnswerLimits,
) -> io::Result<(SendRequest<Piece>, Connection<Stream, Piece>)> {
    let failed = |error: h2::Error| io::Error::other(format!("HTTP/2: {error}"));
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(SESSION_WINDOW)
        .max_header_list_size(limits.head.saturating_add(limits.headers.saturating_mul(FIELD)))
        .data_frame_budget(FRAMES)
        .max_concurrent_reset_streams(RESETS)
        .reset_stream_duration(RESETS_FOR)
        // The library counts the malformed answers of a session's whole life and ends it at 1024, with all of its
        // streams. Each of them counts against the service by itself.
        .max_local_error_reset_streams(None)
        .max_send_buffer_size(SEND_BUFFER);
    let (sender, mut connection) = builder.handshake(stream).await.map_err(failed)?;
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(failed(error))),
        Poll::Ready(Ok(())) => {
            Poll::Ready(Err(io::Error::other("HTTP/2: the service closed the connection")))
        }
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((sender, connection))
}

impl Lease {
    pub(super) fn peer(&self) -> SocketAddr {
        self.slot.peer()
    }

    pub(super) fn is_reused(&self) -> bool {
        self.slot.is_reused()
    }

    pub(super) async fn exchange(
        self,
        request: &Request,
        upload: &mut Upload,
        waits: Waits,
        interims: Option<&dyn Interims>,
    ) -> Result<Exchanged, Error> {
        Exchanging::begin(self.slot, request, upload, (waits, interims))?.answer().await
    }
}

#[cfg(test)]
mod tests;
