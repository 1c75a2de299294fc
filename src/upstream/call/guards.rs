//! What a call holds until the last byte of its answer: its place among the calls, and its place at the endpoint.

use std::task::{Context, Poll};

use crate::exchange::{Body, BodyStream, Error, Frame, HeaderId, Response};

use crate::upstream::endpoints::Active;
use crate::upstream::limits::concurrency::Permit;

/// Places that come free when this is dropped.
#[expect(dead_code, reason = "what it holds is of use by being held")]
pub(in crate::upstream) struct Held(pub(super) Permit, pub(super) Option<Active>);

/// Whether an answer holds its places: not one whose body is there whole, and not a stream of events, which may go on for ever.
pub(in crate::upstream) fn goes_on(answer: &Response) -> bool {
    let events =
        |media: &[u8]| media.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
    matches!(answer.body, Body::Stream(_))
        && !answer.headers.get_id(HeaderId::ContentType).is_some_and(events)
}

/// Lets the answer hold the places until its end.
pub(in crate::upstream) fn hold(mut answer: Response, held: Held) -> Response {
    answer.body = match answer.body {
        Body::Stream(inner) => Body::Stream(Box::new(Holding { inner, _held: held })),
        whole => whole,
    };
    answer
}

struct Holding {
    inner: Box<dyn BodyStream>,
    _held: Held,
}

impl BodyStream for Holding {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        self.inner.poll_frame(cx)
    }

    fn remaining(&self) -> Option<u64> {
        self.inner.remaining()
    }

    fn ends_surely(&self) -> bool {
        self.inner.ends_surely()
    }
}
