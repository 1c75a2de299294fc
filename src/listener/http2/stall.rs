//! A stream whose client takes nothing of its answer is reset.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;

use crate::listener::streams::Progress;
use crate::net::Timer;
use crate::runtime::clock;

pin_project! {
    /// Serves a stream to its end, or until its client has taken nothing of the answer for `idle`. Where the library
    /// waits for room in the client's window it does not ask for the body, so an error of the body would not reach it.
    /// The future that is dropped does: the library then discards what it holds and resets the stream with CANCEL.
    ///
    /// No async function: that would hold the future twice.
    pub(super) struct UntilStalled<F> {
        #[pin]
        future: F,
        progress: Rc<Progress>,
        idle: Duration,
        timer: Timer,
        // Whether the client has been waited for.
        waited: bool,
    }
}

/// Serves a stream until its client has taken nothing of the answer for `idle`.
pub(super) fn until_stalled<F: Future>(future: F, progress: Rc<Progress>, idle: Duration) -> UntilStalled<F> {
    UntilStalled { future, progress, idle, timer: Timer::new(), waited: false }
}

impl<F: Future> Future for UntilStalled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = this.progress.waiting_since() else { return Poll::Pending };
        // Most answers are small, and the connection, which was woken before, writes them before this task has its next turn:
        // these need no timer.
        if !std::mem::replace(this.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.timer.poll(since + *this.idle, cx));
        this.progress.stall();
        Poll::Ready(())
    }
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
