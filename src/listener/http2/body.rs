//! The body of an HTTP/2 request.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;

use crate::exchange::{BodyStream, Error, ErrorKind, Frame};
use crate::listener::pace::{BodyBounds, Pace};
use crate::net::Timer;
use crate::runtime::clock;

/// The request's body.
pub(super) struct ClientBody {
    pub(super) body: Incoming,
    pub(super) length: Option<u64>,
    pub(super) bounds: BodyBounds,
    pub(super) received: Rc<Cell<u64>>,
    pub(super) timer: Timer,
    pub(super) pace: Pace,
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let frame = loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                // A last frame without bytes is how most clients end a body of unknown length: it is no piece.
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                Poll::Ready(frame) => break frame,
                Poll::Pending => {
                    let late = self.pace.deadline(clock::now(), self.bounds);
                    ready!(self.timer.poll(late, cx));
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::RequestTimeout).reason("body"))));
                }
            }
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return Poll::Ready(Some(Err(Error::new(ErrorKind::ClientClosed)
                    .reason("body")
                    .source(error))));
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.pace.moved(data.len() as u64, clock::now(), self.bounds);
                self.received.set(self.received.get() + data.len() as u64);
                if self.received.get() > self.bounds.max {
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::BodyTooLarge))));
                }
                Poll::Ready(Some(Ok(Frame::Data(data))))
            }
            // Trailers of requests end here, as in HTTP/1.
            Err(_) => Poll::Ready(None),
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.length
    }
}
