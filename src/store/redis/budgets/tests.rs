use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::store::redis::{Done, Trip};
use crate::store::{Algorithm, Place};

const SECOND: u64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

struct Manual {
    epoch: Instant,
    us: AtomicU64,
}

impl Manual {
    fn us(&self) -> u64 {
        self.us.load(Relaxed)
    }
    fn pass(&self, us: u64) {
        self.us.fetch_add(us, Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        self.epoch + Duration::from_micros(self.us())
    }
}

#[derive(Default)]
struct Server {
    logs: HashMap<Box<[u8]>, VecDeque<(u64, u64)>>,
    pending: Vec<(Trip, Done)>,
    replies: Vec<(Grant, Done)>,
    trips: u64,
    returned: u64,
}

/// A limiter as strict as its formula (a log of all hits), whose answers come when the test wants them.
struct Fake {
    clock: Arc<Manual>,
    server: Mutex<Server>,
    up: AtomicBool,
    replicas: u64,
    timeout: Mutex<Duration>,
    timed_out: AtomicU64,
}

impl Fake {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// Redis decides one trip of those that are on their way; its answer still has to come home.
    fn decide(&self, index: usize) {
        let mut server = self.server();
        let (trip, done) = server.pending.remove(index);
        let grant = server.run(&trip, self.clock.us());
        server.replies.push((grant, done));
    }

    fn reply(&self) {
        loop {
            let Some((grant, done)) = self.server().replies.pop() else { return };
            done(Ok(grant));
        }
    }

    fn fail(&self) {
        loop {
            let Some((_, done)) = self.server().pending.pop() else { return };
            done(Err(String::from("gone")));
        }
    }

    /// Everything that is on its way arrives, in some order, until nothing is.
    fn settle(&self, random: &mut fastrand::Rng) {
        loop {
            let count = self.server().pending.len();
            if count == 0 {
                return;
            }
            self.decide(random.usize(..count));
            self.reply();
        }
    }

    fn used(&self, window: u64) -> u64 {
        let (now, server) = (self.clock.us(), self.server());
        server.logs.values().flatten().filter(|(at, _)| at + window > now).map(|(_, n)| n).sum()
    }
}

impl Server {
    fn run(&mut self, trip: &Trip, now: u64) -> Grant {
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

type Waits<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

struct House {
    runtime: tokio::runtime::Runtime,
    clock: Arc<Manual>,
    fake: Arc<Fake>,
    replicas: Vec<Arc<Budgets>>,
}

impl House {
    fn new(replicas: u64, lease: Lease, when: WhenStoreFails) -> House {
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
            Budgets::new(remote, &wanted, Arc::clone(&clock) as Arc<dyn Clock>)
        };
        let replicas = (0..replicas).map(|_| budgets()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        House { runtime, clock, fake, replicas }
    }

    fn poll(&self, waits: &mut Waits<'_>) -> Option<Outcome> {
        let _inside = self.runtime.enter();
        match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    /// Asks; a request that waits has begun to.
    fn start(&self, replica: usize, limit: &Limit, cost: u64) -> Result<Outcome, Waits<'_>> {
        match self.replicas[replica].take(b"key", limit, cost) {
            Taken::Ready(outcome) => Ok(outcome),
            Taken::Wait(mut waits) => self.poll(&mut waits).ok_or(waits),
        }
    }

    /// Asks and lets Redis answer.
    fn ask(&self, replica: usize, limit: &Limit, cost: u64) -> Decision {
        match self.start(replica, limit, cost) {
            Ok(outcome) => outcome.unwrap(),
            Err(mut waits) => {
                self.fake.settle(&mut fastrand::Rng::with_seed(1));
                self.poll(&mut waits).expect("an answer").unwrap()
            }
        }
    }

    fn tidy(&self) {
        self.replicas.iter().for_each(|replica| replica.tidy(self.clock.now()));
    }

    /// More requests than fit, on all replicas, for some milliseconds; the admissions.
    fn flood(&self, limit: &Limit, ms: u64, each: u64, random: &mut fastrand::Rng) -> Vec<(u64, u64)> {
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

fn sliding(limit: u64) -> Limit {
    Limit { algorithm: Algorithm::SlidingWindow, limit, window_us: SECOND, burst: limit }
}

fn most_in_a_window(admitted: &[(u64, u64)], window: u64) -> u64 {
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (at, cost) in admitted {
        sum += cost;
        while admitted[first].0 + window <= *at {
            sum -= admitted[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

#[test]
fn replicas_together_never_pass_the_limit_and_hardly_miss_it() {
    for replicas in [1, 2, 8] {
        for seed in 0..3 {
            let house = House::new(replicas, Lease::default(), WhenStoreFails::Local);
            let limit = sliding(1000);
            let random = &mut fastrand::Rng::with_seed(seed);
            let admitted = house.flood(&limit, 4000, 4, random);
            let most = most_in_a_window(&admitted, SECOND);
            assert!(most <= 1000, "{most} of 1000 with {replicas} replicas, seed {seed}");
            let sum: u64 = admitted.iter().map(|(_, cost)| cost).sum();
            assert!(sum >= 3800, "{sum} of 4000 with {replicas} replicas, seed {seed}");
        }
    }
}

#[test]
fn fixed_windows_hold_over_replicas_too() {
    for replicas in [1, 2, 8] {
        let house = House::new(replicas, Lease::default(), WhenStoreFails::Local);
        let limit = Limit { algorithm: Algorithm::FixedWindow, ..sliding(500) };
        let admitted = house.flood(&limit, 1000, 3, &mut fastrand::Rng::with_seed(replicas));
        let sum: u64 = admitted.iter().map(|(_, cost)| cost).sum();
        assert!((475..=500).contains(&sum), "{sum} with {replicas} replicas");
    }
}

#[test]
fn a_hot_key_costs_few_trips() {
    let house = House::new(2, Lease::default(), WhenStoreFails::Local);
    let limit = Limit { window_us: 60 * SECOND, ..sliding(1_000_000) };
    let mut sum = 0;
    for _ in 0..1000 {
        for replica in 0..2 {
            for _ in 0..10 {
                sum += u64::from(house.ask(replica, &limit, 1).admitted);
            }
        }
        house.clock.pass(1000);
    }
    assert_eq!(sum, 20_000);
    let trips = house.fake.server().trips;
    assert!(trips < 200, "{trips} trips");
}

#[test]
fn a_cold_key_takes_exactly_its_cost() {
    let house = House::new(1, Lease::default(), WhenStoreFails::Local);
    let decision = house.ask(0, &sliding(100), 3);
    assert_eq!((decision.remaining, decision.source), (97, Source::Redis));
    assert_eq!(house.fake.used(SECOND), 3);
}

#[test]
fn without_leases_every_request_asks() {
    let house = House::new(1, Lease::None, WhenStoreFails::Local);
    let sum = (0..15).filter(|_| house.ask(0, &sliding(10), 1).admitted).count();
    assert_eq!((sum, house.fake.server().trips), (10, 15));
}

#[test]
fn what_is_unspent_goes_back_when_the_lease_ends_and_when_the_house_closes() {
    let mut house = House::new(1, Lease::default(), WhenStoreFails::Local);
    let limit = sliding(1000);
    let spend = |house: &House, n: u64| (0..n).for_each(|_| assert!(house.ask(0, &limit, 1).admitted));
    spend(&house, 15);
    assert!(house.fake.used(SECOND) > 15, "a lease is held");
    house.clock.pass(20_000);
    house.tidy();
    assert_eq!(house.fake.used(SECOND), 15);
    spend(&house, 3);
    house.clock.pass(100);
    spend(&house, 8);
    house.replicas.clear();
    assert_eq!(house.fake.used(SECOND), 26);
}

#[test]
fn those_who_wait_are_served_in_order_and_nobody_is_forgotten() {
    let house = House::new(1, Lease::default(), WhenStoreFails::Local);
    let limit = sliding(3);
    let mut waiting: Vec<_> = (0..6).map(|_| house.start(0, &limit, 1).err().unwrap()).collect();
    drop(waiting.remove(1));
    house.fake.settle(&mut fastrand::Rng::with_seed(1));
    let heard: Vec<bool> =
        waiting.iter_mut().map(|waits| house.poll(waits).unwrap().unwrap().admitted).collect();
    assert_eq!(heard, [true, true, true, false, false]);
}

#[test]
fn a_failed_trip_sends_all_who_wait_to_the_fallback() {
    let house = House::new(2, Lease::default(), WhenStoreFails::Local);
    let limit = sliding(4);
    let mut waiting: Vec<_> = (0..3).map(|_| house.start(0, &limit, 1).err().unwrap()).collect();
    house.fake.fail();
    let heard: Vec<_> = waiting.iter_mut().map(|waits| house.poll(waits).unwrap().unwrap()).collect();
    assert!(heard.iter().all(|decision| decision.source == Source::Local));
    assert_eq!(heard.iter().filter(|decision| decision.admitted).count(), 2);
}

#[test]
fn a_request_that_waited_too_long_falls_back_and_the_late_grant_is_not_lost() {
    for lease in [Lease::None, Lease::default()] {
        let house = House::new(1, lease, WhenStoreFails::Allow);
        *house.fake.timeout.lock().unwrap() = Duration::ZERO;
        let limit = sliding(10);
        let Taken::Wait(waits) = house.replicas[0].take(b"key", &limit, 2) else { panic!("it waits") };
        let decision = house.runtime.block_on(waits).unwrap();
        assert_eq!((decision.source, house.fake.timed_out.load(Relaxed)), (Source::Allow, 1));
        house.fake.settle(&mut fastrand::Rng::with_seed(1));
        assert_eq!(house.fake.used(SECOND), 0);
    }
}

#[test]
fn an_answer_on_the_way_to_a_client_that_left_goes_back() {
    for lease in [Lease::None, Lease::default()] {
        let house = House::new(1, lease, WhenStoreFails::Allow);
        let waits = house.start(0, &sliding(10), 2).err().unwrap();
        house.fake.settle(&mut fastrand::Rng::with_seed(1));
        assert_eq!(house.fake.used(SECOND), 2);
        drop(waits);
        assert_eq!(house.fake.used(SECOND), 0);
    }
}

#[test]
fn deny_and_allow_do_what_they_say() {
    let limit = sliding(1);
    let house = House::new(1, Lease::default(), WhenStoreFails::Deny);
    house.fake.up.store(false, Relaxed);
    assert!(house.start(0, &limit, 1).ok().unwrap().is_err());
    let house = House::new(1, Lease::default(), WhenStoreFails::Allow);
    house.fake.up.store(false, Relaxed);
    assert!((0..5).all(|_| house.ask(0, &limit, 1).source == Source::Allow));
    assert_eq!(house.replicas[0].statistics().allow, 5);
}

#[test]
fn a_refusal_is_told_again_without_asking_while_it_is_true() {
    let house = House::new(1, Lease::default(), WhenStoreFails::Local);
    let limit = sliding(2);
    assert!(house.ask(0, &limit, 2).admitted);
    house.clock.pass(995_000);
    let first = house.ask(0, &limit, 1);
    assert_eq!((first.admitted, first.reset_us, first.source), (false, 5_000, Source::Redis));
    house.clock.pass(4_000);
    let again = house.ask(0, &limit, 1);
    assert_eq!((again.admitted, again.reset_us, again.source), (false, 1_000, Source::Lease));
    house.clock.pass(1_000);
    assert!(house.ask(0, &limit, 1).admitted, "who waited as long as told is admitted");
}

#[test]
fn permits_given_back_can_be_spent_again() {
    for lease in [Lease::None, Lease::default()] {
        let house = House::new(1, lease, WhenStoreFails::Local);
        let limit = sliding(5);
        let taken: Vec<Decision> = (0..5).map(|_| house.ask(0, &limit, 1)).collect();
        assert!(taken.iter().all(|decision| decision.admitted));
        house.replicas[0].give_back(b"key", &limit, 1, taken[4].ticket);
        assert!(house.ask(0, &limit, 1).admitted);
        assert!(!house.ask(0, &limit, 1).admitted);
    }
}

#[test]
fn an_outage_and_a_return_stay_within_twice_the_limit_and_known_keys_near_once() {
    for replicas in [1, 2, 8] {
        let house = House::new(replicas, Lease::default(), WhenStoreFails::Local);
        let limit = sliding(800);
        let random = &mut fastrand::Rng::with_seed(replicas);
        let mut admitted = house.flood(&limit, 1500, 4, random);
        house.fake.up.store(false, Relaxed);
        admitted.extend(house.flood(&limit, 700, 4, random));
        let known = most_in_a_window(&admitted, SECOND);
        assert!(known <= 1000, "{known} when Redis went");
        house.fake.server().logs.clear();
        house.fake.up.store(true, Relaxed);
        house.tidy();
        house.fake.settle(random);
        admitted.extend(house.flood(&limit, 1500, 4, random));
        let most = most_in_a_window(&admitted, SECOND);
        assert!(most <= 1600, "{most} of 800 with {replicas} replicas");
    }
}

#[test]
fn what_was_admitted_without_redis_is_told_when_it_returns() {
    let house = House::new(2, Lease::default(), WhenStoreFails::Local);
    let limit = sliding(10);
    house.fake.up.store(false, Relaxed);
    assert_eq!((0..9).filter(|_| house.ask(0, &limit, 1).admitted).count(), 5);
    house.fake.up.store(true, Relaxed);
    house.tidy();
    house.fake.fail();
    assert_eq!(house.fake.used(SECOND), 0);
    house.tidy();
    house.fake.settle(&mut fastrand::Rng::with_seed(1));
    assert_eq!(house.fake.used(SECOND), 5);
    assert_eq!(house.ask(1, &limit, 1).remaining, 4);
}

#[test]
fn idle_keys_are_forgotten_and_a_full_house_still_decides() {
    let mut house = House::new(1, Lease::default(), WhenStoreFails::Local);
    let wanted = Wanted {
        name: Name::from("small"),
        place: Place::Redis,
        max_keys: SHARDS,
        when_store_fails: WhenStoreFails::Local,
        lease: Lease::default(),
    };
    let remote: Arc<dyn Remote> = Arc::clone(&house.fake) as Arc<dyn Remote>;
    house.replicas = vec![Budgets::new(remote, &wanted, Arc::clone(&house.clock) as Arc<dyn Clock>)];
    let (limit, budgets) = (sliding(2), &house.replicas[0]);
    let mut admitted = 0;
    for round in 0..900_u32 {
        let Taken::Wait(mut waits) = budgets.take(&(round % 300).to_be_bytes(), &limit, 1) else { continue };
        assert!(house.poll(&mut waits).is_none());
        house.fake.settle(&mut fastrand::Rng::with_seed(1));
        admitted += u32::from(house.poll(&mut waits).expect("an answer").unwrap().admitted);
    }
    let keys = || (0..SHARDS).map(|index| budgets.lock(index).entries.len()).sum::<usize>();
    assert!((500..=600).contains(&admitted), "{admitted}");
    assert!(keys() <= SHARDS);
    house.clock.pass(2 * SECOND);
    (0..SHARDS / SHARDS_PER_TIDY).for_each(|_| house.tidy());
    assert_eq!(keys(), 0);
}
