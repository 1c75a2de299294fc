//! A body that is shaped while it streams: memory is bounded by a piece of the input and what comes of it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::exchange::{Body, BodyStream, Error, ErrorKind, Frame};
use crate::json::{Invalid, Selection, Selector, is_blank};
use crate::runtime::task;

/// Up to so many bytes an answer is sent as a whole, with its length.
const PIECE: usize = 64 * 1024;

/// Pieces of input that are taken in a row without a byte of output; then others get their turn.
const TURN: usize = 32;

/// Runs a body through a selection. Waits until the first bytes can be sent: an answer that is short, or wrong from the start, is known
/// as a whole then.
///
/// # Errors
/// The body is no JSON, or broke off.
pub(super) async fn selected(mut body: Body, selection: Arc<Selection>) -> Result<Body, Error> {
    let mut selector = Selector::new(selection);
    // What is known to be short comes whole, in however many pieces it does.
    let short = body.length().is_some_and(|length| length <= PIECE as u64);
    let mut out = Vec::with_capacity(body.length().map_or(1024, |length| length.min(PIECE as u64) as usize));
    let ended = poll_fn(|cx| {
        let mut turns = 0;
        loop {
            if out.len() >= PIECE {
                return Poll::Ready(Ok(false));
            }
            // A few bytes in a coding may be gigabytes of blanks, which are always at hand.
            if turns == TURN {
                task::yield_turn(cx);
                return Poll::Pending;
            }
            turns += 1;
            match body.poll_frame(cx) {
                Poll::Pending if out.is_empty() || short => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(false)),
                Poll::Ready(None) => {
                    return Poll::Ready(selector.finish(&mut out).map(|()| true).map_err(invalid));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                // Trailers spoke of the body as it was.
                Poll::Ready(Some(Ok(Frame::Trailers(_)))) => {}
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    if let Err(error) = selector.feed(&data, &mut out) {
                        return Poll::Ready(Err(invalid(error)));
                    }
                }
            }
        }
    })
    .await?;
    if ended {
        return Ok(Body::Bytes(out.into()));
    }
    Ok(Body::Stream(Box::new(Selected { body: Some(body), selector, out })))
}

fn invalid(error: Invalid) -> Error {
    Error::new(ErrorKind::UpstreamFailure).reason("shape").source(error)
}

struct Selected {
    /// None once it has ended.
    body: Option<Body>,
    selector: Selector,
    out: Vec<u8>,
}

impl BodyStream for Selected {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let mut turns = 0;
        while let Some(body) = &mut self.body {
            if self.out.len() >= PIECE {
                break;
            }
            if turns == TURN {
                if self.out.is_empty() {
                    task::yield_turn(cx);
                    return Poll::Pending;
                }
                break;
            }
            turns += 1;
            match body.poll_frame(cx) {
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.body = None;
                    if let Err(error) = self.selector.finish(&mut self.out) {
                        return Poll::Ready(Some(Err(invalid(error))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(Frame::Trailers(_)))) => {}
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    if let Err(error) = self.selector.feed(&data, &mut self.out) {
                        self.body = None;
                        return Poll::Ready(Some(Err(invalid(error))));
                    }
                }
            }
        }
        let out = std::mem::take(&mut self.out);
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::Data(out.into()))))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

/// The body with a last member put into its object: `tail` is `"NAME":VALUE`. What is no object stays as it is. The body has no
/// blanks around it, as whatever a selection or an aggregate makes.
pub fn with_tail(body: Body, tail: Bytes) -> Body {
    Body::Stream(match body {
        whole @ (Body::Empty | Body::Tunnel(_)) => return whole,
        Body::Bytes(json) => {
            let (Some(b'{'), Some(b'}')) = (json.first(), json.last()) else { return Body::Bytes(json) };
            let mut out = Vec::with_capacity(json.len() + tail.len() + 1);
            out.extend_from_slice(&json[..json.len() - 1]);
            if json[1..json.len() - 1].iter().any(|byte| !is_blank(*byte)) {
                out.push(b',');
            }
            out.extend_from_slice(&tail);
            out.push(b'}');
            return Body::Bytes(out.into());
        }
        stream @ Body::Stream(_) => Box::new(Tailed { body: stream, tail, first: None, held: None, some: 0 }),
    })
}

struct Tailed {
    body: Body,
    tail: Bytes,
    first: Option<u8>,
    /// The last byte of an object that may be its end.
    held: Option<u8>,
    /// How many bytes that are not blank were passed on, as far as it matters: more than one is more than the brace.
    some: usize,
}

impl BodyStream for Tailed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let mut out = Vec::new();
        // The first byte alone waits for the next.
        while out.is_empty() {
            match self.body.poll_frame(cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    let Some((last, most)) = data.split_last() else { continue };
                    if *self.first.get_or_insert(data[0]) != b'{' {
                        return Poll::Ready(Some(Ok(Frame::Data(data))));
                    }
                    out.reserve(data.len());
                    out.extend(self.held.replace(*last));
                    out.extend_from_slice(most);
                    if self.some < 2 {
                        self.some += out.iter().filter(|byte| !is_blank(**byte)).count();
                    }
                }
                Poll::Ready(None) if self.held.take().is_some() => {
                    if self.some > 1 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&self.tail);
                    out.push(b'}');
                }
                other => return other,
            }
        }
        Poll::Ready(Some(Ok(Frame::Data(out.into()))))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests;
