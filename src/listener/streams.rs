//! The streams of one HTTP/2 connection that are being served: when it is idle, and when its client has stalled.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::net::Timer;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    slots: RefCell<Vec<Slot>>,
    open: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
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
        let mut slots = self.slots.borrow_mut();
        let at = slots.iter().position(|slot| !slot.used).unwrap_or(slots.len());
        if at == slots.len() {
            slots.push(Slot::default());
        }
        slots[at] = Slot { used: true, handed: None };
        Guard { streams: Rc::clone(self), at }
    }

    /// The task to wake when the last stream has ended.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut held = self.waker.borrow_mut();
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// Whether no stream has been open for so long.
    pub(super) fn is_idle(&self, limit: Duration, timer: &mut Timer, cx: &mut Context<'_>) -> bool {
        if self.open.get() > 0 {
            return false;
        }
        let since = self.idle_since.get().unwrap_or_else(Instant::now);
        self.idle_since.set(Some(since));
        timer.poll(since + limit, cx).is_ready()
    }

    /// Whether the client has not taken a piece of an answer for so long.
    pub(super) fn is_stalled(&self, limit: Duration, timer: &mut Timer, cx: &mut Context<'_>) -> bool {
        let Some(oldest) = self.slots.borrow().iter().filter_map(|slot| slot.handed).min() else {
            return false;
        };
        timer.poll(oldest + limit, cx).is_ready()
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
}

impl Guard {
    /// A piece of the answer was handed over (`true`), or the next one is asked for.
    pub(super) fn handed(&self, handed: bool) {
        self.streams.slots.borrow_mut()[self.at].handed = handed.then(Instant::now);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.streams.slots.borrow_mut()[self.at] = Slot::default();
        self.streams.open.set(self.streams.open.get() - 1);
        if self.streams.open.get() == 0 {
            self.streams.idle_since.set(Some(Instant::now()));
            self.streams.wake();
        }
    }
}
