//! The answer to an HTTP/2 request while it is sent.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::exchange::{Body, Error, ErrorKind, Frame, HeaderId, Headers};
use crate::listener::streams::Guard;
use crate::pipeline::Walk;
use crate::runtime::clock;

use super::body::Upload;
use super::stall::Piece;

/// What is kept of an answer that its client does not take, for each stream; and the largest part that is handed over.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// The answer's body; it carries the walk, whose record is written when the body has ended.
pub(super) struct Answer {
    pub(super) body: Body,
    /// What is left of a frame that is handed over in parts: the library takes whatever it is given, and counts the
    /// stream as sent when it has the last of it.
    pub(super) rest: Bytes,
    pub(super) left: Option<u64>,
    pub(super) walk: Walk,
    pub(super) upload: Rc<Upload>,
    pub(super) guard: Guard,
}

/// The lines of a head or a trailer section as the library writes them. What speaks of one connection has no place in
/// HTTP/2 (RFC 9113 section 8.2.2).
pub(super) fn lines(from: &Headers) -> http::HeaderMap {
    let mut lines = http::HeaderMap::with_capacity(from.len());
    for (id, name, value) in from.iter() {
        if id == HeaderId::Upgrade {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
        {
            lines.append(name, value);
        }
    }
    lines
}

impl Answer {
    /// Sends the body to its end, or until either side breaks it off.
    pub(super) async fn send(mut self, mut stream: SendStream<Piece>) {
        // A part that waits for room in the client's window, and whether it is the last.
        let mut waiting = None;
        poll_fn(|cx| self.poll_send(&mut stream, &mut waiting, cx)).await;
    }

    fn poll_send(
        &mut self,
        stream: &mut SendStream<Piece>,
        waiting: &mut Option<(Bytes, bool)>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            // Also where nothing is to be sent: a client that resets the stream ends what is behind it at once.
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            if waiting.is_some() {
                while stream.capacity() == 0 {
                    let Some(Ok(_)) = ready!(stream.poll_capacity(cx)) else { return Poll::Ready(()) };
                }
                if let Some((bytes, last)) = waiting.take() {
                    let piece = Piece { bytes, progress: Rc::clone(self.guard.progress()) };
                    if stream.send_data(piece, last).is_err() || last {
                        return Poll::Ready(());
                    }
                }
            }
            self.guard.progress().wanted();
            match ready!(self.poll_part(cx)) {
                Some(Ok(Frame::Data(data))) => {
                    self.count(data.len() as u64);
                    // The whole part is asked for when it is handed over. Room for one byte more is no claim on the
                    // connection's window that others could miss.
                    stream.reserve_capacity(1);
                    *waiting = Some((data, self.is_handed_over()));
                    self.guard.progress().handed(clock::now());
                }
                Some(Ok(Frame::Trailers(trailers))) => {
                    stream.reserve_capacity(0);
                    let _ = stream.send_trailers(lines(&trailers));
                    self.complete();
                    return Poll::Ready(());
                }
                Some(Err(error)) => {
                    self.walk.broke(&error);
                    self.guard.complete();
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                None => {
                    let piece = Piece { bytes: Bytes::new(), progress: Rc::clone(self.guard.progress()) };
                    let _ = stream.send_data(piece, true);
                    self.complete();
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The next frame of the body, none larger than the library is to hold and none without bytes.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let mut data = std::mem::take(&mut self.rest);
        while data.is_empty() {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(more))) => data = more,
                other => return Poll::Ready(other),
            }
        }
        if data.len() > SEND_BUFFER {
            self.rest = data.split_off(SEND_BUFFER);
        }
        Poll::Ready(Some(Ok(Frame::Data(data))))
    }

    fn count(&mut self, bytes: u64) {
        self.walk.sent(bytes);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        if self.left == Some(0) {
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.walk.complete();
        self.guard.complete();
    }

    fn is_handed_over(&self) -> bool {
        self.rest.is_empty() && self.body.is_empty()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.walk.received(self.upload.received.get());
        if self.guard.progress().is_stalled() {
            self.walk.broke(&Error::new(ErrorKind::ClientClosed).reason("stalled"));
        }
        if self.is_handed_over() {
            self.complete();
        }
    }
}
