//! The request's body on its way to an endpoint.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;

use crate::exchange::{Body, BodyStream, Error, Frame};
use crate::http1::{Framing, encode};
use crate::runtime::clock;

use super::connection::Connection;

/// Pieces of a body are kept up to this sum, so that a small one can be sent again.
const KEPT: usize = 16 * 1024;

/// A request body while it is being sent.
pub struct Upload {
    body: Body,
    /// What has been taken from the body so far; `None` once it was too much to keep.
    kept: Option<Vec<Bytes>>,
    framing: Framing,
    done: bool,
    /// When the last piece moved.
    pub(super) moved: Option<Instant>,
}

/// Why an upload ended early.
pub(super) enum Broken {
    /// The client's side failed: that is the exchange's error.
    Client(Error),
    /// The endpoint takes no more; it may have answered already.
    Endpoint(io::Error),
}

impl Upload {
    pub(in crate::upstream) fn new(body: Body) -> Upload {
        let framing = match body.length() {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        Upload { body, kept: Some(Vec::new()), framing, done: framing == Framing::None, moved: None }
    }

    /// Whether there is nothing to send.
    pub(in crate::upstream) fn is_empty(&self) -> bool {
        self.framing == Framing::None
    }

    /// A finished upload, left where one was taken.
    pub(super) fn finished() -> Upload {
        Upload::new(Body::Empty)
    }

    /// What is left where an upload was taken in the middle of it: nothing that could be sent again.
    pub(super) fn gone() -> Upload {
        Upload { kept: None, ..Upload::finished() }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the body can be sent from its start again.
    pub(in crate::upstream) fn can_rewind(&self) -> bool {
        self.kept.is_some()
    }

    pub(in crate::upstream) fn rewind(&mut self) {
        let Some(front) = self.kept.take() else { return };
        let rest = std::mem::take(&mut self.body);
        self.kept = Some(Vec::new());
        self.done = self.framing == Framing::None;
        self.moved = None;
        self.body =
            if front.is_empty() { rest } else { Body::Stream(Box::new(Again { front: front.into(), rest })) };
    }

    fn keep(&mut self, data: &Bytes) {
        let Some(kept) = &mut self.kept else { return };
        if kept.iter().map(Bytes::len).sum::<usize>() + data.len() > KEPT {
            self.kept = None;
        } else {
            kept.push(data.clone());
        }
    }

    /// Moves pieces from the body into the connection until the body has ended and everything is written.
    pub(super) fn poll_drive(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while !self.done && connection.out.has_room() {
                match self.body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.push(frame, connection),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Broken::Client(error))),
                    Poll::Ready(None) => {
                        self.done = true;
                        if self.framing == Framing::Chunked {
                            encode::last_chunk(connection.out.small(), None);
                        }
                    }
                    Poll::Pending if connection.out.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            if connection.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(connection.poll_flush(cx)).map_err(Broken::Endpoint)?;
            if self.framing != Framing::None {
                self.moved = Some(clock::now());
            }
        }
    }

    fn push(&mut self, frame: Frame, connection: &mut Connection) {
        if let Frame::Data(data) = &frame {
            self.keep(data);
        }
        match frame {
            // A chunk of no bytes would be the end.
            Frame::Data(data) if data.is_empty() => {}
            Frame::Data(data) if self.framing == Framing::Chunked => {
                encode::chunk_head(connection.out.small(), data.len());
                connection.out.push(data, b"\r\n");
            }
            Frame::Data(data) => connection.out.push(data, b""),
            Frame::Trailers(trailers) => {
                self.done = true;
                if self.framing == Framing::Chunked {
                    encode::last_chunk(connection.out.small(), Some(&trailers));
                }
            }
        }
    }
}

/// A body of which a part has been taken already: that part, then what is left.
struct Again {
    front: VecDeque<Bytes>,
    rest: Body,
}

impl BodyStream for Again {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        match self.front.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::Data(data)))),
            None => self.rest.poll_frame(cx),
        }
    }

    fn remaining(&self) -> Option<u64> {
        let front: usize = self.front.iter().map(Bytes::len).sum();
        Some(self.rest.length()? + front as u64)
    }
}
