//! The budgets of one limit in Redis, with permits leased ahead for keys that are asked often.
//!
//! Keys live in shards, each behind a lock that is held for a look-up and a few additions, never while waiting, and
//! never while the connection is called: what a decision wants sent is collected under the lock and sent after it. Nor
//! does it read what a client chose: a key is found by its print, and its digest is made with no lock held.
//! What one key knows and holds is `lease.rs`; what a trip to Redis brings home is `trips.rs`; how a request waits is
//! `waiting.rs`; what happens without Redis is `away.rs`.

use crate::runtime::hash::Seed;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Remote;
use super::key::{Key, Mark, Print};
use super::lease::{self, Answer, Entry, Left, Waiter};
use super::shard::{Send, Shard};
use super::tally::Counts;
pub use super::tally::Statistics;
use crate::exchange::Name;
use crate::store::memory::Memory;
use crate::store::{
    Clock, Decision, Lease, Limit, Store, Taken, Ticket, Unavailable, Wanted, WhenStoreFails,
};

const SHARDS: usize = 64;
/// The most requests that wait for one key's trip; those beyond it fall back at once.
const MOST_WAITERS: usize = 10_000;
/// Leases that one access looks at, so that no request pays for many.
const SWEPT_PER_ACCESS: usize = 4;
/// Keys whose debts one tidying sends.
pub(super) const DEBTS_PER_TIDY: usize = 64;
/// Shards that one tidying looks through for idle keys.
const SHARDS_PER_TIDY: usize = 4;
/// One in so many tidyings sweeps the local share, which is empty most of the time.
const TIDIES_PER_LOCAL: usize = 32;
/// Quiet keys are forgotten after their window, or after this.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// Why a decision is made without Redis.
pub(super) const AWAY: &str = "Redis is away";

#[derive(Debug)]
enum Step {
    Decided(Decision),
    /// Redis is away, and the limit counts nothing meanwhile.
    Uncounted,
    /// The key is not known by its print: the step needs the whole of it.
    Unknown,
    Away(Key),
    Alone(Key),
    Wait(Key, oneshot::Receiver<Answer>),
}

/// The budgets of one limit, shared through Redis; see the head of this file.
pub struct Budgets {
    pub(super) me: Weak<Budgets>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) when: WhenStoreFails,
    pub(super) local: Memory,
    pub(super) counts: Counts,
    name: Name,
    share: Option<u8>,
    pub(super) room: usize,
    seed: Seed,
    shards: Box<[Mutex<Shard>]>,
    turn: AtomicU64,
}

impl Budgets {
    /// The budgets of the limit `wanted`, over a connection. Those that it had before, where a reload changed what it
    /// wants, share what is counted here while Redis is away.
    pub fn new(
        remote: Arc<dyn Remote>,
        wanted: &Wanted,
        before: Option<&Budgets>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Budgets> {
        let local = match before {
            Some(before) => before.local.resized(wanted.max_keys),
            None => Memory::new(wanted.max_keys, Arc::clone(&clock)),
        };
        Arc::new_cyclic(|me| Budgets {
            me: me.clone(),
            remote,
            local,
            clock,
            when: wanted.when_store_fails,
            counts: Counts::default(),
            name: wanted.name.clone(),
            share: match wanted.lease {
                Lease::None => None,
                Lease::Share(percent) => Some(percent),
            },
            room: (wanted.max_keys / SHARDS).max(1),
            seed: Seed::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            turn: AtomicU64::new(0),
        })
    }

    /// Gives back what ended unspent, tells Redis what was admitted without it, and forgets idle keys: a little at
    /// each call. To be called about every 100 ms.
    pub fn tidy(&self, now: Instant) {
        for index in 0..self.shards.len() {
            let mut send = Send::default();
            self.lock(index).sweep(now, usize::MAX, &mut send);
            self.send(None, send);
        }
        let turn = usize::try_from(self.turn.fetch_add(1, Relaxed) % 1024).unwrap_or(0);
        if turn % TIDIES_PER_LOCAL == 0 {
            self.local.tidy();
        }
        for step in 0..SHARDS_PER_TIDY {
            self.lock((turn * SHARDS_PER_TIDY + step) % SHARDS).purge(now, LONGEST_REST);
        }
        if self.remote.is_up() {
            self.settle(now);
        }
    }

    /// What was decided by whom.
    pub fn statistics(&self) -> Statistics {
        let leased = (0..self.shards.len()).map(|index| self.lock(index).leased).sum();
        self.counts.statistics(leased)
    }

    pub(super) fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn shard(&self, print: &Print) -> MutexGuard<'_, Shard> {
        // The remainder is below SHARDS, so it fits.
        self.lock(usize::try_from(print[0] % SHARDS as u64).unwrap_or(0))
    }

    /// What stands for a key.
    pub(super) fn key(&self, print: Print, bytes: &[u8]) -> Key {
        Key { print, mark: Mark::of(&self.name, bytes) }
    }

    /// The whole key in Redis.
    pub(super) fn whole(&self, key: Key) -> Box<[u8]> {
        key.mark.whole(self.remote.namespace(), &self.name)
    }

    pub(super) fn plan(&self, key: Key, entry: &mut Entry, now: Instant, send: &mut Send) {
        let share = self.share.unwrap_or(0);
        let Some((mut sent, left)) = entry.plan(share, now) else { return };
        sent.owed = if entry.owes_under(&sent.limit) { self.debt(key, entry) } else { 0 };
        send.back.extend(left.map(|left| (key, entry.limit, left)));
        send.trip = Some(sent);
    }

    /// One look at a key; never [`Step::Unknown`] where the whole `key` is given. Nothing is to be sent unless a step has a
    /// key.
    fn step(&self, print: Print, key: Option<Key>, limit: &Limit, cost: u64, send: &mut Send) -> Step {
        let mut shard = self.shard(&print);
        // Under the lock: a thread that slept before it must not spend a lease that has ended.
        let now = self.clock.now();
        let shard = &mut *shard;
        if let Some(entry) = shard.entries.get_mut(&print)
            && entry.limit == *limit
            && let Some(decision) = entry.decide(cost, now)
            // What Redis refused is nothing to go by once it is away and the limit has its own word for that.
            && (decision.admitted || self.when == WhenStoreFails::Local || self.remote.is_up())
        {
            shard.leased += 1;
            return Step::Decided(decision);
        }
        let is_up = self.remote.is_up();
        if !is_up && self.when != WhenStoreFails::Local {
            return Step::Uncounted;
        }
        let Some(key) = key.or_else(|| shard.known(&print)) else { return Step::Unknown };
        shard.sweep(now, SWEPT_PER_ACCESS, send);
        if !is_up {
            return Step::Away(key);
        }
        let Some(entry) = shard.entry(key, limit, now, self.room) else { return Step::Alone(key) };
        if entry.limit != *limit {
            if entry.in_flight {
                return Step::Alone(key);
            }
            let before = entry.limit;
            send.back.extend(entry.change(*limit, now).map(|left| (key, before, left)));
        }
        if entry.waiters.len() >= MOST_WAITERS {
            return Step::Away(key);
        }
        let (tell, answer) = oneshot::channel();
        entry.waiters.push_back(Waiter { cost, tell });
        if !entry.in_flight {
            self.plan(key, entry, now, send);
        }
        Step::Wait(key, answer)
    }

    /// Gives back what an earlier decision took; see [`Store::give_back`].
    pub(super) fn back(&self, key: Key, limit: &Limit, cost: u64, ticket: Ticket) {
        if cost == 0 {
            return;
        }
        if ticket.origin != lease::FROM_REDIS {
            self.forgive(key, limit, cost, ticket);
            return;
        }
        let restored = match self.shard(&key.print).entries.get_mut(&key) {
            Some(entry) => entry.restore(limit, cost, ticket.at_us, self.clock.now()),
            None => false,
        };
        if !restored {
            self.hand_back(key, *limit, Left { permits: cost, at_us: ticket.at_us });
        }
    }
}

impl Store for Budgets {
    fn take<'a>(&'a self, key: &[u8], limit: &Limit, cost: u64) -> Taken<'a> {
        let (print, bytes) = (self.seed.print(key), key);
        if self.share.is_none() {
            return self.alone(self.key(print, bytes), limit, cost);
        }
        let (mut known, mut send) = (None, Send::default());
        // Twice at most: with the whole key at hand there is nothing unknown.
        loop {
            match self.step(print, known, limit, cost, &mut send) {
                Step::Unknown => known = Some(self.key(print, bytes)),
                Step::Decided(decision) => return Taken::Ready(Ok(decision)),
                Step::Uncounted => return Taken::Ready(self.uncounted(limit, AWAY)),
                Step::Away(key) => {
                    self.send(Some(key), send);
                    return Taken::Ready(self.fall_back(key, limit, cost, AWAY));
                }
                Step::Alone(key) => {
                    self.send(Some(key), send);
                    return self.alone(key, limit, cost);
                }
                Step::Wait(key, answer) => {
                    self.send(Some(key), send);
                    return self.wait(key, limit, cost, answer);
                }
            }
        }
    }

    fn give_back(&self, key: &[u8], limit: &Limit, cost: u64, ticket: Ticket) {
        self.back(self.key(self.seed.print(key), key), limit, cost, ticket);
    }
}

impl Drop for Budgets {
    fn drop(&mut self) {
        for index in 0..self.shards.len() {
            let entries = std::mem::take(&mut self.lock(index).entries);
            for (key, mut entry) in entries {
                if let Some(left) = entry.surrender() {
                    self.hand_back(key, entry.limit, left);
                }
            }
        }
    }
}

/// What a request gets that waited, or could not wait.
pub(super) type Outcome = Result<Decision, Unavailable>;

#[cfg(test)]
mod tests;
