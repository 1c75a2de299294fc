//! A part of the store under a lock of its own: entries by key, in the order of their use.

use crate::runtime::hash::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::entry::Entry;
use super::key::Key;
use super::numbers::{Outcome, Statistics};

/// No place.
const NONE: u32 = u32::MAX;
/// Places that are looked through before the lock is given away.
const STRIDE: usize = 1024;
/// Places that are never worth giving back.
const FEW: usize = 64;

/// A shard; on lines of its own, so that cores which use others are not held up.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Shard {
    table: Mutex<Table>,
    /// What somebody fetches anew just now.
    claims: Mutex<HashSet<Key>>,
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
}

/// The entries, and a list through them from the one used last to the one used longest ago.
struct Table {
    places: HashMap<Key, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    first: u32,
    last: u32,
}

struct Slot {
    key: Key,
    /// `None` where the place is free.
    entry: Option<Arc<Entry>>,
    size: u64,
    before: u32,
    after: u32,
}

/// What was taken out: to be dropped when no lock is held.
struct Taken {
    _entry: Option<Arc<Entry>>,
    size: u64,
}

impl Shard {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let mut table = self.lock();
        let at = *table.places.get(key)?;
        table.unlink(at);
        table.link(at);
        table.slots[at as usize].entry.clone()
    }

    /// Puts an entry in, and tells how many bytes that has freed.
    pub(super) fn put(&self, key: Key, entry: Arc<Entry>, size: u64) -> Option<u64> {
        let before = self.lock().put(key, entry, size);
        before.map(|taken| taken.size)
    }

    pub(super) fn remove(&self, key: &Key) -> Option<u64> {
        let taken = self.lock().remove(key);
        taken.map(|taken| taken.size)
    }

    /// Gives up what was used longest ago.
    pub(super) fn give_up(&self) -> Option<u64> {
        let taken = {
            let mut table = self.lock();
            let last = table.last;
            if last == NONE { None } else { Some(table.take(last)) }
        };
        taken.map(|taken| taken.size)
    }

    /// Claims a key; `false` where it is claimed.
    pub(super) fn claim(&self, key: Key) -> bool {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
    }

    pub(super) fn unclaim(&self, key: &Key) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.remove(key);
        if claims.is_empty() {
            claims.shrink_to(FEW);
        }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Hit => &self.hits,
            Outcome::Miss => &self.misses,
            Outcome::Stale => &self.stale,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, all: &mut Statistics) {
        all.hits += self.hits.load(Ordering::Relaxed);
        all.misses += self.misses.load(Ordering::Relaxed);
        all.stale += self.stale.load(Ordering::Relaxed);
        all.entries += self.lock().places.len() as u64;
    }

    /// Forgets what is over, and tells of it.
    pub(super) fn tidy(&self, now: Instant, mut freed: impl FnMut(u64)) {
        let mut at = 0;
        loop {
            let mut over = Vec::new();
            {
                let mut table = self.lock();
                let end = table.slots.len().min(at + STRIDE);
                while at < end {
                    let slot = &table.slots[at];
                    if slot.entry.as_ref().is_some_and(|entry| !entry.is_kept(now)) {
                        over.push(table.take(at as u32));
                    }
                    at += 1;
                }
                if at >= table.slots.len() {
                    table.shrink();
                    at = usize::MAX;
                }
            }
            over.into_iter().for_each(|taken| freed(taken.size));
            if at == usize::MAX {
                return;
            }
        }
    }

    /// Whoever panicked while holding it did so between two whole states: nothing in here can fail half-way.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Table {
    fn default() -> Table {
        Table { places: HashMap::default(), slots: Vec::new(), free: Vec::new(), first: NONE, last: NONE }
    }
}

impl Table {
    fn put(&mut self, key: Key, entry: Arc<Entry>, size: u64) -> Option<Taken> {
        let before = self.remove(&key);
        let slot = Slot { key, entry: Some(entry), size, before: NONE, after: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.places.insert(key, at);
        self.link(at);
        before
    }

    fn remove(&mut self, key: &Key) -> Option<Taken> {
        let at = *self.places.get(key)?;
        Some(self.take(at))
    }

    /// Takes out what is at a place, which is not free.
    fn take(&mut self, at: u32) -> Taken {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        self.places.remove(&slot.key);
        self.free.push(at);
        Taken { _entry: slot.entry.take(), size: slot.size }
    }

    /// Makes a place the first of the list, which it is not in.
    fn link(&mut self, at: u32) {
        let first = self.first;
        let slot = &mut self.slots[at as usize];
        (slot.before, slot.after) = (NONE, first);
        match self.slots.get_mut(first as usize) {
            Some(next) => next.before = at,
            None => self.last = at,
        }
        self.first = at;
    }

    /// Takes a place out of the list.
    fn unlink(&mut self, at: u32) {
        let (before, after) = {
            let slot = &self.slots[at as usize];
            (slot.before, slot.after)
        };
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(slot) => slot.before = before,
            None => self.last = before,
        }
    }

    /// Gives memory back where most of it is not needed: made anew, in the same order.
    fn shrink(&mut self) {
        let held = self.places.len();
        if self.slots.len() <= FEW || self.slots.len() / 4 < held {
            return;
        }
        let old = std::mem::take(self);
        self.places.reserve(held);
        self.slots.reserve_exact(held);
        let mut at = old.last;
        while let Some(slot) = old.slots.get(at as usize) {
            if let Some(entry) = &slot.entry {
                self.put(slot.key, Arc::clone(entry), slot.size);
            }
            at = slot.before;
        }
    }
}

#[cfg(test)]
mod tests;
