//! The body of a request or an answer: nothing, bytes at hand, or a stream that is pulled.
//!
//! A stream gives one frame per pull and reads no further ahead than its own buffer, so the slower side sets the pace.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::error::Error;
use super::headers::Headers;
use super::kind::ErrorKind;
use super::trailers::Passing;
use super::tunnel::Tunnel;

/// One piece of a streamed body.
#[derive(Debug)]
pub enum Frame {
    /// Some bytes, never none.
    Data(Bytes),
    /// The trailer section (RFC 9110 section 6.5); nothing follows it.
    Trailers(Headers),
}

/// A body that arrives piece by piece. Dropping it before its end cancels whatever produces it.
pub trait BodyStream {
    /// The next frame, `None` at the proper end.
    ///
    /// # Errors
    /// The body broke off or broke its limits; nothing follows.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>>;

    /// How many bytes are still to come, where that is known from the start (Content-Length).
    fn remaining(&self) -> Option<u64>;

    /// Whether its proper end can be told from one that broke off. Not where the end of the connection is its end
    /// (RFC 9112 section 6.3): nobody knows whether that came too early.
    fn ends_surely(&self) -> bool {
        true
    }

    /// Lets trailer fields of a request go on to its service; a request's body keeps all of them to itself unless it is
    /// asked. `announced` says that the client has said which will come.
    fn pass_trailers(&mut self, which: Passing, announced: bool) {
        let _ = (which, announced);
    }
}

/// The body of a request or an answer.
#[derive(Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// Frames to be pulled.
    Stream(Box<dyn BodyStream>),
    /// No content: the service has switched protocols, and this is its connection. Only with a 101.
    Tunnel(Box<Tunnel>),
}

impl Body {
    /// The number of bytes still to come, `None` where only the end will tell.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty | Body::Tunnel(_) => Some(0),
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream(stream) => stream.remaining(),
        }
    }

    /// Whether its proper end can be told from one that broke off, as [`BodyStream::ends_surely`] says.
    pub fn ends_surely(&self) -> bool {
        match self {
            Body::Empty | Body::Bytes(_) | Body::Tunnel(_) => true,
            Body::Stream(stream) => stream.ends_surely(),
        }
    }

    /// Lets trailer fields pass, as [`BodyStream::pass_trailers`] says.
    pub fn pass_trailers(&mut self, which: Passing, announced: bool) {
        if let Body::Stream(stream) = self {
            stream.pass_trailers(which, announced);
        }
    }

    /// Takes the body out and leaves none.
    #[must_use]
    pub fn take(&mut self) -> Body {
        std::mem::take(self)
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        matches!(self, Body::Empty) || matches!(self, Body::Bytes(bytes) if bytes.is_empty())
    }

    /// The next frame, `None` at the proper end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        match self {
            Body::Empty | Body::Tunnel(_) => Poll::Ready(None),
            Body::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Body::Stream(stream) => stream.poll_frame(cx),
        }
    }

    /// As [`Body::poll_frame`], awaited.
    pub async fn frame(&mut self) -> Option<Result<Frame, Error>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Reads the whole body, but never more than `max` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::BodyTooLarge`] as soon as it is known to be longer, or the stream's own error.
    pub async fn collect(mut self, max: u64) -> Result<Bytes, Error> {
        let too_large = || Error::new(ErrorKind::BodyTooLarge);
        match &self {
            Body::Empty => return Ok(Bytes::new()),
            Body::Bytes(bytes) if bytes.len() as u64 <= max => return Ok(bytes.clone()),
            body if body.length().is_some_and(|length| length > max) => return Err(too_large()),
            _ => {}
        }
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Frame::Data(data) = frame? else { continue };
            if (first.len() + all.len() + data.len()) as u64 > max {
                return Err(too_large());
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Body::Stream(stream) => write!(f, "Stream({:?})", stream.remaining()),
            Body::Tunnel(tunnel) => tunnel.fmt(f),
        }
    }
}
