//! Several replicas on one limiter of the test's own, whose answers come when the test wants them.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll, Waker};

use super::super::*;
use crate::store::redis::{Done, Grant, Return, Trip};
use crate::store::{Algorithm, Place};

pub(super) const SECOND: u64 = 1_000_000;
pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Manual {
    pub(super) epoch: Instant,
    pub(super) us: AtomicU64,
}

impl Manual {
    pub(super) fn us(&self) -> u64 {
        self.us.load(Relaxed)
    }
    pub(super) fn pass(&self, us: u64) {
        self.us.fetch_add(us, Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        self.epoch + Duration::from_micros(self.us())
    }
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) logs: HashMap<Box<[u8]>, VecDeque<(u64, u64)>>,
    pub(super) pending: Vec<(Trip, Done)>,
    pub(super) replies: Vec<(Grant, Done)>,
    pub(super) trips: u64,
    pub(super) returned: u64,
}

/// A limiter as strict as its formula (a log of all hits), whose answers come when the test wants them.
pub(super) struct Fake {
    pub(super) clock: Arc<Manual>,
    pub(super) server: Mutex<Server>,
    pub(super) up: AtomicBool,
    pub(super) replicas: u64,
    pub(super) timeout: Mutex<Duration>,
    pub(super) timed_out: AtomicU64,
}

impl Fake {
    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// Redis decides one trip of those that are on their way; its answer still has to come home.
    pub(super) fn decide(&self, index: usize) {
        let mut server = self.server();
        let (trip, done) = server.pending.remove(index);
        let grant = server.run(&trip, self.clock.us());
        server.replies.push((grant, done));
    }

    pub(super) fn reply(&self) {
        loop {
            let Some((grant, done)) = self.server().replies.pop() else { return };
            done(Ok(grant));
        }
    }

    pub(super) fn fail(&self) {
        loop {
            let Some((_, done)) = self.server().pending.pop() else { return };
            done(Err(String::from("gone")));
        }
    }

    /// Everything that is on its way arrives, in some order, until nothing is.
    pub(super) fn settle(&self, random: &mut fastrand::Rng) {
        loop {
            let count = self.server().pending.len();
            if count == 0 {
                return;
            }
            self.decide(random.usize(..count));
            self.reply();
        }
    }

    pub(super) fn used(&self, window: u64) -> u64 {
        let (now, server) = (self.clock.us(), self.server());
        server.logs.values().flatten().filter(|(at, _)| at + window > now).map(|(_, n)| n).sum()
    }
}

impl Server {
    pub(super) fn run(&mut self, trip: &Trip, now: u64) -> Grant {
        let Trip { limit, cost, want, hold_us, owed, .. } = *trip;
        self.trips += 1;
        let log = self.logs.entry(trip.key.clone()).or_default();
        let window = limit.window_us;
        let mut hold = hold_us;
        if limit.algorithm == Algorithm::FixedWindow {
            // The first element is the start of the window.
            if log.front().is_some_and(|(start, _)| start + window <= now) {
                log.clear();
            }
            let start = log.front().map_or(now, |(start, _)| *start);
            hold = hold.min(start + window - now);
        }
        log.retain(|(at, _)| at + window > now);
        if owed > 0 {
            log.push_back((now, owed.min(limit.limit)));
        }
        let used: u64 = log.iter().map(|(_, n)| n).sum();
        let left = limit.limit.saturating_sub(used);
        let granted = if cost <= left { want.min(cost.max(left / 4)) } else { 0 };
        let at = if limit.algorithm == Algorithm::FixedWindow { now } else { now + hold };
        if granted > 0 {
            log.push_back((at, granted));
            log.make_contiguous().sort_unstable();
        }
        let fixed = limit.algorithm == Algorithm::FixedWindow;
        let (mut need, mut reset_us) = (if cost > left { cost - left } else { 1 }, 0);
        for (at, n) in log.iter() {
            reset_us = at + window - now;
            if fixed || need <= *n {
                break;
            }
            need -= n;
        }
        Grant { granted, remaining: left - granted, reset_us, valid_us: hold, at_us: at }
    }
}

impl Remote for Fake {
    fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }
    fn replicas(&self) -> u64 {
        self.replicas
    }
    fn timeout(&self) -> Duration {
        *self.timeout.lock().unwrap()
    }
    fn namespace(&self) -> &str {
        "test"
    }
    fn trip(&self, trip: Trip, done: Done) {
        self.server().pending.push((trip, done));
    }
    fn give_back(&self, back: Return) {
        let mut server = self.server();
        server.returned += back.permits;
        let log = server.logs.entry(back.key).or_default();
        let mut permits = back.permits;
        for (_, n) in log.iter_mut().filter(|(at, _)| *at == back.at_us) {
            let less = permits.min(*n);
            (*n, permits) = (*n - less, permits - less);
        }
    }
    fn timed_out(&self) {
        self.timed_out.fetch_add(1, Relaxed);
    }
}

pub(super) type Waits<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

pub(super) struct House {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) clock: Arc<Manual>,
    pub(super) fake: Arc<Fake>,
    pub(super) replicas: Vec<Arc<Budgets>>,
}

impl House {
    pub(super) fn new(replicas: u64, lease: Lease, when: WhenStoreFails) -> House {
        let clock = Arc::new(Manual { epoch: Instant::now(), us: AtomicU64::new(SECOND) });
        let fake = Arc::new(Fake {
            clock: Arc::clone(&clock),
            server: Mutex::default(),
            up: AtomicBool::new(true),
            replicas,
            timeout: Mutex::new(HOUR),
            timed_out: AtomicU64::new(0),
        });
        let wanted = Wanted {
            name: Name::from("limit"),
            place: Place::Redis,
            max_keys: 100_000,
            when_store_fails: when,
            lease,
        };
        let budgets = || {
            let remote: Arc<dyn Remote> = Arc::clone(&fake) as Arc<dyn Remote>;
            Budgets::new(remote, &wanted, None, Arc::clone(&clock) as Arc<dyn Clock>)
        };
        let replicas = (0..replicas).map(|_| budgets()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        House { runtime, clock, fake, replicas }
    }

    pub(super) fn poll(&self, waits: &mut Waits<'_>) -> Option<Outcome> {
        let _inside = self.runtime.enter();
        match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    /// Asks; a request that waits has begun to.
    pub(super) fn start(&self, replica: usize, limit: &Limit, cost: u64) -> Result<Outcome, Waits<'_>> {
        match self.replicas[replica].take(b"key", limit, cost) {
            Taken::Ready(outcome) => Ok(outcome),
            Taken::Wait(mut waits) => self.poll(&mut waits).ok_or(waits),
        }
    }

    /// Asks and lets Redis answer.
    pub(super) fn ask(&self, replica: usize, limit: &Limit, cost: u64) -> Decision {
        match self.start(replica, limit, cost) {
            Ok(outcome) => outcome.unwrap(),
            Err(mut waits) => {
                self.fake.settle(&mut fastrand::Rng::with_seed(1));
                self.poll(&mut waits).expect("an answer").unwrap()
            }
        }
    }

    pub(super) fn tidy(&self) {
        self.replicas.iter().for_each(|replica| replica.tidy(self.clock.now()));
    }

    /// More requests than fit, on all replicas, for some milliseconds; the admissions.
    pub(super) fn flood(
        &self,
        limit: &Limit,
        ms: u64,
        each: u64,
        random: &mut fastrand::Rng,
    ) -> Vec<(u64, u64)> {
        let mut admitted = Vec::new();
        for step in 0..ms {
            let mut waiting = Vec::new();
            for _ in 0..each {
                let cost = if random.u8(..8) == 0 { random.u64(0..4) } else { 1 };
                match self.start(random.usize(..self.replicas.len()), limit, cost) {
                    Ok(outcome) => {
                        if outcome.unwrap().admitted {
                            admitted.push((self.clock.us(), cost));
                        }
                    }
                    Err(waits) => waiting.push((cost, waits)),
                }
                if random.u8(..4) == 0 {
                    self.fake.settle(random);
                }
            }
            self.fake.settle(random);
            for (cost, mut waits) in waiting {
                // Some clients leave before they hear.
                if random.u8(..20) == 0 {
                    continue;
                }
                if self.poll(&mut waits).expect("nobody is forgotten").unwrap().admitted {
                    admitted.push((self.clock.us(), cost));
                }
            }
            if step % 100 == 0 {
                self.tidy();
            }
            self.clock.pass(1000);
        }
        admitted
    }
}
