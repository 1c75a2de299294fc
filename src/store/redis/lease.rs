//! What one replica knows of one key, and the permits that it holds for it: pure, with the time passed in.
//!
//! A key has at most one trip on its way. Requests that come meanwhile wait in line; what the trip brings is handed
//! out in that order, and what is over is a lease: permits that later requests spend here without asking, until the
//! lease ends. A cold key takes exactly what its requests cost. One that comes back within the hold of a lease is
//! hot: what it takes ahead doubles with every lease that was used up in time, no further than its demand or the share
//! it may hold, and falls to what was spent where a lease ended with permits left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Grant, Trip};
use crate::store::{Algorithm, Decision, Limit, Source, Ticket};

/// [`Ticket::origin`] of permits that Redis counted.
pub(super) const FROM_REDIS: u8 = 0;

/// What a waiter hears: the decision, or why the trip failed.
pub(super) type Answer = Result<Decision, String>;

/// A request that waits for the trip of its key.
pub(super) struct Waiter {
    pub(super) cost: u64,
    pub(super) tell: oneshot::Sender<Answer>,
}

/// An answer that is to be told once no lock is held.
pub(super) type Told = (Waiter, Answer);

/// Permits to give back: how many, and the stamp they were taken at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    pub(super) permits: u64,
    pub(super) at_us: u64,
}

/// A trip on its way, as its sender remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) limit: Limit,
    pub(super) cost: u64,
    pub(super) want: u64,
    pub(super) hold_us: u64,
    /// What the requests that waited when it left cost together: theirs whenever it comes home.
    counted: u64,
    pub(super) owed: u64,
}

impl Sent {
    /// A trip for one request alone, or for what is owed.
    pub(super) fn alone(at: Instant, limit: Limit, cost: u64, owed: u64) -> Sent {
        Sent { at, limit, cost, want: cost, hold_us: 0, counted: cost, owed }
    }

    /// The trip as the connection takes it.
    pub(super) fn trip(&self, key: Box<[u8]>) -> Trip {
        let Sent { limit, cost, want, hold_us, owed, .. } = *self;
        Trip { key, limit, cost, want, hold_us, owed }
    }
}

/// What Redis said last.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Permits that are spent: they stay so under another limit.
    used: u64,
    /// When so many were.
    at: Instant,
    reset_at: Instant,
}

/// Permits that were admitted here while Redis was away, and not reported yet.
pub(super) struct Owed {
    pub(super) permits: u64,
    /// The largest limit that they were admitted under: Redis counts no more of them than the limit of the trip has
    /// room for.
    pub(super) under: Limit,
}

/// A refusal that is true for a while.
#[derive(Clone, Copy, Debug)]
struct Refused {
    cost: u64,
    until: Instant,
}

/// One key.
pub(super) struct Entry {
    pub(super) limit: Limit,
    permits: u64,
    expires: Instant,
    at_us: u64,
    known: Option<Known>,
    /// Whether that was said of the limit in force: another one has other times.
    current: bool,
    refused: Option<Refused>,
    /// When the last trip left, and what was admitted since: all, and from what was taken ahead.
    sent: Option<Instant>,
    used: u64,
    ahead: u64,
    lapsed: bool,
    size: u64,
    hold_us: u64,
    pub(super) in_flight: bool,
    pub(super) waiters: VecDeque<Waiter>,
    /// Rare, and small where there is none.
    pub(super) owed: Option<Box<Owed>>,
    /// Whether this outage's local counter knows what was used before.
    pub(super) seeded: bool,
    pub(super) touched: Instant,
}

impl Entry {
    /// A cold key.
    pub(super) fn new(limit: Limit, now: Instant) -> Entry {
        Entry {
            limit,
            permits: 0,
            expires: now,
            at_us: 0,
            known: None,
            current: false,
            refused: None,
            sent: None,
            used: 0,
            ahead: 0,
            lapsed: false,
            size: 0,
            hold_us: 0,
            in_flight: false,
            waiters: VecDeque::new(),
            owed: None,
            seeded: false,
            touched: now,
        }
    }

    /// Decides from what is here: permits of a lease that still lives, or a refusal that is still true.
    pub(super) fn decide(&mut self, cost: u64, now: Instant) -> Option<Decision> {
        self.touched = now;
        if self.permits > 0 && cost <= self.permits && now < self.expires {
            self.permits -= cost;
            self.used = self.used.saturating_add(cost);
            self.ahead = self.ahead.saturating_add(cost);
            return Some(self.admitted(Source::Lease, now));
        }
        let known = self.known.filter(|_| self.current)?;
        if cost == 0 && micros(now.saturating_duration_since(known.at)) < hold_us(&self.limit) {
            return Some(self.admitted(Source::Lease, now));
        }
        let refused = self.refused?;
        let stands = now < refused.until && cost > self.left_there() && cost <= refused.cost;
        stands.then(|| self.refusal(cost, Source::Lease, now))
    }

    fn left_here(&self, now: Instant) -> u64 {
        if now < self.expires { self.permits } else { 0 }
    }

    /// What is left in Redis, as far as this replica knows.
    fn left_there(&self) -> u64 {
        self.known.map_or(0, |known| self.limit.capacity().saturating_sub(known.used))
    }

    fn remaining(&self, now: Instant) -> u64 {
        self.left_there().saturating_add(self.left_here(now)).min(self.limit.capacity())
    }

    fn reset_us(&self, now: Instant) -> u64 {
        self.known.map_or(0, |known| micros(known.reset_at.saturating_duration_since(now)))
    }

    fn admitted(&self, source: Source, now: Instant) -> Decision {
        let remaining = self.remaining(now);
        // Something is spent, so something will come back, though what Redis said of it may be past by now.
        let least = u64::from(remaining < self.limit.capacity());
        Decision {
            admitted: true,
            remaining,
            reset_us: self.reset_us(now).max(least),
            possible: true,
            source,
            ticket: Ticket { at_us: self.at_us, origin: FROM_REDIS },
        }
    }

    fn refusal(&self, cost: u64, source: Source, now: Instant) -> Decision {
        Decision {
            admitted: false,
            remaining: self.remaining(now),
            reset_us: self.reset_us(now).max(1),
            possible: cost <= self.limit.capacity(),
            source,
            ticket: Ticket::default(),
        }
    }

    /// The key is asked under another limit: what is held goes back, and it starts cold. What is owed stays, and so
    /// does what is known to be spent.
    pub(super) fn change(&mut self, limit: Limit, now: Instant) -> Option<Left> {
        let left = self.surrender();
        let (owed, seeded, known) = (self.owed.take(), self.seeded, self.known);
        *self = Entry { owed, seeded, known, ..Entry::new(limit, now) };
        left
    }

    /// Plans the trip of those who wait. What is left of the old lease goes back first: it did not suffice.
    pub(super) fn plan(&mut self, share: u8, now: Instant) -> Option<(Sent, Option<Left>)> {
        while self.waiters.front().is_some_and(|waiter| waiter.tell.is_closed()) {
            self.waiters.pop_front();
        }
        let cost = self.waiters.front()?.cost;
        let counted = self.waiters.iter().fold(0_u64, |sum, waiter| sum.saturating_add(waiter.cost));
        self.lapsed |= self.permits > 0 && now >= self.expires;
        let left = self.surrender();
        self.resize(share, now);
        let capacity = self.limit.capacity();
        // A held permit is counted later than now, which takes room in a bucket: a cost that needs most of it goes
        // without.
        let ahead = if cost > capacity / 4 { 0 } else { self.size };
        let want = counted.saturating_add(ahead).min(capacity).max(cost);
        let hold_us = if ahead > 0 && want > counted { self.hold_us } else { 0 };
        let want = if hold_us == 0 { counted.min(capacity).max(cost) } else { want };
        (self.sent, self.used, self.ahead, self.lapsed) = (Some(now), 0, 0, false);
        self.in_flight = true;
        Some((Sent { at: now, limit: self.limit, cost, want, hold_us, counted, owed: 0 }, left))
    }

    fn resize(&mut self, share: u8, now: Instant) {
        let longest = hold_us(&self.limit);
        let cap = most_ahead(&self.limit, share);
        let Some(sent) = self.sent else {
            (self.size, self.hold_us) = (0, longest);
            return;
        };
        let elapsed = micros(now.saturating_duration_since(sent)).max(1);
        if self.used == 0 && self.refused.is_some() {
            // Nothing could be spent, which says nothing of the demand.
        } else if self.lapsed || elapsed >= longest {
            self.size = self.size.min(self.ahead);
            self.hold_us = longest;
        } else {
            let demand = scale(self.used, longest, elapsed).max(1);
            self.size = if self.size == 0 { 1 } else { self.size.saturating_mul(2) }.min(demand);
            // Permits count as spent at the end of the hold: one that is hardly longer than the lease lasts loses
            // least of the limit.
            let lasts = scale(self.size, elapsed, self.used.max(1));
            let shortest = (longest / 8).max(5_000).min(longest);
            self.hold_us = lasts.saturating_mul(4).clamp(shortest, longest);
        }
        self.size = self.size.min(cap);
    }

    /// Takes in what a trip brought and hands it out in order; says what has to go back at once.
    pub(super) fn absorb(
        &mut self,
        sent: &Sent,
        grant: &Grant,
        now: Instant,
        out: &mut Vec<Told>,
    ) -> Option<Left> {
        self.learn(grant, now);
        self.in_flight = false;
        (self.permits, self.at_us) = (grant.granted, grant.at_us);
        self.expires = sent.at.checked_add(Duration::from_micros(grant.valid_us)).unwrap_or(now);
        if sent.cost > 0 && grant.granted < sent.cost {
            self.refuse(sent.cost, grant.reset_us, now, out);
            return self.surrender();
        }
        self.refused = None;
        let live = now < self.expires;
        let mut handed = 0_u64;
        while let Some(waiter) = self.waiters.pop_front() {
            if waiter.tell.is_closed() {
                continue;
            }
            let mine = handed.saturating_add(waiter.cost) <= sent.counted;
            if waiter.cost > self.permits || !(mine || live) {
                self.waiters.push_front(waiter);
                break;
            }
            handed = handed.saturating_add(waiter.cost);
            self.permits -= waiter.cost;
            self.used = self.used.saturating_add(waiter.cost);
            let decision = self.admitted(Source::Redis, now);
            out.push((waiter, Ok(decision)));
        }
        if live { None } else { self.surrender() }
    }

    /// All who cost more than there is and no more than what was refused hear the truth about it.
    fn refuse(&mut self, cost: u64, reset_us: u64, now: Instant, out: &mut Vec<Told>) {
        let rest = Duration::from_micros(reset_us.min(hold_us(&self.limit)));
        self.refused = Some(Refused { cost, until: now + rest });
        let available = self.left_there();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.cost > available && waiter.cost <= cost {
                let decision = self.refusal(waiter.cost, Source::Redis, now);
                out.push((waiter, Ok(decision)));
            } else {
                self.waiters.push_back(waiter);
            }
        }
    }

    /// Remembers what Redis said.
    pub(super) fn learn(&mut self, grant: &Grant, now: Instant) {
        let reset_at = now.checked_add(Duration::from_micros(grant.reset_us)).unwrap_or(now);
        let used = self.limit.capacity().saturating_sub(grant.remaining);
        // Nothing left says no more than that a limit is reached: where more was spent under a larger one, that is known.
        let more = self.known.filter(|_| grant.remaining == 0 && self.known_used(now) > used);
        let (used, at) = more.map_or((used, now), |known| (known.used, known.at));
        (self.known, self.current) = (Some(Known { used, at, reset_at }), true);
        self.seeded = false;
        self.touched = now;
    }

    /// Puts permits back into the lease they came from; `false` where it is gone.
    pub(super) fn restore(&mut self, limit: &Limit, cost: u64, at_us: u64, now: Instant) -> bool {
        let lives = self.limit == *limit && self.at_us == at_us && now < self.expires;
        if lives {
            self.permits = self.permits.saturating_add(cost);
        }
        lives
    }

    /// Whether a trip under this limit may report what is owed.
    pub(super) fn owes_under(&self, limit: &Limit) -> bool {
        self.owed.as_ref().is_some_and(|owed| limit.capacity() >= owed.under.capacity())
    }

    /// When the lease ends, where there is one.
    pub(super) fn lease(&self) -> Option<Instant> {
        (self.permits > 0).then_some(self.expires)
    }

    /// When the lease ends, where it lives: permits may come back into it, so also where all are spent.
    pub(super) fn live_until(&self, now: Instant) -> Option<Instant> {
        (now < self.expires).then_some(self.expires)
    }

    /// What is unspent of a lease that has ended.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Left> {
        if self.permits == 0 || now < self.expires {
            return None;
        }
        self.lapsed = true;
        self.surrender()
    }

    /// Ends the lease; says what is unspent.
    pub(super) fn surrender(&mut self) -> Option<Left> {
        self.expires = self.sent.unwrap_or(self.expires).min(self.expires);
        let permits = std::mem::take(&mut self.permits);
        (permits > 0).then_some(Left { permits, at_us: self.at_us })
    }

    /// What the key has used in the window that lives now, as far as this replica knows.
    pub(super) fn known_used(&self, now: Instant) -> u64 {
        let Some(known) = self.known else { return 0 };
        let used = known.used;
        let age = micros(now.saturating_duration_since(known.at));
        match self.limit.algorithm {
            Algorithm::FixedWindow if now >= known.reset_at => 0,
            Algorithm::SlidingWindow if age >= self.limit.window_us => 0,
            Algorithm::TokenBucket => used.saturating_sub(scale(self.limit.limit, age, self.limit.window_us)),
            _ => used,
        }
    }

    /// Whether nothing is lost by forgetting the key: `rest` is how long it must have been quiet.
    pub(super) fn idle(&self, now: Instant, rest: Duration) -> bool {
        let quiet = now.saturating_duration_since(self.touched);
        // A debt that is older than the window is nobody's any more.
        let owes = self.owed.is_some() && quiet < Duration::from_micros(self.limit.window_us);
        let busy = self.in_flight || self.permits > 0 || owes || !self.waiters.is_empty();
        !busy && quiet >= rest
    }
}

/// The longest hold of a lease, in microseconds: a fiftieth of the window, at most a second, and in a bucket no longer
/// than an eighth of it takes to refill.
pub(super) fn hold_us(limit: &Limit) -> u64 {
    let hold = (limit.window_us / 50).min(1_000_000);
    match limit.algorithm {
        Algorithm::TokenBucket => hold.min(scale(limit.burst, limit.window_us, limit.limit.max(1)) / 8),
        _ => hold,
    }
}

/// The most that a replica takes ahead.
fn most_ahead(limit: &Limit, share: u8) -> u64 {
    scale(limit.limit.min(limit.capacity()), u64::from(share), 100).max(1)
}

/// `a * b / c`, without overflow on the way.
pub(super) fn scale(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c.max(1))).unwrap_or(u64::MAX)
}

/// A length in whole microseconds.
pub(super) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
