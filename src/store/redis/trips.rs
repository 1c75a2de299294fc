//! Trips to Redis on behalf of keys, and what is done with what they bring home: those who wait are answered, a lease is
//! kept, and permits that nobody is left for go back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::budgets::{AWAY, Budgets};
use super::key::Key;
use super::lease::{self, Answer, Left, Sent, Told};
use super::shard::Send;
use super::{Grant, Remote, Return};
use crate::store::{Decision, Limit, Source, Taken, Ticket};

/// Where a trip comes home to.
struct Home {
    /// None where the last of the limit's users has gone meanwhile.
    budgets: Option<Arc<Budgets>>,
    remote: Arc<dyn Remote>,
    key: Key,
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
    /// Sends what a decision has collected; `key` is the one whose trip that may be.
    pub(super) fn send(&self, key: Option<Key>, send: Send) {
        for (key, limit, left) in send.back {
            self.hand_back(key, limit, left);
        }
        if let Some((key, sent)) = key.zip(send.trip) {
            self.go(key, sent);
        }
    }

    pub(super) fn hand_back(&self, key: Key, limit: Limit, left: Left) {
        self.counts.returned.fetch_add(left.permits, Relaxed);
        self.remote.give_back(Return {
            key: self.whole(key),
            limit,
            permits: left.permits,
            at_us: left.at_us,
        });
    }

    /// Sends the trip of those who wait for a key.
    fn go(&self, key: Key, sent: Sent) {
        self.launch(key, sent, |home, result| match (&home.budgets, result) {
            (Some(budgets), result) => budgets.arrived(home.key, &home.sent, result),
            (None, Ok(grant)) => home.hand_back(&grant),
            (None, Err(_)) => {}
        });
    }

    /// Sends a trip; `land` gets what comes of it, on the connection's thread, also where the budgets are gone by then.
    fn launch(
        &self,
        key: Key,
        sent: Sent,
        land: impl FnOnce(Home, Result<Grant, String>) + std::marker::Send + 'static,
    ) {
        self.counts.trips.fetch_add(1, Relaxed);
        let (me, remote, whole) = (self.me.clone(), Arc::clone(&self.remote), self.whole(key));
        let trip = sent.trip(whole.clone());
        self.remote.trip(
            trip,
            Box::new(move |result| land(Home { budgets: me.upgrade(), remote, key, whole, sent }, result)),
        );
    }

    fn arrived(&self, key: Key, sent: &Sent, result: Result<Grant, String>) {
        let mut told: Vec<Told> = Vec::new();
        let mut send = Send::default();
        {
            let mut shard = self.shard(&key.print);
            let now = self.clock.now();
            let shard = &mut *shard;
            let Some(entry) = shard.entries.get_mut(&key) else {
                // A key with a trip on its way is never forgotten.
                return;
            };
            match result {
                Ok(grant) => {
                    if let Some(left) = entry.absorb(sent, &grant, now, &mut told) {
                        send.back.push((key, sent.limit, left));
                    }
                    self.plan(key, entry, now, &mut send);
                    if let Some(ends) = entry.live_until(now) {
                        shard.leases.push_back((ends, key));
                    }
                }
                Err(why) => {
                    entry.in_flight = false;
                    told.extend(entry.waiters.drain(..).map(|waiter| (waiter, Err(why.clone()))));
                    self.owe(shard, key, &sent.limit, sent.owed);
                }
            }
        }
        self.send(Some(key), send);
        for (waiter, answer) in told {
            let cost = waiter.cost;
            if let Err(Ok(decision)) = waiter.tell.send(answer)
                && decision.admitted
            {
                self.back(key, &sent.limit, cost, decision.ticket);
            }
        }
    }

    /// Asks for this request alone: exactly its cost, nothing ahead.
    pub(super) fn alone(&self, key: Key, limit: &Limit, cost: u64) -> Taken<'_> {
        if !self.remote.is_up() {
            return Taken::Ready(self.fall_back(key, limit, cost, AWAY));
        }
        let owed = match self.shard(&key.print).entries.get_mut(&key) {
            Some(entry) if entry.owes_under(limit) => self.debt(key, entry),
            _ => 0,
        };
        let (tell, answer) = oneshot::channel();
        self.go_alone(key, Sent::alone(self.clock.now(), *limit, cost, owed), Some(tell));
        self.wait(key, limit, cost, answer)
    }

    pub(super) fn go_alone(&self, key: Key, sent: Sent, tell: Option<oneshot::Sender<Answer>>) {
        self.launch(key, sent, move |home, result| {
            if let Some(budgets) = &home.budgets {
                budgets.noted(home.key, &home.sent, &result);
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
    fn noted(&self, key: Key, sent: &Sent, result: &Result<Grant, String>) {
        let mut shard = self.shard(&key.print);
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
