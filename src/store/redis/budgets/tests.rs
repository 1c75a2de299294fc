//! Leases, waiting and outages, with several replicas on one limiter.

mod house;

use house::*;

use super::*;
use crate::store::{Algorithm, Place, Source};

fn sliding(limit: u64) -> Limit {
    Limit { algorithm: Algorithm::SlidingWindow, limit, window_us: SECOND, burst: limit, slowest: limit }
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
fn tiers_count_the_same_permits_with_redis_and_without() {
    for lease in [Lease::None, Lease::default()] {
        let house = House::new(1, lease, WhenStoreFails::Local);
        let [slow, fast] = [5, 50].map(|limit| Limit { slowest: 5, ..sliding(limit) });
        let spend = |limit: &Limit| (0..60).filter(|_| house.ask(0, limit, 1).admitted).count();
        assert_eq!((0..3).filter(|_| house.ask(0, &slow, 1).admitted).count(), 3);
        assert_eq!((0..3).filter(|_| house.ask(0, &fast, 1).admitted).count(), 3, "{lease:?}");
        assert_eq!(spend(&slow), 0, "{lease:?}: the faster tier has spent it");
        house.fake.up.store(false, Relaxed);
        assert_eq!((spend(&slow), spend(&fast), spend(&slow)), (0, 44, 0), "{lease:?}: away");
        house.fake.up.store(true, Relaxed);
        house.tidy();
        house.fake.settle(&mut fastrand::Rng::with_seed(1));
        assert_eq!(house.fake.used(SECOND), 50, "{lease:?}: Redis hears of all of them");
        assert_eq!((spend(&slow), spend(&fast)), (0, 0), "{lease:?}");
    }
}

#[test]
fn tiers_in_turn_never_pass_the_larger_limit() {
    for replicas in [1, 2] {
        let house = House::new(replicas, Lease::default(), WhenStoreFails::Local);
        let tiers = [400, 1000].map(|limit| Limit { slowest: 400, ..sliding(limit) });
        let random = &mut fastrand::Rng::with_seed(replicas);
        let mut admitted = Vec::new();
        for round in 0..60 {
            admitted.extend(house.flood(&tiers[round % 2], 50, 4, random));
        }
        let most = most_in_a_window(&admitted, SECOND);
        assert!(most <= 1000, "{most} of 1000 with {replicas} replicas");
    }
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
    house.replicas = vec![Budgets::new(remote, &wanted, None, Arc::clone(&house.clock) as Arc<dyn Clock>)];
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

#[test]
fn keys_of_any_length_are_counted_apart_and_neither_kept_nor_sent() {
    for lease in [Lease::None, Lease::default()] {
        let house = House::new(2, lease, WhenStoreFails::Local);
        let limit = sliding(4);
        let long = vec![b'k'; 15 * 1024];
        let mut other = long.clone();
        other[15 * 1024 - 1] = b'l';
        let ask = |replica: usize, key: &[u8]| {
            let Taken::Wait(mut waits) = house.replicas[replica].take(key, &limit, 1) else {
                panic!("it waits")
            };
            assert!(house.poll(&mut waits).is_none());
            house.fake.settle(&mut fastrand::Rng::with_seed(1));
            house.poll(&mut waits).unwrap().unwrap()
        };
        // Replicas agree on what a key is called, whatever secret each of them finds it by.
        assert_eq!((ask(0, &long).remaining, ask(1, &long).remaining, ask(0, &other).remaining), (3, 2, 3));
        let taken = ask(0, &long);
        house.replicas[0].give_back(&long, &limit, 1, taken.ticket);
        // A lease may keep it for the replica that gave it back.
        assert!(lease != Lease::None || ask(1, &long).remaining == 1);
        let server = house.fake.server();
        assert_eq!(server.logs.len(), 2);
        assert!(server.logs.keys().all(|key| key.len() <= 100));
    }
    // What a replica keeps of a key has no part elsewhere that could grow with it.
    assert!(!std::mem::needs_drop::<Key>() && size_of::<Key>() == 32);
}

#[test]
fn a_key_is_digested_with_no_lock_held_and_only_where_it_is_counted() {
    let limit = sliding(4);
    for (when, is_up, counted) in [
        (WhenStoreFails::Local, true, true),
        (WhenStoreFails::Deny, true, true),
        (WhenStoreFails::Local, false, true),
        (WhenStoreFails::Deny, false, false),
        (WhenStoreFails::Allow, false, false),
    ] {
        let house = House::new(1, Lease::default(), when);
        house.fake.up.store(is_up, Relaxed);
        let budgets = &house.replicas[0];
        let print = budgets.seed.print(b"key");
        // The step has the lock, and nothing to make a digest of.
        let step = budgets.step(print, None, &limit, 1, &mut Send::default());
        assert_eq!(matches!(step, Step::Unknown), counted, "{when:?} {is_up} {step:?}");
        assert_eq!(matches!(step, Step::Uncounted), !counted, "{when:?} {is_up} {step:?}");
        let whole = Some(budgets.key(print, b"key"));
        let step = budgets.step(print, whole, &limit, 1, &mut Send::default());
        assert!(!matches!(step, Step::Unknown), "{when:?} {is_up} {step:?}");
        assert!(budgets.shard(&print).known(&print).is_some() == is_up);
    }
    // What is known by its print needs no digest.
    let house = House::new(1, Lease::default(), WhenStoreFails::Local);
    house.ask(0, &limit, 1);
    let budgets = &house.replicas[0];
    let step = budgets.step(budgets.seed.print(b"key"), None, &limit, 1, &mut Send::default());
    assert!(matches!(step, Step::Wait(..)), "{step:?}");
}

#[test]
fn what_is_counted_without_redis_is_the_same_key_over_a_reload() {
    let house = House::new(1, Lease::default(), WhenStoreFails::Local);
    house.fake.up.store(false, Relaxed);
    let limit = sliding(3);
    let before = &house.replicas[0];
    let wanted = Wanted {
        name: Name::from("limit"),
        place: Place::Redis,
        max_keys: 100_000,
        when_store_fails: WhenStoreFails::Local,
        lease: Lease::None,
    };
    let left = |budgets: &Arc<Budgets>| match budgets.take(b"key", &limit, 1) {
        Taken::Ready(decision) => decision.unwrap().remaining,
        Taken::Wait(_) => panic!("nothing is asked"),
    };
    assert_eq!(left(before), 2);
    let remote: Arc<dyn Remote> = Arc::clone(&house.fake) as Arc<dyn Remote>;
    let after = Budgets::new(remote, &wanted, Some(&**before), Arc::clone(&house.clock) as Arc<dyn Clock>);
    assert_eq!((left(&after), left(before)), (1, 0));
}
