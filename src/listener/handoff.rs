//! Evens out the cores: the kernel spreads connections by a hash, and a few long-lived ones may all fall on one core.

use std::net::SocketAddr;
use std::sync::Arc;

use super::connections::OpenConnection;
use crate::net::Detached;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};
use crate::runtime::sync::mpsc;

/// How far ahead of the least busy core one must be before it gives a connection away. Moving one costs a few
/// microseconds once, so short-lived connections, which keep the cores even by themselves, mostly stay.
const AHEAD: usize = 2;

/// Connections that wait to be taken over by a core.
const WAITING: usize = 1024;

/// A connection on its way to another core.
pub struct Moved {
    /// The connection.
    pub stream: Detached,
    /// The client.
    pub peer: SocketAddr,
    /// The listener it came in by.
    pub listener: usize,
    /// Its place among the open connections.
    pub counted: OpenConnection,
}

/// Where a core takes connections over.
pub type Exit = mpsc::Receiver<Moved>;

/// The balance between the cores.
pub struct Handoff {
    open: Arc<[AtomicUsize]>,
    doors: Vec<mpsc::Sender<Moved>>,
}

impl Handoff {
    /// A balance over so many cores, and the door each core takes connections from.
    pub fn new(cores: usize) -> (Arc<Handoff>, Vec<Exit>) {
        let (doors, exits) = (0..cores).map(|_| mpsc::channel(WAITING)).unzip();
        let open = (0..cores).map(|_| AtomicUsize::new(0)).collect();
        (Arc::new(Handoff { open, doors }), exits)
    }

    /// Counts a connection that opens on a core until the guard is dropped.
    pub fn count(self: &Arc<Self>, core: usize) -> Counted {
        self.open[core].fetch_add(1, Ordering::Relaxed);
        Counted { open: Arc::clone(&self.open), core }
    }

    /// How many connections are open on all cores.
    pub fn open(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Which core should take a connection that `core` has accepted, if not itself.
    pub fn better(&self, core: usize) -> Option<usize> {
        let mine = self.open[core].load(Ordering::Relaxed);
        let (least, count) = self
            .open
            .iter()
            .enumerate()
            .map(|(at, open)| (at, open.load(Ordering::Relaxed)))
            .min_by_key(|(_, open)| *open)?;
        (mine >= count + AHEAD).then_some(least)
    }

    /// Gives a connection to another core.
    ///
    /// # Errors
    /// The connection comes back where that core has too many waiting.
    pub fn give(&self, core: usize, moved: Moved) -> Result<(), Moved> {
        self.doors[core].try_send(moved).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(moved) | mpsc::error::TrySendError::Closed(moved) => moved,
        })
    }
}

/// One open connection in the balance.
pub struct Counted {
    open: Arc<[AtomicUsize]>,
    core: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open[self.core].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
