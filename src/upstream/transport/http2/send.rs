//! The body of a request into its stream, at the pace of the slower side.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;

use crate::exchange::Frame;
use crate::runtime::clock;
use crate::upstream::transport::upload::{Broken, Upload};

use super::head;
use super::piece::{Piece, Progress};

/// The largest part of a body that is handed to the library, and what it holds of one stream.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// The sending side of a stream.
pub(super) struct Sending {
    stream: SendStream<Piece>,
    /// A part that waits for room in the service's window.
    waiting: Option<Bytes>,
    /// What is left of a frame that is handed over in parts.
    rest: Bytes,
    /// A frame that was taken already, to see whether the one before it was the last.
    ahead: Option<Frame>,
    progress: Arc<Progress>,
    /// Since when the body has no further frame.
    empty_since: Option<Instant>,
    /// Whether the library has the end of the body.
    ended: bool,
}

impl Sending {
    /// Of a request that begins now; `ended` where it has no body.
    pub(super) fn new(stream: SendStream<Piece>, started: Instant, ended: bool) -> Sending {
        Sending {
            stream,
            waiting: None,
            rest: Bytes::new(),
            ahead: None,
            progress: Progress::new(started),
            empty_since: None,
            ended,
        }
    }

    /// Whether the whole body has left.
    pub(super) fn is_sent(&self) -> bool {
        self.ended && self.progress.is_taken()
    }

    /// Moves frames from the body into the stream; ready once the library has the last one.
    ///
    /// # Errors
    /// The client's side failed, or the service takes no more.
    pub(super) fn poll_drive(
        &mut self,
        upload: &mut Upload,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let driven = self.poll_frames(upload, cx);
        self.note(upload);
        driven
    }

    /// Has the upload know how far it has come.
    pub(super) fn note(&self, upload: &mut Upload) {
        let moved = self.progress.moved();
        // The client owes the next piece from when it has been asked for and nothing waits to be written.
        let owed = self.empty_since.filter(|_| self.progress.is_taken());
        let owed = owed.map(|since| moved.map_or(since, |moved| moved.max(since)));
        upload.note(moved, owed);
    }

    fn poll_frames(&mut self, upload: &mut Upload, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.ended {
            if let Some(part) = self.waiting.take() {
                if let Err(error) = ready!(self.poll_room(&part, cx)) {
                    return Poll::Ready(Err(Broken::Endpoint(error)));
                }
                self.hand_over(part, upload, cx)?;
                continue;
            }
            if !self.rest.is_empty() {
                self.part();
                continue;
            }
            let frame = match self.ahead.take() {
                Some(frame) => frame,
                None => match ready!(self.poll_next(upload, cx))? {
                    Some(frame) => frame,
                    None => {
                        self.send(Bytes::new(), true)?;
                        continue;
                    }
                },
            };
            match frame {
                Frame::Data(data) => {
                    self.rest = data;
                }
                Frame::Trailers(trailers) => {
                    self.stream.reserve_capacity(0);
                    self.stream.send_trailers(head::fields(&trailers)).map_err(gone)?;
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame of the body.
    fn poll_next(
        &mut self,
        upload: &mut Upload,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, Broken>> {
        match upload.poll_frame(cx) {
            Poll::Ready(frame) => {
                self.empty_since = None;
                Poll::Ready(frame.transpose().map_err(Broken::Client))
            }
            Poll::Pending => {
                self.empty_since.get_or_insert_with(clock::now);
                Poll::Pending
            }
        }
    }

    /// Asks for room for the next part.
    fn part(&mut self) {
        let length = self.rest.len().min(SEND_BUFFER);
        self.waiting = Some(self.rest.split_to(length));
        // All of it is asked for when it is handed over: until then it is no claim on the window of the connection that
        // other streams could miss.
        self.stream.reserve_capacity(1);
    }

    /// Ready once the window has room; the part goes on waiting until then.
    fn poll_room(&mut self, part: &Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Pending => {
                    self.waiting = Some(part.clone());
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(io::Error::other("the service takes no more of the request")));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands a part to the library; the last one ends the stream where that is known already.
    fn hand_over(&mut self, part: Bytes, upload: &mut Upload, cx: &mut Context<'_>) -> Result<(), Broken> {
        let mut last = false;
        if self.rest.is_empty()
            && let Poll::Ready(next) = self.poll_next(upload, cx)
        {
            self.ahead = next?;
            last = self.ahead.is_none();
        }
        self.send(part, last)
    }

    fn send(&mut self, part: Bytes, last: bool) -> Result<(), Broken> {
        self.stream.send_data(Piece::new(part, &self.progress), last).map_err(gone)?;
        self.ended = last;
        Ok(())
    }
}

fn gone(error: h2::Error) -> Broken {
    Broken::Endpoint(io::Error::other(error))
}
