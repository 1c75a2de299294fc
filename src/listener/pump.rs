//! An answer on its way to a client over HTTP/1.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, StatusCode, Version};

use crate::exchange::{Body, Error, ErrorKind, Frame, HeaderId, Headers, Response};
use crate::http1::{Framing, RequestHead, encode};
use crate::runtime::clock;
use crate::snapshot::Limits;

use super::wire::Wire;

/// What the answer must know of the one who asked.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) was_head: bool,
}

impl Peer {
    /// Of the request with this head.
    pub(super) fn of(head: &RequestHead) -> Peer {
        Peer { version: head.version, keep_alive: head.keep_alive, was_head: head.method == Method::HEAD }
    }
}

/// How the end of the answer is marked (RFC 9112 section 6.3).
pub(super) fn framing(answer: &Response, peer: Peer) -> Framing {
    let none = answer.status.is_informational()
        || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || (peer.was_head && answer.headers.has_id(HeaderId::ContentLength));
    match answer.body.length() {
        _ if none => Framing::None,
        Some(0) | None if peer.was_head => Framing::None,
        Some(length) => Framing::Length(length),
        None if peer.version == Version::HTTP_10 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}

/// Moves an answer's body into the socket, at the pace of the slower side.
pub(super) struct Pump<'a> {
    wire: &'a Wire,
    framing: Framing,
    ended: bool,
    broken: Option<Error>,
    /// Bytes that were taken from the body and are not counted yet.
    pub(super) sent: u64,
    /// How much had been written when the client stopped taking more, and when that was.
    stalled: Option<(u64, Instant)>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(wire: &'a Wire, framing: Framing) -> Pump<'a> {
        wire.begin_answer();
        Pump { wire, framing, ended: false, broken: None, sent: 0, stalled: None }
    }

    /// Ready once the whole answer is written.
    ///
    /// # Errors
    /// What broke it: the service's body, or a client that left or takes nothing more.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        body: &mut Body,
        limits: &Limits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            while !self.ended && self.wire.out().has_room() {
                match body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.push(frame),
                    // What came before it broke is still passed on; that it is not whole shows in its missing end.
                    Poll::Ready(Some(Err(error))) => {
                        self.broken = Some(error);
                        self.ended = true;
                    }
                    Poll::Ready(None) => self.end(None),
                    Poll::Pending if self.wire.out().is_empty() => {
                        // The service is silent: it has a limit of its own; a client that leaves ends it at once.
                        ready!(self.wire.poll_gone(cx));
                        return Poll::Ready(Err(Error::new(ErrorKind::ClientClosed)));
                    }
                    Poll::Pending => break,
                }
            }
            match self.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.ended => {
                    return Poll::Ready(self.broken.take().map_or(Ok(()), Err));
                }
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(error))),
                Poll::Pending => {
                    let written = self.wire.out().written();
                    let (at, since) = self.stalled.unwrap_or_else(|| (written, clock::now()));
                    let since = if at == written { since } else { clock::now() };
                    self.stalled = Some((written, since));
                    ready!(self.wire.poll_timer(since + limits.idle, cx));
                    return Poll::Ready(Err(Error::new(ErrorKind::ClientClosed).reason("stalled")));
                }
            }
        }
    }

    fn push(&mut self, frame: Frame) {
        self.wire.moved();
        let mut out = self.wire.out();
        match frame {
            // A chunk of no bytes would be the end.
            Frame::Data(data) if data.is_empty() => {}
            Frame::Data(data) => {
                self.sent += data.len() as u64;
                if self.framing == Framing::Chunked {
                    encode::chunk_head(out.small(), data.len());
                    out.push(data, b"\r\n");
                } else {
                    out.push(data, b"");
                }
            }
            Frame::Trailers(trailers) => {
                drop(out);
                self.end(Some(&trailers));
            }
        }
    }

    fn end(&mut self, trailers: Option<&Headers>) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            encode::last_chunk(self.wire.out().small(), trailers);
        }
    }
}

fn gone(error: io::Error) -> Error {
    Error::new(ErrorKind::ClientClosed).reason("write").source(error)
}
