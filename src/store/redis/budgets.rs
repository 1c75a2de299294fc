//! The budgets of one limit in Redis, with permits leased ahead for keys that are asked often.
//!
//! Keys live in shards, each behind a lock that is held for a look-up and a few additions, never while waiting, and
//! never while the connection is called: what a decision wants sent is collected under the lock and sent after it.
//! What one key knows and holds is `lease.rs`; how a request waits is `waiting.rs`; what happens without Redis is
//! `away.rs`.

use crate::runtime::hash::Seed;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::lease::{self, Answer, Entry, Left, Sent, Told, Waiter};
use super::shard::{Send, Shard};
use super::tally::Counts;
pub use super::tally::Statistics;
use super::{Grant, Remote, Return};
use crate::exchange::Name;
use crate::store::memory::Memory;
use crate::store::{
    Clock, Decision, Lease, Limit, Source, Store, Taken, Ticket, Unavailable, Wanted, WhenStoreFails,
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
/// So much of a limit's name stands in the keys; the rest is in the hash.
const MOST_NAME: usize = 48;

enum Step {
    Decided(Decision),
    Away,
    Alone,
    Wait(oneshot::Receiver<Answer>),
}

/// The budgets of one limit, shared through Redis; see the head of this file.
pub struct Budgets {
    me: Weak<Budgets>,
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

/// Where a trip comes home to.
struct Home {
    /// None where the last of the limit's users has gone meanwhile.
    budgets: Option<Arc<Budgets>>,
    remote: Arc<dyn Remote>,
    key: Box<[u8]>,
    /// The key in Redis.
    whole: Box<[u8]>,
    sent: Sent,
}

impl Home {
    /// Gives back what nobody is left for.
    fn hand_back(self, grant: &Grant) {
        return_all(&*self.remote, self.whole, self.sent.limit, grant);
    }
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
            self.send(&[], send);
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

    pub(super) fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // The remainder is below SHARDS, so it fits.
        self.lock(usize::try_from(self.seed.hash_one(key) % SHARDS as u64).unwrap_or(0))
    }

    /// The whole key in Redis: namespace, the version of the state (another one is never read as this one), limit, and a hash, for keys may be secrets (an API key) and of any length. One
    /// key a trip, so any cluster serves it; no brace in it, so no client chooses the node.
    fn redis_key(&self, key: &[u8]) -> Box<[u8]> {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([0]);
        hash.update(key);
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') { letter } else { '_' }
        };
        let name: String = self.name.chars().map(plain).take(MOST_NAME).collect();
        let hash = URL_SAFE_NO_PAD.encode(&hash.finalize()[..16]);
        format!("{}:limit-2:{name}:{hash}", self.remote.namespace()).into_bytes().into_boxed_slice()
    }

    fn send(&self, key: &[u8], send: Send) {
        for (key, limit, left) in send.back {
            self.hand_back(&key, limit, left);
        }
        if let Some(sent) = send.trip {
            self.go(key, sent);
        }
    }

    fn hand_back(&self, key: &[u8], limit: Limit, left: Left) {
        self.counts.returned.fetch_add(left.permits, Relaxed);
        self.remote.give_back(Return {
            key: self.redis_key(key),
            limit,
            permits: left.permits,
            at_us: left.at_us,
        });
    }

    /// Sends the trip of those who wait for a key.
    fn go(&self, key: &[u8], sent: Sent) {
        self.launch(key, sent, |home, result| match (&home.budgets, result) {
            (Some(budgets), result) => budgets.arrived(&home.key, &home.sent, result),
            (None, Ok(grant)) => home.hand_back(&grant),
            (None, Err(_)) => {}
        });
    }

    /// Sends a trip; `land` gets what comes of it, on the connection's thread, also where the budgets are gone by then.
    fn launch(
        &self,
        key: &[u8],
        sent: Sent,
        land: impl FnOnce(Home, Result<Grant, String>) + std::marker::Send + 'static,
    ) {
        self.counts.trips.fetch_add(1, Relaxed);
        let (me, remote, key, whole) =
            (self.me.clone(), Arc::clone(&self.remote), key.into(), self.redis_key(key));
        let trip = sent.trip(whole.clone());
        self.remote.trip(
            trip,
            Box::new(move |result| land(Home { budgets: me.upgrade(), remote, key, whole, sent }, result)),
        );
    }

    fn arrived(&self, key: &[u8], sent: &Sent, result: Result<Grant, String>) {
        let mut told: Vec<Told> = Vec::new();
        let mut send = Send::default();
        {
            let mut shard = self.shard(key);
            let now = self.clock.now();
            let shard = &mut *shard;
            let Some(entry) = shard.entries.get_mut(key) else {
                // A key with a trip on its way is never forgotten.
                return;
            };
            match result {
                Ok(grant) => {
                    if let Some(left) = entry.absorb(sent, &grant, now, &mut told) {
                        send.back.push((key.into(), sent.limit, left));
                    }
                    self.plan(key, entry, now, &mut send);
                    if let Some(ends) = entry.live_until(now) {
                        shard.leases.push_back((ends, key.into()));
                    }
                }
                Err(why) => {
                    entry.in_flight = false;
                    told.extend(entry.waiters.drain(..).map(|waiter| (waiter, Err(why.clone()))));
                    self.owe(shard, key, &sent.limit, sent.owed);
                }
            }
        }
        self.send(key, send);
        for (waiter, answer) in told {
            let cost = waiter.cost;
            if let Err(Ok(decision)) = waiter.tell.send(answer)
                && decision.admitted
            {
                self.give_back(key, &sent.limit, cost, decision.ticket);
            }
        }
    }

    fn plan(&self, key: &[u8], entry: &mut Entry, now: Instant, send: &mut Send) {
        let share = self.share.unwrap_or(0);
        let Some((mut sent, left)) = entry.plan(share, now) else { return };
        sent.owed = if entry.owes_under(&sent.limit) { self.debt(key, entry) } else { 0 };
        send.back.extend(left.map(|left| (key.into(), entry.limit, left)));
        send.trip = Some(sent);
    }

    fn step(&self, key: &[u8], limit: &Limit, cost: u64, send: &mut Send) -> Step {
        let mut shard = self.shard(key);
        // Under the lock: a thread that slept before it must not spend a lease that has ended.
        let now = self.clock.now();
        let shard = &mut *shard;
        if let Some(entry) = shard.entries.get_mut(key)
            && entry.limit == *limit
            && let Some(decision) = entry.decide(cost, now)
            // What Redis refused is nothing to go by once it is away and the limit has its own word for that.
            && (decision.admitted || self.when == WhenStoreFails::Local || self.remote.is_up())
        {
            shard.leased += 1;
            return Step::Decided(decision);
        }
        shard.sweep(now, SWEPT_PER_ACCESS, send);
        if !self.remote.is_up() {
            return Step::Away;
        }
        let Some(entry) = shard.entry(key, limit, now, self.room) else { return Step::Alone };
        if entry.limit != *limit {
            if entry.in_flight {
                return Step::Alone;
            }
            let before = entry.limit;
            send.back.extend(entry.change(*limit, now).map(|left| (key.into(), before, left)));
        }
        if entry.waiters.len() >= MOST_WAITERS {
            return Step::Away;
        }
        let (tell, answer) = oneshot::channel();
        entry.waiters.push_back(Waiter { cost, tell });
        if !entry.in_flight {
            self.plan(key, entry, now, send);
        }
        Step::Wait(answer)
    }

    /// Asks for this request alone: exactly its cost, nothing ahead.
    fn alone(&self, key: &[u8], limit: &Limit, cost: u64) -> Taken<'_> {
        if !self.remote.is_up() {
            return Taken::Ready(self.fall_back(key, limit, cost, "Redis is away"));
        }
        let owed = match self.shard(key).entries.get_mut(key) {
            Some(entry) if entry.owes_under(limit) => self.debt(key, entry),
            _ => 0,
        };
        let (tell, answer) = oneshot::channel();
        self.go_alone(key, Sent::alone(self.clock.now(), *limit, cost, owed), Some(tell));
        self.wait(key, limit, cost, answer)
    }

    pub(super) fn go_alone(&self, key: &[u8], sent: Sent, tell: Option<oneshot::Sender<Answer>>) {
        self.launch(key, sent, move |home, result| {
            if let Some(budgets) = &home.budgets {
                budgets.noted(&home.key, &home.sent, &result);
            }
            let heard = match (tell, &result) {
                (Some(tell), Ok(grant)) => tell.send(Ok(decision_of(&home.sent, grant))).is_ok(),
                (Some(tell), Err(why)) => tell.send(Err(why.clone())).is_ok(),
                (None, _) => true,
            };
            if let (false, Ok(grant)) = (heard, result) {
                home.hand_back(&grant);
            }
        });
    }

    /// Keeps what a trip without a lease said: the local share needs it when Redis goes away.
    fn noted(&self, key: &[u8], sent: &Sent, result: &Result<Grant, String>) {
        let mut shard = self.shard(key);
        let now = self.clock.now();
        match result {
            Ok(grant) => {
                if let Some(entry) = shard.entry(key, &sent.limit, now, self.room)
                    && !entry.in_flight
                    && entry.lease().is_none()
                {
                    if entry.limit != sent.limit {
                        // Nothing is held that would have to go back.
                        let _ = entry.change(sent.limit, now);
                    }
                    entry.learn(grant, now);
                }
            }
            Err(_) => self.owe(&mut shard, key, &sent.limit, sent.owed),
        }
    }
}

impl Store for Budgets {
    fn take<'a>(&'a self, key: &[u8], limit: &Limit, cost: u64) -> Taken<'a> {
        if self.share.is_none() {
            return self.alone(key, limit, cost);
        }
        let mut send = Send::default();
        let step = self.step(key, limit, cost, &mut send);
        match step {
            Step::Decided(decision) => Taken::Ready(Ok(decision)),
            Step::Away => {
                self.send(key, send);
                Taken::Ready(self.fall_back(key, limit, cost, "Redis is away"))
            }
            Step::Alone => {
                self.send(key, send);
                self.alone(key, limit, cost)
            }
            Step::Wait(answer) => {
                self.send(key, send);
                self.wait(key, limit, cost, answer)
            }
        }
    }

    fn give_back(&self, key: &[u8], limit: &Limit, cost: u64, ticket: Ticket) {
        if cost == 0 {
            return;
        }
        if ticket.origin != lease::FROM_REDIS {
            self.forgive(key, limit, cost, ticket);
            return;
        }
        let restored = match self.shard(key).entries.get_mut(key) {
            Some(entry) => entry.restore(limit, cost, ticket.at_us, self.clock.now()),
            None => false,
        };
        if !restored {
            self.hand_back(key, *limit, Left { permits: cost, at_us: ticket.at_us });
        }
    }
}

impl Drop for Budgets {
    fn drop(&mut self) {
        for index in 0..self.shards.len() {
            let entries = std::mem::take(&mut self.lock(index).entries);
            for (key, mut entry) in entries {
                if let Some(left) = entry.surrender() {
                    self.hand_back(&key, entry.limit, left);
                }
            }
        }
    }
}

fn decision_of(sent: &Sent, grant: &Grant) -> Decision {
    Decision {
        admitted: grant.granted >= sent.cost,
        remaining: grant.remaining,
        reset_us: grant.reset_us,
        possible: sent.cost <= sent.limit.capacity(),
        source: Source::Redis,
        ticket: Ticket { at_us: grant.at_us, origin: lease::FROM_REDIS },
    }
}

/// A grant that nobody is left for.
fn return_all(remote: &dyn Remote, key: Box<[u8]>, limit: Limit, grant: &Grant) {
    if grant.granted > 0 {
        remote.give_back(Return { key, limit, permits: grant.granted, at_us: grant.at_us });
    }
}

/// What a request gets that waited, or could not wait.
pub(super) type Outcome = Result<Decision, Unavailable>;

#[cfg(test)]
mod tests;
