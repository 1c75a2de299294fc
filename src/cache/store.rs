//! The store: its shards, and the bound that holds for all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::config::CacheBounds;
use crate::exchange::{Request, Scheme};
use crate::runtime::clock;

use super::entry::Entry;
use super::invalid::{Invalid, Resource};
use super::key::{Key, plain_host};
use super::numbers::{Outcome, Statistics};
use super::shard::Shard;

/// Most shards; each has a lock of its own.
const MAX_SHARDS: u64 = 16;
/// A shard of less than this would rather forget what is used than what is not.
const BYTES_PER_SHARD: u64 = 4 << 20;

/// The store: one for the process, for all cores. It never holds more bytes than it may, and gives up first what was
/// used longest ago (in each of its shards).
pub struct Cache {
    shards: Box<[Shard]>,
    /// Bytes of every entry that is held or about to be put in: never more than `max_bytes`.
    bytes: AtomicU64,
    max_bytes: AtomicU64,
    max_entry: AtomicU64,
    /// Bytes of copies that are under way.
    lent: AtomicU64,
    /// The shard that gives something up next.
    hand: AtomicUsize,
    stores: AtomicU64,
    evictions: AtomicU64,
    invalid: Invalid,
}

impl Cache {
    /// An empty store of at most so many bytes, an entry at most [`CacheBounds::MAX_ENTRY`] of them.
    pub fn new(max_bytes: u64) -> Cache {
        Cache::bounded(CacheBounds { max_size: max_bytes, max_entry: CacheBounds::MAX_ENTRY.min(max_bytes) })
    }

    /// An empty store with these bounds.
    pub fn bounded(bounds: CacheBounds) -> Cache {
        let shards = (bounds.max_size / BYTES_PER_SHARD).clamp(1, MAX_SHARDS);
        // A power of two, so that a part of the key is the number of its shard.
        let shards = 1 << shards.ilog2();
        Cache {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            bytes: AtomicU64::new(0),
            max_bytes: AtomicU64::new(bounds.max_size),
            max_entry: AtomicU64::new(bounds.max_entry),
            lent: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            stores: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            invalid: Invalid::new(clock::now()),
        }
    }

    /// Takes new bounds, and gives up what they have no room for.
    pub fn resize(&self, bounds: CacheBounds) {
        self.max_bytes.store(bounds.max_size, Ordering::Relaxed);
        self.max_entry.store(bounds.max_entry, Ordering::Relaxed);
        while self.bytes.load(Ordering::Relaxed) > bounds.max_size && self.evict() {}
    }

    /// What an entry may take at most, head and key included.
    pub fn max_entry(&self) -> u64 {
        self.max_entry.load(Ordering::Relaxed)
    }

    /// The entry under a key, fresh or not: it is used now.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shard(key).get(key)
    }

    /// Keeps an entry, in the place of the one that is there. `false` where it is too large, or where all room is being
    /// filled by others in this moment: then nothing has changed.
    pub fn put(&self, key: Key, entry: Entry) -> bool {
        let entry = entry.compact();
        let size = entry.size();
        let most = self.max_entry().min(self.max_bytes.load(Ordering::Relaxed));
        if size > most || !self.reserve(size) {
            return false;
        }
        if let Some(freed) = self.shard(&key).put(key, Arc::new(entry), size) {
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
        self.stores.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Forgets what is under a key.
    pub fn remove(&self, key: &Key) {
        if let Some(freed) = self.shard(key).remove(key) {
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// Counts what a look for a key came to: who looks knows alone.
    pub fn count(&self, key: &Key, outcome: Outcome) {
        self.shard(key).count(outcome);
    }

    /// What a request names: its host and path at a listener. Whatever is stored of it, for whatever query, variant and
    /// client, is over when it is changed. `scheme` is the public one.
    pub fn resource(&self, listener: &str, scheme: Scheme, request: &Request) -> Resource {
        let host = plain_host(request.host(), scheme);
        self.invalid.resource(&[listener.as_bytes(), &host, request.target.path().as_bytes()])
    }

    /// Says that a resource was changed, and that what was known of it is over (RFC 9111 section 4.4).
    pub fn invalidate(&self, resource: Resource, now: Instant) {
        self.invalid.set(resource, now);
    }

    /// Whether what was stored, or asked for, at that moment is over. Rarely also where another resource was changed.
    pub fn is_invalidated(&self, resource: Resource, then: Instant) -> bool {
        self.invalid.is_set(resource, then)
    }

    /// Leave to fetch what is under a key anew; `None` while somebody else has it.
    pub fn claim(self: &Arc<Cache>, key: &Key) -> Option<Claim> {
        self.shard(key).claim(*key).then(|| Claim { cache: Arc::clone(self), key: *key })
    }

    /// The numbers.
    pub fn statistics(&self) -> Statistics {
        let mut all = Statistics {
            stores: self.stores.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            max_bytes: self.max_bytes.load(Ordering::Relaxed),
            ..Statistics::default()
        };
        self.shards.iter().for_each(|shard| shard.add_to(&mut all));
        all
    }

    /// Forgets what is of no use any more, and gives memory back: for a timer, off the path. A lock is held for a part
    /// of a shard at a time.
    pub fn tidy(&self, now: Instant) {
        for shard in &self.shards {
            shard.tidy(now, |freed| {
                self.bytes.fetch_sub(freed, Ordering::Relaxed);
            });
        }
    }

    fn shard(&self, key: &Key) -> &Shard {
        &self.shards[key.spread() & (self.shards.len() - 1)]
    }

    /// Takes room for so many bytes, at the cost of others.
    fn reserve(&self, size: u64) -> bool {
        loop {
            let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let after = used.checked_add(size)?;
                (after <= self.max_bytes.load(Ordering::Relaxed)).then_some(after)
            });
            if taken.is_ok() {
                return true;
            }
            if !self.evict() {
                return false;
            }
        }
    }

    /// Gives one entry up; `false` where there is none.
    fn evict(&self) -> bool {
        let first = self.hand.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.shards.len() {
            let shard = &self.shards[first.wrapping_add(turn) & (self.shards.len() - 1)];
            if let Some(freed) = shard.give_up() {
                self.bytes.fetch_sub(freed, Ordering::Relaxed);
                self.evictions.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    /// Takes room for a copy that is under way: all of them together take at most a quarter of the store.
    pub(super) fn lend(&self, bytes: u64) -> bool {
        let most = (self.max_bytes.load(Ordering::Relaxed) / 4).max(self.max_entry());
        self.lent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lent| {
                lent.checked_add(bytes).filter(|after| *after <= most)
            })
            .is_ok()
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.lent.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Leave to fetch what is under a key anew; it ends with this value.
pub struct Claim {
    cache: Arc<Cache>,
    key: Key,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.cache.shard(&self.key).unclaim(&self.key);
    }
}

#[cfg(test)]
mod tests;
