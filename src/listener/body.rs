//! The body of an HTTP/1 request, read as it is asked for and no faster.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::exchange::{BodyStream, Error, ErrorKind, Frame};
use crate::http1::{Decoder, Framing, Piece};
use crate::runtime::clock;

use super::pace::{BodyBounds, Pace};
use super::wire::Wire;

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
                    self.pace.moved(data.len() as u64, clock::now(), self.bounds);
                    if received > self.bounds.max {
                        return self.fail(Error::new(ErrorKind::BodyTooLarge));
                    }
                    if self.decoder.is_done() {
                        self.wire.body_done.set(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                // What a head may not say must not be said behind the body either; nobody reads trailers of requests,
                // so they end here (RFC 9110 section 6.5.1 allows it).
                Ok(Piece::Trailers(_) | Piece::End) => return self.end(),
                Ok(Piece::More) => {}
                Err(reason) => {
                    return self.fail(Error::new(ErrorKind::MalformedRequest).reason("body").detail(reason));
                }
            }
            if self.wire.owes_continue.get() {
                match self.poll_continue(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        return self.fail(Error::new(ErrorKind::ClientClosed).reason("body").source(error));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.wire.poll_read_body(self.decoder.length(), cx) {
                Poll::Ready(Ok(0)) => {
                    return self.fail(
                        Error::new(ErrorKind::ClientClosed).reason("body").source("the body broke off"),
                    );
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return self.fail(Error::new(ErrorKind::ClientClosed).reason("body").source(error));
                }
                Poll::Pending => {
                    let late = self.pace.deadline(clock::now(), self.bounds);
                    ready!(self.wire.poll_timer(late, cx));
                    return self.fail(Error::new(ErrorKind::RequestTimeout).reason("body"));
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.length()
    }
}
