//! The answer to an HTTP/2 request while it is sent.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::exchange::{Body, Error, ErrorKind, Frame, Headers};
use crate::listener::streams::Guard;
use crate::pipeline::Walk;
use crate::runtime::clock;

use super::body::Upload;
use super::lines::lines;
use super::stall::Piece;

/// What is kept of an answer that its client does not take, for each stream; and the largest part that is handed over.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// The answer's body; it carries the walk, whose record is written when the client has taken the body or left.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) stream: SendStream<Piece>,
    /// What is left of a frame that is handed over in parts: the library takes whatever it is given, and counts the
    /// stream as sent when it has the last of it.
    pub(super) rest: Bytes,
    pub(super) left: Option<u64>,
    /// Whether the library has the end of the answer. It may hold bytes before it for long.
    pub(super) ended: bool,
    pub(super) walk: Box<Walk>,
    pub(super) upload: Rc<Upload>,
    pub(super) guard: Guard,
}

impl Answer {
    /// Sends the body until the library holds nothing more of it, or until either side breaks it off.
    pub(super) async fn send(mut self: Box<Self>) {
        // A part that waits for room in the client's window, and whether it is the last.
        let mut waiting = None;
        poll_fn(|cx| self.poll_send(&mut waiting, cx)).await;
    }

    fn poll_send(&mut self, waiting: &mut Option<(Bytes, bool)>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // First: a client that has the whole answer may well reset the stream.
            if self.ended && self.guard.progress().is_flushed(cx.waker()) {
                return Poll::Ready(());
            }
            // Also where nothing is to be sent: a client that resets the stream ends what is behind it at once.
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.ended {
                return Poll::Pending;
            }
            if waiting.is_some() {
                while self.stream.capacity() == 0 {
                    let Some(Ok(_)) = ready!(self.stream.poll_capacity(cx)) else { return Poll::Ready(()) };
                }
                if let Some((bytes, last)) = waiting.take() {
                    let length = bytes.len() as u64;
                    if self.hand_over(bytes, last).is_err() {
                        return Poll::Ready(());
                    }
                    self.left = self.left.map(|left| left.saturating_sub(length));
                    if last {
                        continue;
                    }
                }
            }
            self.guard.progress().wanted();
            match ready!(self.poll_part(cx)) {
                Some(Ok(Frame::Data(data))) => {
                    // The whole part is asked for when it is handed over. Room for one byte more is no claim on the
                    // connection's window that others could miss.
                    self.stream.reserve_capacity(1);
                    *waiting = Some((data, self.rest.is_empty() && self.body.is_empty()));
                    self.guard.progress().offered(clock::now());
                }
                Some(Ok(Frame::Trailers(trailers))) => {
                    self.walk.trailed(&trailers);
                    if self.end(&trailers).is_err() {
                        return Poll::Ready(());
                    }
                }
                Some(Err(error)) => {
                    self.walk.broke(&error);
                    if let Some(trailers) = self.walk.ending(&error)
                        && self.end(&trailers).is_ok()
                    {
                        continue;
                    }
                    self.guard.complete();
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                None => {
                    if self.hand_over(Bytes::new(), true).is_err() {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// Ends the answer with trailers.
    fn end(&mut self, trailers: &Headers) -> Result<(), h2::Error> {
        self.stream.reserve_capacity(0);
        self.stream.send_trailers(lines(trailers))?;
        self.ended = true;
        Ok(())
    }

    fn hand_over(&mut self, bytes: Bytes, last: bool) -> Result<(), h2::Error> {
        self.stream.send_data(Piece::new(bytes, self.guard.progress()), last)?;
        self.ended = last;
        Ok(())
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

    /// Whether the client has been sent the whole answer: to its end, or as many bytes as were announced.
    fn is_whole(&self) -> bool {
        (self.ended || self.left == Some(0)) && self.guard.progress().is_sent()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let (stalled, sent) = (self.guard.progress().is_stalled(), self.guard.progress().sent());
        self.walk.received(self.upload.received.get());
        self.walk.sent(sent);
        if stalled {
            self.walk.broke(&Error::new(ErrorKind::ClientClosed).reason("stalled"));
            // Where the library has the end of the answer, it would hold the bytes before it on.
            self.stream.send_reset(Reason::CANCEL);
        } else if self.is_whole() {
            self.walk.complete();
            self.guard.complete();
        }
    }
}
