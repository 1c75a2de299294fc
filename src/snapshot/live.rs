//! The handle that a reload swaps, and how a core notices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Pinned, Snapshot};

/// The snapshot in force.
pub struct Live {
    version: AtomicU64,
    snapshot: Mutex<Arc<Snapshot>>,
}

impl Live {
    /// The first snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Live {
        Live { version: AtomicU64::new(snapshot.version), snapshot: Mutex::new(snapshot) }
    }

    /// The snapshot in force.
    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in force, whole and at once.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        let version = snapshot.version;
        let old = {
            let mut held = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, snapshot)
        };
        self.version.store(version, Ordering::Release);
        // Outside the lock: the last holder frees every table of the old one.
        drop(old);
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// One core's view of one listener: wraps the snapshot in a count of its own and renews it when the version moves,
/// so that cores do not fight over one reference count.
pub struct Watcher {
    live: Arc<Live>,
    listener: String,
    pinned: RefCell<Option<Rc<Pinned>>>,
    closing: Cell<bool>,
    left: Cell<bool>,
}

impl Watcher {
    /// A view of the listener of this name.
    pub fn new(live: Arc<Live>, listener: &str) -> Watcher {
        Watcher {
            live,
            listener: listener.to_owned(),
            pinned: RefCell::new(None),
            closing: Cell::new(false),
            left: Cell::new(false),
        }
    }

    /// The snapshot for an exchange that starts now; `None` once the listener is no longer configured.
    pub fn pin(&self) -> Option<Rc<Pinned>> {
        if let Some(pinned) = &*self.pinned.borrow()
            && pinned.snapshot.version == self.live.version()
        {
            return Some(Rc::clone(pinned));
        }
        let renewed = Pinned::new(self.live.get(), &self.listener);
        // A listener that has left keeps its last snapshot for the requests still on its connections.
        if renewed.is_some() {
            *self.pinned.borrow_mut() = renewed;
        }
        self.pinned.borrow().clone()
    }

    /// Lets an old snapshot go, also on a core without traffic.
    pub fn refresh(&self) {
        self.pin();
    }

    /// Notes that the listener's socket is about to close: from now on every answer is the last of its connection.
    pub fn close(&self) {
        self.closing.set(true);
    }

    /// Whether the listener's socket is closing, or closed.
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Notes that the listener's socket is closed for good: its connections end as soon as they are idle.
    pub fn leave(&self) {
        self.left.set(true);
    }

    /// Whether the listener's socket is closed for good.
    pub fn has_left(&self) -> bool {
        self.left.get()
    }
}
