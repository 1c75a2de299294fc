//! Those who wait for a place on a session.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Woken when a stream has ended, or a session has opened or failed to.
#[derive(Default)]
pub(super) struct Waiting {
    notify: Notify,
    count: AtomicUsize,
}

/// One of them, as long as this is held.
pub(super) struct Waiter<'a>(&'a Waiting);

impl Waiting {
    /// Ready when it is worth another look. Enable it before the look that it follows.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }

    /// One more waits. To be entered before the look for a place: either that finds the place that has just been left, or
    /// [`Waiting::one`] finds who waits. Both sides write before they read, in the one order of `SeqCst`.
    pub(super) fn enter(&self) -> Waiter<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Waiter(self)
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// There is a place for one.
    pub(super) fn one(&self) {
        if self.count() > 0 {
            self.notify.notify_one();
        }
    }

    /// There may be places for all.
    pub(super) fn all(&self) {
        self.notify.notify_waiters();
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}
