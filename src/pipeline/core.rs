//! What one core of the gate owns and lends to every exchange on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::shed::Shed;
use crate::exchange::{CoreId, RequestId};
use crate::net::ReadBuffer;
use crate::runtime::{clock, random};
use crate::telemetry::CoreLog;
use crate::telemetry::metrics::Metrics;

/// How many idle connections of a core keep their buffers for a while, because their next request may be on its way.
const MAX_WARM: usize = 128;

/// One thread, one runtime, and what is theirs alone.
pub struct Core {
    /// Which one.
    pub id: CoreId,
    /// This core's part of the access log, unless it is off.
    pub log: Option<CoreLog>,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// What the process has to do.
    pub shed: Arc<Shed>,
    /// Where its connections read heads, one after the other.
    pub read_buffer: RefCell<ReadBuffer>,
    /// How many streams of HTTP/2 have an answer that waits for room in its client's window.
    pub waiting_streams: Rc<Cell<usize>>,
    random: RefCell<random::Rng>,
    warm: Cell<usize>,
    draining: Cell<bool>,
    cut_off: Cell<Option<&'static str>>,
    date: RefCell<Option<(Instant, String)>>,
    connections: RefCell<Connections>,
}

#[derive(Default)]
struct Connections {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Core {
    /// A core at the start of its life.
    pub fn new(id: CoreId, log: Option<CoreLog>, metrics: Arc<Metrics>) -> Core {
        Core {
            id,
            log,
            metrics,
            shed: Arc::default(),
            read_buffer: RefCell::default(),
            waiting_streams: Rc::default(),
            warm: Cell::new(0),
            random: RefCell::new(random::generator()),
            draining: Cell::new(false),
            cut_off: Cell::new(None),
            date: RefCell::new(None),
            connections: RefCell::new(Connections::default()),
        }
    }

    /// The same, with what all cores of the process have to do.
    #[must_use]
    pub fn sharing(self, shed: Arc<Shed>) -> Core {
        Core { shed, ..self }
    }

    /// A new request id.
    pub fn request_id(&self) -> RequestId {
        let now = clock::since_epoch();
        RequestId::make(now.as_millis() as u64, self.random.borrow_mut().u128(..))
    }

    /// The date as answers tell it (RFC 9110 section 5.6.7), written anew at most twice a second.
    pub fn with_date(&self, now: Instant, use_it: impl FnOnce(&[u8])) {
        let mut held = self.date.borrow_mut();
        match &*held {
            Some((at, text)) if now.saturating_duration_since(*at) < Duration::from_millis(500) => {
                use_it(text.as_bytes());
            }
            _ => {
                let text = httpdate::fmt_http_date(clock::wall());
                use_it(text.as_bytes());
                *held = Some((now, text));
            }
        }
    }

    /// Whether no further request is to be taken.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Takes no further request: every connection is woken and ends as soon as it is idle.
    pub fn drain(&self) {
        self.draining.set(true);
        self.wake_all();
    }

    /// Notes that everything that still runs on this core is about to be dropped, and why in one word.
    pub fn cut_off(&self, reason: &'static str) {
        self.cut_off.set(Some(reason));
    }

    /// Why everything that still runs is being dropped, if it is.
    pub fn cut_off_reason(&self) -> Option<&'static str> {
        self.cut_off.get()
    }

    /// Wakes every connection, so that it looks again at what has changed.
    pub fn wake_all(&self) {
        for waker in self.connections.borrow().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Enters a connection by the waker of its task, so that [`Core::drain`] reaches it, until the guard is dropped.
    pub fn enter(self: &Rc<Self>, waker: Waker) -> Entered {
        let mut connections = self.connections.borrow_mut();
        let at = match connections.free.pop() {
            Some(at) => {
                connections.wakers[at] = Some(waker);
                at
            }
            None => {
                connections.wakers.push(Some(waker));
                connections.wakers.len() - 1
            }
        };
        Entered { core: Rc::clone(self), at }
    }

    /// Lets an idle connection keep its buffers for a while, until the guard is dropped; `None` where as many as may do so
    /// already. So what idle connections hold is bounded, however many there are.
    pub fn keep_warm(&self) -> Option<Warm<'_>> {
        let warm = self.warm.get();
        if warm >= MAX_WARM {
            return None;
        }
        self.warm.set(warm + 1);
        Some(Warm(&self.warm))
    }

    /// How many connections are open on this core.
    pub fn open(&self) -> usize {
        let connections = self.connections.borrow();
        connections.wakers.len() - connections.free.len()
    }
}

/// An idle connection that keeps its buffers.
pub struct Warm<'c>(&'c Cell<usize>);

impl Drop for Warm<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection that is known to its core.
pub struct Entered {
    core: Rc<Core>,
    at: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut connections = self.core.connections.borrow_mut();
        connections.wakers[self.at] = None;
        connections.free.push(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_idle_connections_keep_their_buffers_and_no_more() {
        let core = Core::new(CoreId(0), None, Metrics::new(1));
        let mut warm: Vec<Warm<'_>> = (0..MAX_WARM).map(|_| core.keep_warm().unwrap()).collect();
        assert!(core.keep_warm().is_none());
        warm.pop();
        assert!(core.keep_warm().is_some());
    }
}
