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
    /// Its place in the balance: already that of the core it goes to.
    pub balanced: Counted,
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
    pub fn count(&self, core: usize) -> Counted {
        self.open[core].fetch_add(1, Ordering::Relaxed);
        Counted { open: Arc::clone(&self.open), core }
    }

    /// How many connections are open on all cores.
    pub fn open(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Chooses the core that should serve a connection which `core` has accepted, and counts it there in the same step: a
    /// connection on its way counts already, so neither a burst nor two cores at once give more than evens them out.
    pub fn place(&self, core: usize) -> Counted {
        // Where it fails another core has counted one meanwhile, mostly; after so many times this core keeps what it has.
        for _ in 0..self.open.len() {
            let mine = self.open[core].load(Ordering::Relaxed);
            let counts = self.open.iter().map(|open| open.load(Ordering::Relaxed)).enumerate();
            let Some((least, count)) = counts.min_by_key(|(_, open)| *open) else { break };
            if mine < count + AHEAD {
                break;
            }
            let more = self.open[least].compare_exchange_weak(
                count,
                count + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if more.is_ok() {
                return Counted { open: Arc::clone(&self.open), core: least };
            }
        }
        self.count(core)
    }

    /// Gives a connection that `core` has accepted to the one that it is counted on.
    ///
    /// # Errors
    /// The connection comes back, counted on `core`, where the other one has too many waiting or is no more.
    pub fn give(&self, core: usize, moved: Moved) -> Result<(), Moved> {
        self.doors[moved.balanced.core].try_send(moved).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(moved) | mpsc::error::TrySendError::Closed(moved) => {
                Moved { balanced: self.count(core), ..moved }
            }
        })
    }
}

/// One open connection in the balance.
pub struct Counted {
    open: Arc<[AtomicUsize]>,
    core: usize,
}

impl Counted {
    /// The core that it is counted on.
    pub fn core(&self) -> usize {
        self.core
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open[self.core].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
