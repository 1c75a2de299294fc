//! Copies a body on its way to the client. The client sets the pace; who leaves early leaves no copy behind.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;

use crate::cache::{Cache, Claim, Draft, Entry, Resource};
use crate::exchange::{Body, BodyStream, Error, Frame};

use super::key::Place;

/// An answer that is kept once its content is whole.
pub(super) struct Pending {
    pub(super) place: Place,
    pub(super) entry: Entry,
    pub(super) resource: Resource,
    pub(super) asked: Instant,
    /// Held until then, so that nobody else fetches it meanwhile.
    pub(super) claim: Option<Claim>,
}

impl Pending {
    /// Keeps it, unless what it tells of was changed after it was asked for; whether it has.
    pub(super) fn finish(self, cache: &Cache, body: Bytes) -> bool {
        // Released once this one is there.
        let _claim = self.claim;
        !cache.is_invalidated(self.resource, self.asked) && self.place.put(cache, self.entry.with_body(body))
    }
}

/// A body that is copied while it is pulled.
pub(super) struct Copying {
    body: Body,
    cache: Arc<Cache>,
    copy: Option<(Draft, Pending)>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl Copying {
    /// Begins to copy, where there is room; tells whether it has.
    pub(super) fn start(body: Body, cache: &Arc<Cache>, pending: Pending) -> (Body, bool) {
        let left = body.length();
        let Some(draft) = Draft::new(cache, left) else { return (body, false) };
        let copy = Some((draft, pending));
        (Body::Stream(Box::new(Copying { body, cache: Arc::clone(cache), copy, left })), true)
    }

    fn copy(&mut self, piece: &[u8]) {
        let Some((draft, _)) = &mut self.copy else { return };
        let fits = draft.push(piece);
        let left = self.left.map(|left| left.checked_sub(piece.len() as u64));
        match left {
            Some(None) => self.copy = None,
            _ if !fits => self.copy = None,
            _ => self.left = left.flatten(),
        }
        // Who sends a body of known length does not ask for its end.
        if self.left == Some(0) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some((draft, pending)) = self.copy.take() {
            pending.finish(&self.cache, draft.finish());
        }
    }
}

impl BodyStream for Copying {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let frame = ready!(self.body.poll_frame(cx));
        match &frame {
            Some(Ok(Frame::Data(piece))) => self.copy(piece),
            None if self.left.is_none_or(|left| left == 0) => self.finish(),
            // What has trailers cannot be given again as it was; what broke off is nothing.
            _ => self.copy = None,
        }
        Poll::Ready(frame)
    }

    fn remaining(&self) -> Option<u64> {
        self.body.length()
    }

    fn ends_surely(&self) -> bool {
        self.body.ends_surely()
    }
}
