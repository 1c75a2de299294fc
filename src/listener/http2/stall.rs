//! A stream whose client takes nothing of its answer is reset.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::listener::streams::Progress;
use crate::net::Timer;
use crate::runtime::clock;

/// Serves a stream to its end, or until its client has taken nothing of the answer for `idle`. Where the library
/// waits for room in the client's window it does not ask for the body, so an error of the body would not reach it.
/// The future that is dropped does: the library then discards what it holds and resets the stream with CANCEL.
pub(super) async fn until_stalled<F: Future>(future: F, progress: &Progress, idle: Duration) {
    let mut future = pin!(future);
    let mut timer = Timer::new();
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = progress.waiting_since() else { return Poll::Pending };
        ready!(timer.poll(since + idle, cx));
        progress.stall();
        Poll::Ready(())
    })
    .await;
}

/// Bytes of an answer, which note when the client takes some of them, and when the library lets the rest go.
pub(super) struct Piece {
    /// What is left of them.
    bytes: Bytes,
    /// The stream they belong to.
    progress: Rc<Progress>,
}

impl Piece {
    /// Bytes to be handed over; they count as unsent from here on.
    pub(super) fn new(bytes: Bytes, progress: &Rc<Progress>) -> Piece {
        progress.handed(bytes.len());
        Piece { bytes, progress: Rc::clone(progress) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.progress.lost(self.bytes.len());
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count > 0 {
            self.progress.took(count, clock::now());
        }
    }
}
