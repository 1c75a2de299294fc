//! The streams of one HTTP/2 connection that are being served: when it is idle, and what clients take of each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use crate::runtime::clock;

/// So many resets are no flood yet: a browser leaves pages.
const RESETS: u64 = 200;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    open: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
    /// Whether the stream that ended last was reset because its client took nothing.
    ended_stalled: Cell<bool>,
    /// How many there were, and how many of them the client has reset before their answer was complete.
    total: Cell<u64>,
    reset: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// What the client takes of the answer of one stream.
#[derive(Default)]
pub(super) struct Progress {
    /// Since when a piece of the answer has waited for the client without any of its bytes being taken; none while
    /// the client waits for the answer.
    waiting_since: Cell<Option<Instant>>,
    stalled: Cell<bool>,
}

impl Progress {
    /// The next piece of the answer is asked for.
    pub(super) fn wanted(&self) {
        self.waiting_since.set(None);
    }

    /// A piece of the answer was handed over.
    pub(super) fn handed(&self, now: Instant) {
        self.waiting_since.set(Some(now));
    }

    /// The client has taken bytes of the answer.
    pub(super) fn took(&self, now: Instant) {
        if self.waiting_since.get().is_some() {
            self.waiting_since.set(Some(now));
        }
    }

    /// Since when the answer has waited for the client, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.get()
    }

    /// The client has taken nothing for too long: the stream is about to be reset.
    pub(super) fn stall(&self) {
        self.stalled.set(true);
    }

    /// Whether the stream is reset because its client took nothing.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }
}

impl Streams {
    /// Enters a stream until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Guard {
        self.open.set(self.open.get() + 1);
        self.total.set(self.total.get() + 1);
        let progress = Rc::new(Progress::default());
        Guard { streams: Rc::clone(self), progress, complete: false }
    }

    /// The task to wake when the last stream has ended.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut held = self.waker.borrow_mut();
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// Whether no stream is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.get() == 0
    }

    /// When the last stream ended, if there was one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get()
    }

    /// Whether the stream that ended last was reset because its client took nothing.
    pub(super) fn ended_stalled(&self) -> bool {
        self.ended_stalled.get()
    }

    /// Whether the client resets streams for a living: each costs work that nobody waits for (RFC 9113 section 10.5).
    pub(super) fn is_flood(&self) -> bool {
        self.reset.get() >= RESETS && self.reset.get() * 2 > self.total.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// One stream that is being served, its answer's body included.
pub(super) struct Guard {
    streams: Rc<Streams>,
    progress: Rc<Progress>,
    complete: bool,
}

impl Guard {
    /// The answer is whole, or it broke off through no doing of the client's.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// What the client takes of the answer.
    pub(super) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let streams = &self.streams;
        let stalled = self.progress.is_stalled();
        streams.ended_stalled.set(stalled);
        if !self.complete && !stalled {
            streams.reset.set(streams.reset.get() + 1);
            streams.wake();
        }
        streams.open.set(streams.open.get() - 1);
        if streams.open.get() == 0 {
            streams.idle_since.set(Some(clock::now()));
            streams.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_waits_from_the_last_byte_that_was_taken() {
        let (progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        progress.took(at(1));
        assert_eq!(progress.waiting_since(), None, "the client waits for the service");
        progress.handed(at(2));
        assert_eq!(progress.waiting_since(), Some(at(2)));
        progress.took(at(3));
        assert_eq!(progress.waiting_since(), Some(at(3)));
        progress.wanted();
        assert_eq!(progress.waiting_since(), None);
    }

    #[test]
    fn a_stalled_stream_is_no_reset_of_the_client() {
        let streams = Rc::new(Streams::default());
        for _ in 0..RESETS * 2 {
            let guard = streams.enter();
            guard.progress().stall();
            assert!(!streams.is_empty() && guard.progress().is_stalled());
            drop(guard);
            assert!(streams.is_empty() && streams.ended_stalled() && !streams.is_flood());
        }
        for _ in 0..RESETS * 4 {
            drop(streams.enter());
        }
        assert!(streams.is_flood() && !streams.ended_stalled());
    }
}
