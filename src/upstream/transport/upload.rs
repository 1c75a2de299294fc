//! The request's body on its way to an endpoint.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;

use crate::exchange::{Body, Error, Frame};
use crate::http1::{Framing, encode};

use super::connection::Connection;

/// A request body while it is being sent.
pub struct Upload {
    body: Body,
    /// The bytes of a body that was at hand, so that it can be sent again.
    kept: Option<Bytes>,
    framing: Framing,
    touched: bool,
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
        let kept = match &body {
            Body::Empty => Some(Bytes::new()),
            Body::Bytes(bytes) => Some(bytes.clone()),
            Body::Stream(_) => None,
        };
        let framing = match body.length() {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        Upload { body, kept, framing, touched: false, done: framing == Framing::None, moved: None }
    }

    /// A finished upload, left where one was taken.
    pub(super) fn finished() -> Upload {
        Upload::new(Body::Empty)
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the whole body can be sent from its start again.
    pub(in crate::upstream) fn can_rewind(&self) -> bool {
        self.kept.is_some() || !self.touched
    }

    pub(in crate::upstream) fn rewind(&mut self) {
        if let Some(kept) = &self.kept {
            *self = Upload::new(if kept.is_empty() { Body::Empty } else { Body::Bytes(kept.clone()) });
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
                self.touched = true;
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
                self.moved = Some(Instant::now());
            }
        }
    }

    fn push(&mut self, frame: Frame, connection: &mut Connection) {
        match frame {
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
