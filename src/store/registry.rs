//! Where limits get their budgets from, so that a reload gives nobody a new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::memory::Memory;
use super::{Clock, Counters, Place, Store, Wanted};
use crate::exchange::Name;

/// The budgets of every limit that a snapshot holds, by name; one for the life of the process.
pub struct Registry {
    clock: Arc<dyn Clock>,
    memory: Mutex<HashMap<Name, (usize, Weak<Memory>)>>,
}

impl Registry {
    /// No budgets yet.
    pub fn new(clock: Arc<dyn Clock>) -> Registry {
        Registry { clock, memory: Mutex::default() }
    }

    /// Whether there is a Redis to count in.
    pub fn has_redis(&self) -> bool {
        false
    }

    /// Frees what is over and gives memory back: for a timer, off the path.
    pub fn tidy(&self) {
        let known: Vec<Arc<Memory>> =
            lock(&self.memory).values().filter_map(|(_, memory)| memory.upgrade()).collect();
        known.iter().for_each(|memory| memory.tidy());
        lock(&self.memory).retain(|_, (_, memory)| memory.strong_count() > 0);
    }
}

impl Counters for Registry {
    fn of(&self, wanted: &Wanted) -> Arc<dyn Store> {
        match wanted.place {
            Place::Memory | Place::Redis => {
                let mut memory = lock(&self.memory);
                let known = memory.get(&wanted.name).filter(|(max_keys, _)| *max_keys == wanted.max_keys);
                if let Some(known) = known.and_then(|(_, memory)| memory.upgrade()) {
                    return known;
                }
                let new = Arc::new(Memory::new(wanted.max_keys, Arc::clone(&self.clock)));
                memory.insert(Name::clone(&wanted.name), (wanted.max_keys, Arc::downgrade(&new)));
                new
            }
        }
    }
}

/// Whoever panicked while holding it left a map, which is never half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
