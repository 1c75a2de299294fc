//! Counters in this process: a fixed window per key, started by the first hit.
//!
//! One decision is one lock, one clock reading and one probe of a small table, and allocates nothing. A key is kept
//! as a fingerprint of 128 bits, keyed at random when the store is made: every key costs the same few bytes however
//! long it is, and no client can choose keys that fall on one place or on each other.
//!
//! **Bounds.** A store holds at most `max_keys` keys, divided evenly among its shards. A new key sweeps a few places
//! of the table and frees those whose window is over, so a table that is used stays clean without a background task.
//! Where a shard is full all the same, the new key takes the place of an expired one among the places looked at, else
//! of the one that has spent least (the soonest to end among equals): a flood of fresh keys displaces fresh keys, and
//! nobody gets a spent budget back by making the store forget it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Clock, Decision, Limit, Store, Taken};

/// How many keys a store holds unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Places of the table that a new key sweeps.
const SWEEP: usize = 4;
/// Places of the table among which a full shard looks for the key to give up.
const SAMPLE: usize = 16;
const MAX_SHARDS: usize = 64;
/// Below this many keys a shard is not worth its own lock, and an even division would be too coarse.
const MIN_KEYS_PER_SHARD: usize = 1024;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// A [`Store`] in memory, exact among all threads of this process.
pub struct MemoryStore {
    shards: Box<[Padded]>,
    seed: RandomState,
    epoch: Instant,
}

/// A shard with a cache line (a pair of them, as they are fetched) of its own, so that neighbours do not slow it.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl MemoryStore {
    /// A store for at most so many keys (at least one).
    pub fn new(max_keys: usize) -> MemoryStore {
        let max_keys = max_keys.max(1);
        let wanted = (max_keys / MIN_KEYS_PER_SHARD).clamp(1, MAX_SHARDS);
        let shards = if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 };
        let room = max_keys / shards;
        MemoryStore {
            shards: (0..shards).map(|_| Padded(Mutex::new(Shard::new(room)))).collect(),
            seed: RandomState::new(),
            epoch: Instant::now(),
        }
    }

    /// How many keys are held, expired ones that nobody has swept yet among them.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().unwrap_or_else(PoisonError::into_inner).used).sum()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fingerprint(&self, key: &[u8]) -> [u64; 2] {
        let mut hasher = self.seed.build_hasher();
        hasher.write(key);
        let first = hasher.finish();
        // The hasher's state is wider than its result: one more round over it gives the second half.
        hasher.write_u64(first);
        [first, hasher.finish()]
    }

    fn decide(&self, key: &[u8], limit: Limit, clock: &dyn Clock) -> Decision {
        let print = self.fingerprint(key);
        let shard = &self.shards[print[1] as usize & (self.shards.len() - 1)];
        let mut shard = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now().saturating_duration_since(self.epoch).as_nanos() as u64;
        let slot = shard.slot(print, now);

        if slot.ends <= now {
            slot.ends = now.saturating_add(limit.window_ms.max(1).saturating_mul(NANOS_PER_MILLI));
            slot.spent = 0;
        }
        let admitted = slot.spent < limit.limit;
        slot.spent += u64::from(admitted);
        Decision {
            admitted,
            remaining: limit.limit.saturating_sub(slot.spent),
            reset_ms: (slot.ends - now).div_ceil(NANOS_PER_MILLI),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new(DEFAULT_MAX_KEYS)
    }
}

impl Store for MemoryStore {
    fn take<'a>(&'a self, key: &[u8], limit: Limit, clock: &'a dyn Clock) -> Taken<'a> {
        Taken::Ready(self.decide(key, limit, clock))
    }
}

/// One key's window. A place of the table is free where `print` is [`FREE`].
#[derive(Clone, Copy)]
struct Slot {
    print: [u64; 2],
    /// When the window ends, in nanoseconds since the store was made; 0 for a key that has just come.
    ends: u64,
    spent: u64,
}

const FREE: [u64; 2] = [0, 0];
const EMPTY: Slot = Slot { print: FREE, ends: 0, spent: 0 };

/// An open-addressed table with linear probing; removing shifts followers back, so it never fills with leftovers.
struct Shard {
    slots: Vec<Slot>,
    used: usize,
    room: usize,
    /// Where the next sweep begins.
    cursor: usize,
}

impl Shard {
    fn new(room: usize) -> Shard {
        Shard { slots: vec![EMPTY; 8], used: 0, room, cursor: 0 }
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// Where this key is, or the free place where it would be.
    fn find(&self, print: [u64; 2]) -> usize {
        let mask = self.mask();
        let mut at = print[0] as usize & mask;
        // Never endless: a quarter of the table at least is free.
        while self.slots[at].print != print && self.slots[at].print != FREE {
            at = (at + 1) & mask;
        }
        at
    }

    /// The key's slot, made if it is new.
    fn slot(&mut self, print: [u64; 2], now: u64) -> &mut Slot {
        let print = if print == FREE { [1, 0] } else { print };
        let mut at = self.find(print);
        if self.slots[at].print == FREE {
            self.sweep(SWEEP, now);
            if self.used >= self.room {
                self.give_up_one(now);
            }
            self.grow();
            at = self.find(print);
            self.slots[at] = Slot { print, ..EMPTY };
            self.used += 1;
        }
        &mut self.slots[at]
    }

    /// Frees the expired among the next so many places.
    fn sweep(&mut self, places: usize, now: u64) {
        let mask = self.mask();
        for _ in 0..places.min(self.slots.len()) {
            let slot = &self.slots[self.cursor];
            if slot.print != FREE && slot.ends <= now {
                // Another one may have moved into this place: it is looked at next.
                self.remove(self.cursor);
            } else {
                self.cursor = (self.cursor + 1) & mask;
            }
        }
    }

    /// Makes room for one by the rule in the head of this file.
    fn give_up_one(&mut self, now: u64) {
        let mask = self.mask();
        let mut worst: Option<(bool, u64, u64, usize)> = None;
        let mut seen = 0;
        for _ in 0..self.slots.len() {
            let slot = &self.slots[self.cursor];
            if slot.print != FREE {
                let candidate = (slot.ends > now, slot.spent, slot.ends, self.cursor);
                worst = Some(worst.map_or(candidate, |worst| worst.min(candidate)));
                seen += 1;
            }
            self.cursor = (self.cursor + 1) & mask;
            if seen == SAMPLE {
                break;
            }
        }
        if let Some((.., at)) = worst {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        let mask = self.mask();
        let mut hole = at;
        let mut next = (hole + 1) & mask;
        while self.slots[next].print != FREE {
            let home = self.slots[next].print[0] as usize & mask;
            // It may move back only if its home does not lie behind the hole.
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    /// Doubles the table before it is three quarters full.
    fn grow(&mut self) {
        if (self.used + 1) * 4 <= self.slots.len() * 3 {
            return;
        }
        let larger = vec![EMPTY; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        self.cursor = 0;
        for slot in old.into_iter().filter(|slot| slot.print != FREE) {
            let at = self.find(slot.print);
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests;
