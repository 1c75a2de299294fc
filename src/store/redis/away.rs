//! Deciding without Redis, and telling it afterwards.
//!
//! `local` keeps each replica to its part of the limit: the limit divided by the replicas that were seen last, counted
//! in this process. Where this replica knows what a key had used, its part of that is counted as used here too, once
//! an outage. What is admitted so is owed: the key's next trip counts it in Redis, so that the other replicas see it
//! and the window that saw Redis return does not start afresh.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::budgets::{Budgets, DEBTS_PER_TIDY, Outcome};
use super::key::Key;
use super::lease::{self, Entry, Owed, Sent};
use super::shard::Shard;
use crate::store::{Algorithm, Decision, Limit, Source, Store, Taken, Ticket, Unavailable, WhenStoreFails};

/// [`Ticket::origin`] of permits that the local share counted.
const FROM_LOCAL: u8 = 1;
/// [`Ticket::origin`] of requests that nobody counted.
const FROM_NOBODY: u8 = 2;

/// A limit that counts like this one and refuses nothing: another tier may have spent more than this one admits.
fn roomy(limit: &Limit) -> Limit {
    let most = u64::from(u32::MAX);
    match limit.algorithm {
        // The limit is the rate that it refills at.
        Algorithm::TokenBucket => Limit { burst: most, ..*limit },
        _ => Limit { limit: most, burst: most, ..*limit },
    }
}

impl Budgets {
    /// Decides without Redis.
    pub(super) fn fall_back(&self, key: Key, limit: &Limit, cost: u64, why: &str) -> Outcome {
        match self.when {
            WhenStoreFails::Local => Ok(self.locally(key, limit, cost)),
            WhenStoreFails::Allow | WhenStoreFails::Deny => self.uncounted(limit, why),
        }
    }

    /// Decides without Redis and without a count of this process: the word of a limit that has one, else a refusal.
    pub(super) fn uncounted(&self, limit: &Limit, why: &str) -> Outcome {
        match self.when {
            WhenStoreFails::Allow => {
                self.counts.allow.fetch_add(1, Relaxed);
                Ok(Decision {
                    admitted: true,
                    remaining: limit.capacity(),
                    reset_us: 0,
                    possible: true,
                    source: Source::Allow,
                    ticket: Ticket { at_us: 0, origin: FROM_NOBODY },
                })
            }
            WhenStoreFails::Local | WhenStoreFails::Deny => {
                self.counts.unavailable.fetch_add(1, Relaxed);
                Err(Unavailable(why.to_owned()))
            }
        }
    }

    fn locally(&self, key: Key, limit: &Limit, cost: u64) -> Decision {
        self.counts.local.fetch_add(1, Relaxed);
        let part = self.part(limit);
        let mut shard = self.shard(&key.print);
        let now = self.clock.now();
        // The entry may be of another limit (a tier): what is spent and what is owed are permits under either.
        let mut known = false;
        if let Some(entry) = shard.entry(key, limit, now, self.room) {
            known = true;
            entry.touched = now;
            self.count_used_before(key, entry, &part, now);
        }
        let decision = self.ask_local(key, &part, cost);
        if decision.admitted && known {
            self.owe(&mut shard, key, limit, cost);
        }
        let ticket = Ticket { origin: FROM_LOCAL, ..decision.ticket };
        Decision { source: Source::Local, possible: cost <= limit.capacity(), ticket, ..decision }
    }

    /// This replica's part of a limit; a limit that admits anything leaves each replica one permit.
    fn part(&self, limit: &Limit) -> Limit {
        let replicas = self.remote.replicas().max(1);
        let share = |whole: u64| if whole == 0 { 0 } else { (whole / replicas).max(1) };
        Limit {
            limit: share(limit.limit),
            burst: share(limit.burst),
            slowest: share(limit.slowest),
            ..*limit
        }
    }

    /// Counts this replica's part of what was used before the outage, once.
    fn count_used_before(&self, key: Key, entry: &mut Entry, part: &Limit, now: Instant) {
        if std::mem::replace(&mut entry.seeded, true) {
            return;
        }
        let replicas = self.remote.replicas().max(1);
        let used = entry.known_used(now).div_ceil(replicas);
        let more = used.saturating_sub(self.used_locally(key, part));
        if more > 0 {
            self.ask_local(key, &roomy(part), more);
        }
    }

    fn used_locally(&self, key: Key, part: &Limit) -> u64 {
        let roomy = roomy(part);
        roomy.capacity().saturating_sub(self.ask_local(key, &roomy, 0).remaining)
    }

    fn ask_local(&self, key: Key, part: &Limit, cost: u64) -> Decision {
        match self.local.take(key.mark.as_bytes(), part, cost) {
            Taken::Ready(Ok(decision)) => decision,
            // Counters in this process neither wait nor fail; were it otherwise, nothing would be admitted by it.
            Taken::Ready(Err(_)) | Taken::Wait(_) => Decision {
                admitted: false,
                remaining: 0,
                reset_us: part.window_us,
                possible: true,
                source: Source::Local,
                ticket: Ticket::default(),
            },
        }
    }

    /// Notes what Redis has to be told.
    pub(super) fn owe(&self, shard: &mut Shard, key: Key, limit: &Limit, permits: u64) {
        let Some(entry) = shard.entries.get_mut(&key) else { return };
        if permits == 0 {
            return;
        }
        let owing = &mut shard.owing;
        let owed = entry.owed.get_or_insert_with(|| {
            owing.push_back(key);
            Box::new(Owed { permits: 0, under: *limit })
        });
        if limit.capacity() > owed.under.capacity() {
            owed.under = *limit;
        }
        owed.permits = owed.permits.saturating_add(permits);
    }

    /// Takes what the key owes: no more than the local share still counts as used, for what is older than the window
    /// is nobody's any more.
    pub(super) fn debt(&self, key: Key, entry: &mut Entry) -> u64 {
        let Some(owed) = entry.owed.take() else { return 0 };
        owed.permits.min(self.used_locally(key, &self.part(&owed.under)))
    }

    /// Tells Redis of debts whose keys nobody asks for, some at a time.
    pub(super) fn settle(&self, now: Instant) {
        let mut left = DEBTS_PER_TIDY;
        for index in 0..self.shards() {
            while left > 0 {
                let (key, sent) = {
                    let mut shard = self.lock(index);
                    let Some(key) = shard.owing.pop_front() else { break };
                    let Some(entry) = shard.entries.get_mut(&key) else { continue };
                    let limit = entry.owed.as_ref().map_or(entry.limit, |owed| owed.under);
                    let owed = self.debt(key, entry);
                    (key, Sent::alone(now, limit, 0, owed))
                };
                if sent.owed > 0 {
                    left -= 1;
                    self.go_alone(key, sent, None);
                }
            }
        }
    }

    /// Gives back to the local share what it counted, and owes it no longer.
    pub(super) fn forgive(&self, key: Key, limit: &Limit, cost: u64, ticket: Ticket) {
        if ticket.origin != FROM_LOCAL {
            return;
        }
        let part = self.part(limit);
        if let Some(owed) = self.shard(&key.print).entries.get_mut(&key).and_then(|entry| entry.owed.as_mut())
        {
            owed.permits = owed.permits.saturating_sub(cost);
        }
        self.local.give_back(
            key.mark.as_bytes(),
            &part,
            cost,
            Ticket { origin: lease::FROM_REDIS, ..ticket },
        );
    }
}
