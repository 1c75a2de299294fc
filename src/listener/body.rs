//! The body of an HTTP/1 request, read as it is asked for and no faster.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::exchange::{BodyStream, Error, ErrorKind, Frame};
use crate::http1::{Decoder, Framing, Piece};

use super::wire::Wire;

/// What a client's body is held to.
#[derive(Clone, Copy)]
pub(super) struct BodyBounds {
    /// Bytes in all.
    pub(super) max: u64,
    /// The longest gap, and the span over which the rate is measured.
    pub(super) timeout: Duration,
    /// Bytes a second, at least.
    pub(super) rate: u64,
}

/// The body of one request.
pub(super) struct ClientBody {
    wire: Rc<Wire>,
    decoder: Decoder,
    bounds: BodyBounds,
    pace: Pace,
}

impl ClientBody {
    pub(super) fn new(wire: Rc<Wire>, framing: Framing, bounds: BodyBounds) -> ClientBody {
        ClientBody { wire, decoder: Decoder::new(framing), bounds, pace: Pace::default() }
    }

    fn end(&self) -> Poll<Option<Result<Frame, Error>>> {
        self.wire.body_done.set(true);
        Poll::Ready(None)
    }

    fn fail(&self, error: Error) -> Poll<Option<Result<Frame, Error>>> {
        Poll::Ready(Some(Err(error.closing())))
    }

    /// The interim answer goes out before the first byte is waited for (RFC 9110 section 10.1.1).
    fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.owes_continue.take() {
            self.wire.out().small().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.wire.poll_flush(cx)
    }
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if self.wire.body_done.get() {
            return Poll::Ready(None);
        }
        loop {
            let piece = self.decoder.decode(&mut self.wire.buffer());
            match piece {
                Ok(Piece::Data(data)) => {
                    let received = self.wire.received.get() + data.len() as u64;
                    self.wire.received.set(received);
                    self.pace.moved(data.len() as u64);
                    if received > self.bounds.max {
                        return self.fail(Error::new(ErrorKind::BodyTooLarge));
                    }
                    if self.decoder.is_done() {
                        self.wire.body_done.set(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                Ok(Piece::Trailers(trailers)) => {
                    self.wire.body_done.set(true);
                    return Poll::Ready(Some(Ok(Frame::Trailers(trailers))));
                }
                Ok(Piece::End) => return self.end(),
                Ok(Piece::More) => {}
                Err(reason) => {
                    return self.fail(Error::new(ErrorKind::MalformedRequest).reason("body").detail(reason));
                }
            }
            if self.wire.owes_continue.get() {
                match self.poll_continue(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        return self.fail(Error::new(ErrorKind::ClientClosed).source(error));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.wire.poll_read_body(self.decoder.length(), cx) {
                Poll::Ready(Ok(0)) => {
                    return self.fail(Error::new(ErrorKind::ClientClosed).reason("body").source("the body broke off"));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return self.fail(Error::new(ErrorKind::ClientClosed).source(error)),
                Poll::Pending => {
                    let late = self.pace.deadline(Instant::now(), self.bounds);
                    if self.wire.poll_timer(late, cx).is_pending() {
                        return Poll::Pending;
                    }
                    // The span may have brought enough since the timer was set.
                    if self.pace.deadline(Instant::now(), self.bounds) <= Instant::now() {
                        return self.fail(Error::new(ErrorKind::RequestTimeout).reason("body"));
                    }
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.length()
    }
}

/// How fast a body comes while it is waited for. Time in which nobody asks for the body does not count: the waiting
/// starts anew with the first poll that finds nothing.
#[derive(Default)]
struct Pace {
    /// The start of the span that is measured, and the bytes it has brought.
    span: Option<(Instant, u64)>,
}

impl Pace {
    fn moved(&mut self, bytes: u64) {
        if let Some((_, so_far)) = &mut self.span {
            *so_far += bytes;
        }
    }

    /// When the span ends. A span that brought enough is followed by the next; one that did not is the end.
    fn deadline(&mut self, now: Instant, bounds: BodyBounds) -> Instant {
        let enough = bounds.rate.saturating_mul(bounds.timeout.as_secs().max(1)).max(1);
        match self.span {
            Some((start, bytes)) if now < start + bounds.timeout || bytes < enough => start + bounds.timeout,
            _ => {
                self.span = Some((now, 0));
                now + bounds.timeout
            }
        }
    }
}
