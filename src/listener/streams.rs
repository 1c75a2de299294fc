//! The streams of one HTTP/2 connection that are being served: when it is idle, and when its client has stalled.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::net::Timer;
use crate::runtime::clock;

/// So many resets are no flood yet: a browser leaves pages.
const RESETS: u64 = 200;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    slots: RefCell<Vec<Slot>>,
    open: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
    /// How many there were, and how many of them the client has reset before their answer was complete.
    total: Cell<u64>,
    reset: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    used: bool,
    /// When a piece of the answer was handed over that has not been asked on from yet.
    handed: Option<Instant>,
}

impl Streams {
    /// Enters a stream until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Guard {
        self.open.set(self.open.get() + 1);
        self.total.set(self.total.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let at = slots.iter().position(|slot| !slot.used).unwrap_or(slots.len());
        if at == slots.len() {
            slots.push(Slot::default());
        }
        slots[at] = Slot { used: true, handed: None };
        Guard { streams: Rc::clone(self), at, complete: false }
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

    /// Whether the client has taken nothing of any answer for so long. While one stream still waits for its service,
    /// or is being read, the connection is alive, and a paused one beside it only costs its bounded buffer.
    pub(super) fn is_stalled(&self, limit: Duration, timer: &mut Timer, cx: &mut Context<'_>) -> bool {
        let mut newest = None;
        for slot in self.slots.borrow().iter().filter(|slot| slot.used) {
            let Some(handed) = slot.handed else { return false };
            newest = newest.max(Some(handed));
        }
        newest.is_some_and(|newest| timer.poll(newest + limit, cx).is_ready())
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
    at: usize,
    complete: bool,
}

impl Guard {
    /// The answer is whole, or it broke off through no doing of the client's.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// A piece of the answer was handed over (`true`), or the next one is asked for.
    pub(super) fn handed(&self, handed: bool) {
        self.streams.slots.borrow_mut()[self.at].handed = handed.then(clock::now);
        if handed {
            // The connection has to look when this was: nothing else may wake it while the client takes nothing.
            self.streams.wake();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.complete {
            self.streams.reset.set(self.streams.reset.get() + 1);
            self.streams.wake();
        }
        self.streams.slots.borrow_mut()[self.at] = Slot::default();
        self.streams.open.set(self.streams.open.get() - 1);
        if self.streams.open.get() == 0 {
            self.streams.idle_since.set(Some(clock::now()));
            self.streams.wake();
        }
    }
}
