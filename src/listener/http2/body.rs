//! The body of an HTTP/2 request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::StatusCode;

use crate::exchange::{BodyStream, Error, ErrorKind, Frame, Headers, Interims, Passing};
use crate::listener::linger::Linger;
use crate::listener::pace::{BodyBounds, Pace};
use crate::net::Timer;
use crate::runtime::clock;

use super::connect::Connecting;
use super::stall::Piece;
use super::{head, lines};

/// What a stream and the body of its request share.
#[derive(Default)]
pub(super) struct Upload {
    /// What the client sends. It stays here when nobody asks for the body any more: what is left of it is read away.
    stream: RefCell<Option<RecvStream>>,
    /// Bytes of the body that have been read.
    pub(super) received: Cell<u64>,
    /// Whether the client waits for a 100 before it sends the body.
    pub(super) expects: Cell<bool>,
    /// Whether the body is asked for, and the 100 is owed.
    pub(super) owes_continue: Cell<bool>,
    /// Interim answers of the service that wait to be handed over.
    interims: RefCell<Vec<(StatusCode, Headers)>>,
    /// What is needed once the service has switched to WebSocket, where the client asks for that.
    pub(super) connecting: Cell<Option<Box<Connecting>>>,
}

impl Upload {
    /// The request has a body, which comes from there.
    pub(super) fn begin(&self, stream: RecvStream) {
        self.stream.replace(Some(stream));
    }

    fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        self.stream.borrow_mut().as_mut().map_or(Poll::Ready(None), |stream| stream.poll_data(cx))
    }

    fn poll_trailers(&self, cx: &mut Context<'_>) -> Poll<Result<Option<http::HeaderMap>, h2::Error>> {
        self.stream.borrow_mut().as_mut().map_or(Poll::Ready(Ok(None)), |stream| stream.poll_trailers(cx))
    }

    /// As many bytes more may come.
    fn release(&self, bytes: usize) -> Result<(), h2::Error> {
        let mut stream = self.stream.borrow_mut();
        stream.as_mut().map_or(Ok(()), |stream| stream.flow_control().release_capacity(bytes))
    }

    /// Whether the client may still be sending what nobody has read. One that waits for a 100 has not begun to.
    pub(super) fn is_unread(&self) -> bool {
        let stream = self.stream.borrow();
        !self.expects.get() && stream.as_ref().is_some_and(|stream| !stream.is_end_stream())
    }

    /// Hands interim answers of the service over.
    pub(super) fn say_interims(&self, reply: &mut SendResponse<Piece>) {
        for (status, headers) in self.interims.borrow_mut().drain(..) {
            // Where it cannot be said, the stream has ended, which shows next.
            let _ = reply.send_informational(lines::head(status, lines::lines(&headers)));
        }
    }
}

impl Interims for Upload {
    fn pass(&self, status: StatusCode, headers: Headers) {
        self.interims.borrow_mut().push((status, headers));
    }
}

/// Reads what is left of a body that nobody wants any more, and throws it away, within bounds. A client that still sends
/// may take the reset of its stream for a failure, although the answer came first (RFC 9113 section 8.1).
pub(super) async fn discard(upload: &Upload, linger: Linger) {
    let began = clock::now();
    let end = began + linger.time;
    let (mut left, mut last, mut timer) = (linger.bytes, began, Timer::new());
    poll_fn(|cx| {
        while left > 0 && last < end {
            match upload.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) if upload.release(data.len()).is_ok() => {
                    (left, last) = (left.saturating_sub(data.len() as u64), clock::now());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.poll(end.min(last + linger.gap), cx),
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// The request's body.
pub(super) struct ClientBody {
    /// Bytes that are still to come, where the client has said how many.
    pub(super) left: Option<u64>,
    pub(super) bounds: BodyBounds,
    pub(super) upload: Rc<Upload>,
    pub(super) timer: Timer,
    pub(super) pace: Pace,
    /// Which trailer fields go on; none unless the route's action asks for some.
    pub(super) trailers: Option<Passing>,
}

impl ClientBody {
    fn broke(error: h2::Error) -> Error {
        Error::new(ErrorKind::ClientClosed).reason("body").source(error)
    }

    /// What follows the content: those trailer fields that pass, once.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let Some(passing) = &self.trailers else { return Poll::Ready(None) };
        let trailers = match ready!(self.upload.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| head::trailers(&trailers)),
            Err(error) => return Poll::Ready(Some(Err(Self::broke(error)))),
        };
        let trailers = match trailers.transpose() {
            Ok(trailers) => trailers.and_then(|trailers| passing.filtered(trailers)),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.trailers = None;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::Trailers(trailers))))
    }

    fn take(&mut self, data: Bytes) -> Result<Frame, Error> {
        // The next piece may come: what is handed on from here is one piece at a time.
        self.upload.release(data.len()).map_err(Self::broke)?;
        let received = self.upload.received.get() + data.len() as u64;
        self.upload.received.set(received);
        self.pace.moved(data.len() as u64, clock::now(), self.bounds);
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        if received > self.bounds.max {
            return Err(Error::new(ErrorKind::BodyTooLarge));
        }
        Ok(Frame::Data(data))
    }
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            match self.upload.poll_data(cx) {
                // A last frame without bytes is how most clients end a body of unknown length: it is no piece.
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => return Poll::Ready(Some(self.take(data))),
                // Also one that the client has cancelled: it is no end.
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Self::broke(error)))),
                Poll::Ready(None) => return self.poll_trailers(cx),
                Poll::Pending => {
                    if self.upload.expects.take() {
                        self.upload.owes_continue.set(true);
                    }
                    if self.bounds.unpaced {
                        return Poll::Pending;
                    }
                    let late = self.pace.deadline(clock::now(), self.bounds);
                    ready!(self.timer.poll(late, cx));
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::RequestTimeout).reason("body"))));
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.left
    }

    fn pass_trailers(&mut self, which: Passing, announced: bool) {
        self.trailers = Some(which);
        if announced {
            // Behind content of a length that is known, HTTP/1 has no place for them.
            self.left = None;
        }
    }
}
