//! Idle connections of one upstream, a shelf a core: a connection stays with the runtime that opened it.

#![expect(clippy::vec_box, reason = "a connection goes from shelf to call and back without being copied")]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::exchange::CoreId;

use super::connection::Connection;

/// A connection that has been idle this long is closed: services commonly close theirs after a minute.
const MAX_IDLE: Duration = Duration::from_secs(55);

/// How many idle connections a core keeps for one upstream.
const MAX_KEPT: usize = 256;

/// The shelves of one upstream.
pub struct Pools {
    shelves: Box<[Shelf]>,
}

// One core alone takes from its shelf, so the lock is never waited for but by `sweep` after a reload; the padding
// keeps two cores off one cache line.
#[repr(align(128))]
struct Shelf(Mutex<Vec<Box<Connection>>>);

impl Pools {
    pub(in crate::upstream) fn new(cores: usize) -> Pools {
        Pools { shelves: (0..cores.max(1)).map(|_| Shelf(Mutex::new(Vec::new()))).collect() }
    }

    fn shelf(&self, core: CoreId) -> std::sync::MutexGuard<'_, Vec<Box<Connection>>> {
        self.shelves[core.0 % self.shelves.len()].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still alive: the others then grow old and are closed.
    pub(in crate::upstream) fn take(&self, core: CoreId, now: Instant) -> Option<Box<Connection>> {
        let mut shelf = self.shelf(core);
        while let Some(mut connection) = shelf.pop() {
            if connection.is_usable(now, MAX_IDLE) {
                return Some(connection);
            }
        }
        None
    }

    /// Puts a connection back whose last answer has been read to its end.
    pub(in crate::upstream) fn put(&self, core: CoreId, mut connection: Box<Connection>, now: Instant) {
        connection.rest(now);
        let mut shelf = self.shelf(core);
        if shelf.len() < MAX_KEPT {
            shelf.push(connection);
        }
    }

    pub(in crate::upstream) fn sweep(&self, core: CoreId, now: Instant) {
        self.shelf(core).retain_mut(|connection| connection.is_usable(now, MAX_IDLE));
    }
}
