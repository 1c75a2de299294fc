//! The answer to an HTTP/2 request while hyper sends it.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::exchange::{Body, Error, ErrorKind, Frame};
use crate::listener::streams::Guard;
use crate::pipeline::Walk;
use crate::runtime::clock;

use super::stall::Piece;

/// The answer's body; it carries the walk, whose record is written when the body has ended.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) left: Option<u64>,
    pub(super) walk: Walk,
    pub(super) received: Rc<Cell<u64>>,
    pub(super) guard: Guard,
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
        let frame = match ready!(this.body.poll_frame(cx)) {
            None => {
                this.walk.complete();
                this.guard.complete();
                return Poll::Ready(None);
            }
            Some(Ok(Frame::Data(data))) => {
                this.walk.sent(data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                if this.left == Some(0) {
                    this.walk.complete();
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
                this.walk.broke(&error);
                this.guard.complete();
                return Poll::Ready(Some(Err(Gone)));
            }
        };
        this.guard.progress().handed(clock::now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.length().map(http_body::SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.walk.received(self.received.get());
        if self.guard.progress().is_stalled() {
            self.walk.broke(&Error::new(ErrorKind::ClientClosed).reason("stalled"));
        }
        if self.body.is_empty() {
            self.walk.complete();
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
