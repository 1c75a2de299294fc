//! Counters in this process, exact among all its threads.
//!
//! Start with [`Memory`]: the budgets of one limit. A key is kept as a fingerprint of 128 bits, keyed at random when
//! the counters are made: every key costs the same few bytes however long it is, and no client can choose keys that fall
//! on one place or on each other. The keys are spread over shards with a lock each; a decision is one lock, one clock
//! reading and one probe of a small table (`table.rs`), and allocates nothing.
//!
//! **Several limits, one step.** [`take_all`] holds the shards of all keys it asks, taken in the order of their
//! addresses, so that a request which one limit refuses never takes anything from another, not even for a moment in
//! which a third request could be refused for it.
//!
//! **Bounds.** At most `max_keys` keys, divided evenly among the shards, and one in each shard at least. The number is not
//! that of the counters but of the [`Memory`] that asks: a reload that changes it makes another [`Memory`] over the same
//! counters ([`Memory::resized`]), and one that fails has changed nothing. A new key frees expired ones on its way, so a
//! table that is used stays clean; [`Memory::tidy`] frees those of a table that is not, and gives memory back. What a full
//! shard gives up is told in `table.rs`.

mod slot;
mod table;

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use smallvec::SmallVec;

use super::algorithm::{State, Verdict};
use super::{Clock, Decision, Limit, Source, Store, Taken, Ticket};
use crate::runtime::hash::Seed;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard};
use table::Table;

/// How many keys a limit keeps unless told otherwise.
pub const DEFAULT_MAX_KEYS: usize = 1_000_000;

const MAX_SHARDS: usize = 64;
/// Below this many keys a shard is not worth its own lock, and an even division would be too coarse.
const MIN_KEYS_PER_SHARD: usize = 1024;

/// The budgets of one limit, in memory.
pub struct Memory {
    counts: Arc<Counts>,
    /// The most keys in a shard.
    room: usize,
}

/// What stays when the number of keys changes.
struct Counts {
    shards: Box<[Padded]>,
    seed: Seed,
    epoch: Instant,
    clock: Arc<dyn Clock>,
    evicted: AtomicU64,
}

/// A shard with a cache line (a pair of them, as they are fetched) of its own, so that neighbours do not slow it.
#[repr(align(128))]
struct Padded(Mutex<Table>);

impl Padded {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // A table is never left half-changed: nothing that changes it can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question of several that are decided together.
pub struct Ask<'a> {
    /// The budgets.
    pub memory: &'a Memory,
    /// Whose.
    pub key: &'a [u8],
    /// What a key may spend.
    pub limit: &'a Limit,
    /// How many permits.
    pub cost: u64,
}

impl Memory {
    /// Budgets for at most so many keys (at least one).
    pub fn new(max_keys: usize, clock: Arc<dyn Clock>) -> Memory {
        let max_keys = max_keys.max(1);
        let wanted = (max_keys / MIN_KEYS_PER_SHARD).clamp(1, MAX_SHARDS);
        let shards = if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 };
        let counts = Counts {
            shards: (0..shards).map(|_| Padded(Mutex::new(Table::new()))).collect(),
            seed: Seed::new(),
            epoch: clock.now(),
            clock,
            evicted: AtomicU64::new(0),
        };
        Memory { counts: Arc::new(counts), room: max_keys / shards }
    }

    /// The same budgets, for at most so many keys. Where there are more, each new key displaces several
    /// old ones until they fit.
    pub fn resized(&self, max_keys: usize) -> Memory {
        let room = (max_keys / self.counts.shards.len()).max(1);
        Memory { counts: Arc::clone(&self.counts), room }
    }

    /// The same budgets again.
    pub fn handle(&self) -> Memory {
        Memory { counts: Arc::clone(&self.counts), room: self.room }
    }

    /// How many keys are held, expired ones that nobody has swept yet among them.
    pub fn len(&self) -> usize {
        self.counts.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys were given up for others since the start.
    pub fn evicted(&self) -> u64 {
        self.counts.evicted.load(Ordering::Relaxed)
    }

    /// Frees expired keys and gives memory back that is not needed any more. For a timer: one shard is held at a time.
    pub fn tidy(&self) {
        for shard in &self.counts.shards {
            let mut table = shard.lock();
            let now = self.now();
            table.tidy(now);
        }
    }

    /// Counts `spent` permits for a key that is not known yet; one that is known stays as it is.
    pub fn seed(&self, key: &[u8], limit: &Limit, spent: u64) {
        let (print, shard) = self.place(key);
        let mut table = shard.lock();
        let now = self.now();
        if table.find(print).is_some() {
            return;
        }
        let mut state = table.load(print, limit);
        if state.take(now, limit, spent.min(limit.capacity())).admitted && spent > 0 {
            self.put(&mut table, print, &state, now);
        }
    }

    /// Only while a shard is held: the clock that decides is read under the lock.
    fn now(&self) -> u64 {
        let since = self.counts.clock.now().saturating_duration_since(self.counts.epoch).as_micros();
        // Bounded, so that adding a window never overflows.
        u64::try_from(since).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
    }

    fn place(&self, key: &[u8]) -> ([u64; 2], &Padded) {
        let [first, second] = self.counts.seed.print(key);
        // Never all zero, which marks a free place.
        let print = [first | 1, second];
        (print, &self.counts.shards[print[1] as usize & (self.counts.shards.len() - 1)])
    }

    fn put(&self, table: &mut Table, print: [u64; 2], state: &State, now: u64) {
        let evicted = table.put(print, state, now, self.room);
        if evicted > 0 {
            self.counts.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    fn decide(&self, key: &[u8], limit: &Limit, cost: u64) -> Decision {
        let (print, shard) = self.place(key);
        let mut table = shard.lock();
        let now = self.now();
        let mut state = table.load(print, limit);
        let verdict = state.take(now, limit, cost);
        if verdict.admitted && cost > 0 {
            self.put(&mut table, print, &state, now);
        }
        decision(verdict, now, limit, cost)
    }
}

fn decision(verdict: Verdict, now: u64, limit: &Limit, cost: u64) -> Decision {
    Decision {
        admitted: verdict.admitted,
        remaining: verdict.remaining,
        reset_us: verdict.reset_us,
        possible: cost <= limit.capacity(),
        source: Source::Memory,
        ticket: Ticket { at_us: now, origin: 0 },
    }
}

/// Decides several questions in one step: all admit and all take, or nobody takes anything. The decisions come in the
/// order of the questions; where one refuses, those that would have admitted tell what is left untouched.
pub fn take_all(asks: &[Ask<'_>], out: &mut SmallVec<[Decision; 4]>) {
    out.clear();
    if let [ask] = asks {
        out.push(ask.memory.decide(ask.key, ask.limit, ask.cost));
        return;
    }
    let places: SmallVec<[_; 4]> = asks.iter().map(|ask| ask.memory.place(ask.key)).collect();
    let mut shards: SmallVec<[&Padded; 4]> = places.iter().map(|(_, shard)| *shard).collect();
    shards.sort_by_key(|shard| std::ptr::from_ref::<Padded>(shard) as usize);
    shards.dedup_by(|one, other| std::ptr::eq(*one, *other));
    let mut tables: SmallVec<[MutexGuard<'_, Table>; 4]> = shards.iter().map(|shard| shard.lock()).collect();
    let table_of = |shard: &Padded| shards.iter().position(|known| std::ptr::eq(*known, shard)).unwrap_or(0);

    let mut all = true;
    for (at, (ask, (print, shard))) in asks.iter().zip(&places).enumerate() {
        let now = ask.memory.now();
        let mut state = tables[table_of(shard)].load(*print, ask.limit);
        // One budget that is asked twice pays twice: what comes before has been taken already.
        for (earlier, place) in asks[..at].iter().zip(&places) {
            if place.0 == *print && std::ptr::eq(place.1, *shard) {
                state.take(now, earlier.limit, earlier.cost);
            }
        }
        let verdict = state.take(now, ask.limit, ask.cost);
        all &= verdict.admitted;
        out.push(decision(verdict, now, ask.limit, ask.cost));
    }
    for ((ask, (print, shard)), decision) in asks.iter().zip(&places).zip(out.iter_mut()) {
        let now = decision.ticket.at_us;
        let table = &mut tables[table_of(shard)];
        let mut state = table.load(*print, ask.limit);
        if all && ask.cost > 0 {
            state.take(now, ask.limit, ask.cost);
            ask.memory.put(table, *print, &state, now);
        } else if decision.admitted {
            let untouched = state.take(now, ask.limit, 0);
            decision.remaining = untouched.remaining;
            decision.reset_us = untouched.reset_us;
        }
    }
}

impl Store for Memory {
    fn take<'a>(&'a self, key: &[u8], limit: &Limit, cost: u64) -> Taken<'a> {
        Taken::Ready(Ok(self.decide(key, limit, cost)))
    }

    fn give_back(&self, key: &[u8], limit: &Limit, cost: u64, ticket: Ticket) {
        let (print, shard) = self.place(key);
        let mut table = shard.lock();
        let now = self.now();
        if table.find(print).is_none() {
            return;
        }
        let mut state = table.load(print, limit);
        if state.give_back(now, limit, cost, ticket.at_us) {
            self.put(&mut table, print, &state, now);
        }
    }
}

#[cfg(test)]
mod tests;
