//! The body of an HTTP/2 request.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;

use crate::exchange::{Body, BodyStream, Error, ErrorKind, Frame};
use crate::listener::linger::Linger;
use crate::listener::pace::{BodyBounds, Pace};
use crate::net::Timer;
use crate::runtime::clock;

use super::connect::Connecting;

/// What a stream and the body of its request share.
#[derive(Default)]
pub(super) struct Upload {
    /// Bytes of the body that have been read.
    pub(super) received: Cell<u64>,
    /// Whether the client waits for a 100 before it sends the body.
    pub(super) expects: Cell<bool>,
    /// Whether the body is asked for, and the 100 is owed.
    pub(super) owes_continue: Cell<bool>,
    /// What is needed once the service has switched to WebSocket, where the client asks for that.
    pub(super) connecting: Cell<Option<Box<Connecting>>>,
    /// Whether what is left of the body is thrown away: its size no longer matters.
    discards: Cell<bool>,
}

/// Reads what is left of a body that nothing has read, and throws it away, within bounds. A client that still sends may
/// take the reset of its stream for a failure, although the answer came first (RFC 9113 section 8.1).
pub(super) async fn discard(mut body: Body, upload: &Upload, linger: Linger) {
    // One that waits for a 100 has not begun to send.
    if upload.expects.get() {
        return;
    }
    upload.discards.set(true);
    let began = clock::now();
    let end = began + linger.time;
    let (mut left, mut last, mut timer) = (linger.bytes, began, Timer::new());
    poll_fn(|cx| {
        while left > 0 && last < end {
            match body.poll_frame(cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
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
    pub(super) body: RecvStream,
    /// Bytes that are still to come, where the client has said how many.
    pub(super) left: Option<u64>,
    pub(super) bounds: BodyBounds,
    pub(super) upload: Rc<Upload>,
    pub(super) timer: Timer,
    pub(super) pace: Pace,
}

impl ClientBody {
    fn broke(error: h2::Error) -> Error {
        Error::new(ErrorKind::ClientClosed).reason("body").source(error)
    }

    fn take(&mut self, data: Bytes) -> Result<Frame, Error> {
        // The next piece may come: what is handed on from here is one piece at a time.
        self.body.flow_control().release_capacity(data.len()).map_err(Self::broke)?;
        let received = self.upload.received.get() + data.len() as u64;
        self.upload.received.set(received);
        self.pace.moved(data.len() as u64, clock::now(), self.bounds);
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        if received > self.bounds.max && !self.upload.discards.get() {
            return Err(Error::new(ErrorKind::BodyTooLarge));
        }
        Ok(Frame::Data(data))
    }
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            match self.body.poll_data(cx) {
                // A last frame without bytes is how most clients end a body of unknown length: it is no piece.
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => return Poll::Ready(Some(self.take(data))),
                // Also one that the client has cancelled: it is no end.
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Self::broke(error)))),
                // Trailers of requests end here, as in HTTP/1.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    if self.upload.expects.take() {
                        self.upload.owes_continue.set(true);
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
}
