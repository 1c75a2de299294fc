//! What a response holds until its last byte: the call's permit, its count at the endpoint, and its observer.

use std::task::{Context, Poll};

use crate::exchange::{Body, BodyStream, Error, Frame, Response};
use crate::runtime::clock;
use crate::upstream::endpoints::endpoint::Active;
use crate::upstream::limits::concurrency::Permit;

use super::observer::BodyObserver;

/// Given back when this is dropped.
#[expect(dead_code, reason = "what it holds is of use by being held")]
pub(super) struct CallGuards(pub(super) Permit, pub(super) Option<Active>);

/// Attaches them to a response whose body is still to come.
pub(super) fn attach(mut response: Response, guards: CallGuards, observer: Option<BodyObserver>) -> Response {
    response.body = match response.body {
        Body::Stream(inner) => Body::Stream(Box::new(GuardedBody { inner, observer, _guards: guards })),
        whole => whole,
    };
    response
}

struct GuardedBody {
    inner: Box<dyn BodyStream>,
    observer: Option<BodyObserver>,
    _guards: CallGuards,
}

impl BodyStream for GuardedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let frame = self.inner.poll_frame(cx);
        if let (Some(observer), Poll::Ready(frame)) = (&mut self.observer, &frame) {
            match frame {
                Some(Ok(_)) => observer.moved(clock::now()),
                Some(Err(error)) => {
                    if let Some(failure) = error.failure() {
                        observer.failed(failure, clock::now());
                    }
                    self.observer = None;
                }
                None => {
                    observer.ended(clock::now());
                    self.observer = None;
                }
            }
        }
        frame
    }

    fn remaining(&self) -> Option<u64> {
        self.inner.remaining()
    }

    fn ends_surely(&self) -> bool {
        self.inner.ends_surely()
    }
}
