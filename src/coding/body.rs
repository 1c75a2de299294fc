//! A body that is decoded as it is pulled.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::decoder::{Decoder, PIECE};
use super::fault::Fault;
use super::names::Coding;
use crate::exchange::{Body, BodyStream, CallPhase, Cause, Error, Failure, Frame, Headers, Party};

/// A buffer with less space than this is not worth another frame.
const WORTHWHILE: usize = 4 << 10;

/// This body, decoded on the way: frames of at most 64 KiB, and the inner body is pulled only when there is nothing
/// left to decode. What the inner body ends with (trailers) comes behind the decoded data. A stream that is broken or
/// cut off is [`UpstreamFailure`](crate::exchange::ErrorKind::UpstreamFailure) with the reason `coding`.
///
/// `codings` as [`super::codings`] gives them; without any the body is handed back as it is.
pub fn decoded(body: Body, codings: &[Coding]) -> Body {
    if codings.is_empty() || body.is_empty() {
        return body;
    }
    Body::Stream(Box::new(Decoded {
        inner: body,
        decoder: Decoder::new(codings),
        input: Bytes::new(),
        buffer: BytesMut::new(),
        trailers: None,
        place: Place::Open,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// More may come from the inner body.
    Open,
    /// The inner body is at its end; what it gave may not be decoded yet.
    Ended,
    /// Nothing follows.
    Over,
}

struct Decoded {
    inner: Body,
    decoder: Decoder,
    /// What of the inner body's last frame is not decoded yet.
    input: Bytes,
    /// Where the next frame is decoded into; each frame takes its part away with it.
    buffer: BytesMut,
    trailers: Option<Headers>,
    place: Place,
}

impl Decoded {
    /// The next decoded bytes of what has come, none where more is needed. They are handed on at once, however few:
    /// whoever flushed them wants them to arrive.
    fn decode(&mut self) -> Result<Bytes, Fault> {
        if self.buffer.len() < WORTHWHILE {
            self.buffer = BytesMut::zeroed(PIECE);
        }
        let mut written = 0;
        while written < self.buffer.len() {
            let step = self.decoder.step(&self.input, &mut self.buffer[written..])?;
            self.input.advance(step.read);
            written += step.written;
            if step.is_idle() {
                break;
            }
        }
        Ok(self.buffer.split_to(written).freeze())
    }

    fn end(&mut self) -> Option<Result<Frame, Error>> {
        self.place = Place::Over;
        match self.decoder.complete() {
            Ok(()) => self.trailers.take().map(|trailers| Ok(Frame::Trailers(trailers))),
            Err(fault) => Some(Err(failure(&fault))),
        }
    }
}

fn failure(fault: &Fault) -> Error {
    Error::from(Failure::new(Party::Service, CallPhase::Body, Cause::Coding)).source(fault)
}

impl BodyStream for Decoded {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            if self.place == Place::Over {
                return Poll::Ready(None);
            }
            match self.decode() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Err(fault) => {
                    self.place = Place::Over;
                    return Poll::Ready(Some(Err(failure(&fault))));
                }
            }
            if self.place == Place::Ended {
                return Poll::Ready(self.end());
            }
            match self.inner.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(Frame::Data(data)))) => self.input = data,
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    self.trailers = Some(trailers);
                    self.place = Place::Ended;
                }
                Poll::Ready(None) => self.place = Place::Ended,
                Poll::Ready(Some(Err(error))) => {
                    self.place = Place::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests;
