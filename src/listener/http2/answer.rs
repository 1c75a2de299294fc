//! The answer to an HTTP/2 request while hyper sends it.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::exchange::{Body, Error, ErrorKind, Frame};
use crate::listener::streams::Guard;
use crate::pipeline::Walk;
use crate::runtime::clock;

use super::stall::Piece;

/// What is kept of an answer that its client does not take, for each stream; and the largest part that is handed over.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// A walk of which the client may reset the stream at any moment, also before there is an answer. However it ends, its
/// record says how much of the request was received.
pub(super) struct Serving {
    pub(super) walk: Walk,
    /// Bytes of the request's body so far.
    pub(super) received: Rc<Cell<u64>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.walk.received(self.received.get());
    }
}

/// The answer's body; it carries the walk, whose record is written when the body has ended.
pub(super) struct Answer {
    pub(super) body: Body,
    /// What is left of a frame that is handed over in parts: the library takes whatever it is given, and counts the
    /// stream as sent when it has the last of it.
    pub(super) rest: Bytes,
    pub(super) left: Option<u64>,
    pub(super) serving: Serving,
    pub(super) guard: Guard,
}

impl Answer {
    /// The next frame of the body, none larger than the library is to hold.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let mut data = if self.rest.is_empty() {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) => data,
                other => return Poll::Ready(other),
            }
        } else {
            std::mem::take(&mut self.rest)
        };
        if data.len() > SEND_BUFFER {
            self.rest = data.split_off(SEND_BUFFER);
        }
        Poll::Ready(Some(Ok(Frame::Data(data))))
    }

    fn is_handed_over(&self) -> bool {
        self.rest.is_empty() && self.body.is_empty()
    }
}

impl http_body::Body for Answer {
    type Data = Piece;
    type Error = Gone;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Piece>, Gone>>> {
        let this = &mut *self;
        this.guard.progress().wanted();
        let frame = match ready!(this.poll_part(cx)) {
            None => {
                this.serving.walk.complete();
                this.guard.complete();
                return Poll::Ready(None);
            }
            Some(Ok(Frame::Data(data))) => {
                this.serving.walk.sent(data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                if this.left == Some(0) {
                    this.serving.walk.complete();
                    this.guard.complete();
                }
                http_body::Frame::data(Piece { bytes: data, progress: Rc::clone(this.guard.progress()) })
            }
            Some(Ok(Frame::Trailers(trailers))) => {
                let mut lines = http::HeaderMap::new();
                for (_, name, value) in trailers.iter() {
                    if let (Ok(name), Ok(value)) =
                        (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
                    {
                        lines.append(name, value);
                    }
                }
                http_body::Frame::trailers(lines)
            }
            Some(Err(error)) => {
                this.serving.walk.broke(&error);
                this.guard.complete();
                return Poll::Ready(Some(Err(Gone)));
            }
        };
        this.guard.progress().handed(clock::now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_handed_over()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.length().map(http_body::SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.guard.progress().is_stalled() {
            self.serving.walk.broke(&Error::new(ErrorKind::ClientClosed).reason("stalled"));
        }
        if self.is_handed_over() {
            self.serving.walk.complete();
            self.guard.complete();
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.body)
    }
}

/// The stream is reset: nothing can be answered, or the answer broke off.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream ends here")
    }
}

impl std::error::Error for Gone {}
