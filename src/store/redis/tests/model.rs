//! The scripts on a real server against the pure machines, step by step, with the time passed in.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::{Cmd, Commands, Connection};

use super::server::Server;
use crate::store::algorithm::State;
use crate::store::{Algorithm, Limit};

const TAKE: &str = concat!(include_str!("../budget.lua"), "\n", include_str!("../take.lua"));
const GIVE_BACK: &str = concat!(include_str!("../budget.lua"), "\n", include_str!("../give_back.lua"));
const SECOND: u64 = 1_000_000;
/// Some moment in the time of the server's clock.
const START: u64 = 1_700_000_000 * SECOND;

/// A script whose clock is its last two arguments.
struct Script(String);

impl Script {
    fn new(text: &str) -> Script {
        let (clock, passed) = ("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
        assert_eq!(text.matches(clock).count(), 1);
        Script(text.replace(clock, passed))
    }

    fn call(&self, key: &str, limit: &Limit, numbers: &[u64], now: u64) -> Cmd {
        let algorithm = match limit.algorithm {
            Algorithm::SlidingWindow => 0,
            Algorithm::FixedWindow => 1,
            Algorithm::TokenBucket => 2,
        };
        let mut call = redis::cmd("EVAL");
        call.arg(&self.0).arg(1).arg(key).arg(algorithm).arg(limit.limit).arg(limit.window_us);
        call.arg(limit.capacity()).arg(limit.slowest).arg(numbers).arg(now / SECOND).arg(now % SECOND);
        call
    }
}

/// One step: the time since the one before, the cost, which limit judges it, and which earlier admission to give back.
type Step = (u64, u64, usize, Option<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![2 => 0..50u64, 4 => 0..200 * SECOND, 1 => 0..10_000 * SECOND];
    let back = prop_oneof![4 => Just(None), 1 => (0..6usize).prop_map(Some)];
    prop::collection::vec((wait, 0..5u64, 0..4usize, back), 1..120)
}

/// Windows are so long that no key expires while the test runs.
fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let windows = prop_oneof![1000 * SECOND..9000 * SECOND, Just(3600 * SECOND), Just(366 * 86_400 * SECOND)];
    let one = (0..3usize, 1..40u64, windows, 1..30u64).prop_map(|(which, limit, window_us, burst)| {
        let algorithm = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::TokenBucket][which];
        let burst = if algorithm == Algorithm::TokenBucket { burst } else { limit };
        Limit { algorithm, limit, window_us, burst, slowest: limit }
    });
    prop::collection::vec(one, 4).prop_map(|mut limits| {
        let slowest = limits.iter().map(|limit| limit.limit).min().unwrap_or(1);
        limits.iter_mut().for_each(|limit| limit.slowest = slowest);
        limits
    })
}

fn play(connection: &mut Connection, key: &str, limits: &[Limit], steps: &[Step]) {
    let (take, give_back) = (Script::new(TAKE), Script::new(GIVE_BACK));
    let mut state = State::fresh(limits[0].algorithm);
    let mut taken: Vec<(u64, u64)> = Vec::new();
    let mut now = START;
    for (number, &(wait, cost, which, back)) in steps.iter().enumerate() {
        now += wait;
        let limit = &limits[which];
        let before = state.clone();
        let verdict = state.take(now, limit, cost);
        if verdict.admitted && cost > 0 {
            taken.push((now, cost));
        } else {
            state = before;
        }
        let said: [u64; 5] =
            take.call(key, limit, &[cost, cost, 0, 0], now).query(connection).expect("the script runs");
        let granted = if verdict.admitted { cost } else { 0 };
        assert_eq!(
            said[..3],
            [granted, verdict.remaining, verdict.reset_us],
            "step {number}: {cost} of {limit:?} at {now}, {state:?}"
        );
        let life: i64 = connection.pttl(key).unwrap();
        if verdict.admitted && cost > 0 {
            // The key outlives what counts, in the slowest of the tiers too.
            let slow = Limit { limit: limit.slowest, ..*limit };
            let counts = match limit.algorithm {
                Algorithm::TokenBucket => state.used(now, limit) * slow.window_us / slow.limit,
                _ => limit.window_us,
            };
            assert!(u64::try_from(life).unwrap() + 60_000 >= counts / 1000, "{life} of {counts}: {limit:?}");
        }
        if let Some((at, cost)) = back.and_then(|back| taken.len().checked_sub(back + 1)).map(|at| taken[at])
        {
            state.give_back(now, limit, cost, at);
            let _: i64 = give_back.call(key, limit, &[cost, at], now).query(connection).unwrap();
        }
    }
}

#[test]
fn the_scripts_count_as_the_machines_do_whatever_changes() {
    let server = Server::start();
    let connection = RefCell::new(server.connection());
    let mut runner = TestRunner::new(Config { max_shrink_iters: 2000, ..Config::with_cases(300) });
    let outcome = runner.run(&(limits(), steps()), |(limits, steps)| {
        let connection = &mut *connection.borrow_mut();
        let _: () = redis::cmd("FLUSHALL").query(connection).unwrap();
        play(connection, "k", &limits, &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_held_permit_lets_no_more_through_at_another_rate() {
    let server = Server::start();
    let mut connection = server.connection();
    let take = Script::new(TAKE);
    let bucket = |limit| Limit {
        algorithm: Algorithm::TokenBucket,
        limit,
        window_us: 3600 * SECOND,
        burst: 50,
        slowest: 600,
    };
    let mut ask = |limit: u64, numbers: [u64; 4], now| -> [u64; 5] {
        take.call("k", &bucket(limit), &numbers, now).query(&mut connection).unwrap()
    };
    let mut admitted = 0;
    for _ in 0..20 {
        admitted += ask(600, [1, 20, SECOND, 0], START)[0];
    }
    assert!((45..=49).contains(&admitted), "what is held counts as spent a second later: {admitted}");
    while ask(600, [1, 1, 0, 0], START + SECOND)[0] > 0 {
        admitted += 1;
    }
    assert_eq!(admitted, 50, "held or spent");
    let refused = ask(6000, [1, 1, 0, 0], START + SECOND);
    assert_eq!((refused[0], refused[1], refused[2]), (0, 0, 600_000));
    assert_eq!(ask(6000, [1, 1, 0, 0], START + SECOND + 600_000)[0], 1);
    assert_eq!(ask(600, [1, 1, 0, 0], START + SECOND + 600_000)[..3], [0, 0, 6_000_000]);
}

/// A trip of a tier: the time since the one before, the cost, what is taken ahead, the hold, the tier, when the permits
/// are spent (in hundredths of the hold), and how many of them go back unspent.
type Held = (u64, u64, u64, u64, usize, u64, u64);

fn held_trips() -> impl Strategy<Value = Vec<Held>> {
    let wait = prop_oneof![24 => 0..50u64, 2 => 0..SECOND, 1 => 0..40 * SECOND];
    let hold = prop_oneof![2 => Just(0), 1 => 1..SECOND, 1 => Just(SECOND)];
    let one = (wait, 1..4u64, 0..20u64, hold, 0..2usize, prop_oneof![Just(0), 0..=100u64], 0..4u64);
    prop::collection::vec(one, 1..80)
}

/// Whenever the permits of a hold are spent, and whichever tier asks next: never more than the larger limit.
fn hold(connection: &mut Connection, tiers: &[Limit; 2], trips: &[Held]) {
    let (take, give_back) = (Script::new(TAKE), Script::new(GIVE_BACK));
    let mut spent: Vec<(u64, u64)> = Vec::new();
    let mut now = START;
    for &(wait, cost, want, hold, tier, when, unspent) in trips {
        now += wait;
        let numbers = [cost, cost + want, hold, 0];
        let said: [u64; 5] = take.call("k", &tiers[tier], &numbers, now).query(connection).unwrap();
        let [granted, _, _, valid, at] = said;
        let back = unspent.min(granted);
        if granted > 0 {
            spent.push((now + valid * when / 100, granted - back));
        }
        if back > 0 {
            let _: i64 = give_back.call("k", &tiers[tier], &[back, at], now).query(connection).unwrap();
        }
    }
    spent.sort_unstable();
    let (window, most) = (tiers[0].window_us, tiers.iter().map(|tier| tier.limit).max().unwrap());
    let burst = tiers.iter().map(Limit::capacity).max().unwrap();
    for (first, (start, _)) in spent.iter().enumerate() {
        let mut sum = 0;
        for (at, permits) in &spent[first..] {
            sum += permits;
            match tiers[0].algorithm {
                Algorithm::SlidingWindow if at - start < window => assert!(sum <= most, "{sum}: {spent:?}"),
                Algorithm::TokenBucket => {
                    let refilled = u128::from(at - start) * u128::from(most);
                    let bound = u128::from(burst) + refilled.div_ceil(u128::from(window));
                    assert!(u128::from(sum) <= bound, "{sum} of {bound} from {start} to {at}: {spent:?}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn tiers_in_turn_over_held_permits_keep_the_larger_limit() {
    let server = Server::start();
    let connection = RefCell::new(server.connection());
    let tiers = (prop::bool::ANY, 1..40u64, 1..1000u64, 1..40u64, 20..100u64).prop_map(
        |(bucket, slow, fast, burst, seconds)| {
            [slow, fast].map(|limit| Limit {
                algorithm: if bucket { Algorithm::TokenBucket } else { Algorithm::SlidingWindow },
                limit,
                window_us: seconds * SECOND,
                burst: if bucket { burst } else { limit },
                slowest: slow.min(fast),
            })
        },
    );
    let mut runner = TestRunner::new(Config { max_shrink_iters: 2000, ..Config::with_cases(400) });
    let outcome = runner.run(&(tiers, held_trips()), |(tiers, trips)| {
        let connection = &mut *connection.borrow_mut();
        let _: () = redis::cmd("FLUSHALL").query(connection).unwrap();
        hold(connection, &tiers, &trips);
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
