mod simulation;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::kinds::Kind;
use super::*;

/// A set of endpoints with addresses of its own.
fn set(weights: &[u32]) -> Vec<Candidate> {
    let candidate = |(index, weight): (usize, &u32)| Candidate {
        weight: *weight,
        active: 0,
        usable: true,
        ramp: 1.0,
        hash: hash::stable(format!("10.0.0.{index}:80").as_bytes()),
    };
    weights.iter().enumerate().map(candidate).collect()
}

fn told(kind: Kind, set: &[Candidate]) -> Box<dyn Balancer> {
    let balancer = kind.build();
    balancer.rebuilt(&set.iter().map(|candidate| (candidate.hash, candidate.weight)).collect::<Vec<_>>());
    balancer
}

fn pick(
    balancer: &dyn Balancer,
    set: &[Candidate],
    key: Option<u64>,
    random: &mut fastrand::Rng,
) -> Option<usize> {
    balancer.pick(set.len(), &|index| set[index], key, CoreId(0), random)
}

/// How often each endpoint is picked in so many calls, each of which has ended before the next.
fn spread(kind: Kind, set: &[Candidate], calls: usize) -> Vec<usize> {
    let (balancer, mut random) = (told(kind, set), fastrand::Rng::with_seed(7));
    let mut counts = vec![0; set.len()];
    for key in 0..calls {
        counts[pick(&*balancer, set, Some(key as u64), &mut random).unwrap()] += 1;
    }
    counts
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (0_u32..6, 0_u32..50, prop::bool::weighted(0.3), prop_oneof![Just(1.0_f32), 0.0_f32..1.0], any::<u64>())
        .prop_map(|(weight, active, usable, ramp, hash)| Candidate { weight, active, usable, ramp, hash })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn who_is_picked_is_usable_if_anybody_is(
        before in prop::collection::vec(candidate(), 0..40),
        now in prop::collection::vec(candidate(), 0..40),
        keys in prop::collection::vec(any::<Option<u64>>(), 30),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        for kind in Kind::ALL {
            // Nobody has been told, the set before has been told, this set has been told.
            let balancers = [kind.build(), told(kind, &before), told(kind, &now)];
            for (balancer, key) in balancers.iter().flat_map(|each| keys.iter().map(move |key| (each, key))) {
                match pick(&**balancer, &now, *key, &mut random) {
                    Some(index) => prop_assert!(now[index].usable, "{kind:?}"),
                    None => prop_assert!(now.iter().all(|candidate| !candidate.usable), "{kind:?}"),
                }
            }
        }
    }

    #[test]
    fn round_robin_is_never_far_off(
        weights in prop::collection::vec(1_u32..30, 2..20),
        out in prop::collection::vec(prop::bool::weighted(0.2), 20),
    ) {
        let mut set = set(&weights);
        set.iter_mut().zip(out).for_each(|(candidate, out)| candidate.usable = !out);
        prop_assume!(set.iter().any(|candidate| candidate.usable));
        let (balancer, mut random) = (told(Kind::RoundRobin, &set), fastrand::Rng::with_seed(1));
        // The first call may find that the greatest is out.
        pick(&*balancer, &set, None, &mut random);
        let weight = |candidate: &Candidate| if candidate.usable { f64::from(candidate.weight) } else { 0.0 };
        let sum: f64 = set.iter().map(weight).sum();
        let mut counts = vec![0_u32; set.len()];
        for calls in 1..1_000 {
            counts[pick(&*balancer, &set, None, &mut random).unwrap()] += 1;
            for (candidate, count) in set.iter().zip(&counts) {
                let due = f64::from(calls) * weight(candidate) / sum;
                // Two calls, and its part of a round.
                let spare = 2.0 + weight(candidate) * set.len() as f64 / sum;
                prop_assert!((due - f64::from(*count)).abs() <= spare, "{weights:?} {counts:?} {calls}");
            }
        }
    }
}

#[test]
fn every_balancer_uses_an_idle_set_by_weight() {
    let weights = [1, 2, 3, 4, 10, 1, 1, 8];
    for kind in Kind::ALL {
        let counts = spread(kind, &set(&weights), 60_000);
        for (weight, count) in weights.iter().zip(&counts) {
            let due = f64::from(*weight) / 30.0 * 60_000.0;
            // A ring is as even as its points fell: 128 for each weight.
            let spare = if kind == Kind::ConsistentHash { 0.35 } else { 0.08 };
            assert!((*count as f64 / due - 1.0).abs() < spare, "{kind:?}: {counts:?}");
        }
    }
}

#[test]
fn round_robin_goes_round_and_no_neighbour_pays_for_who_is_out() {
    let mut set = set(&[1; 5]);
    set[2].usable = false;
    let (balancer, mut random) = (told(Kind::RoundRobin, &set), fastrand::Rng::with_seed(1));
    let picks: Vec<_> = (0..40).map(|_| pick(&*balancer, &set, None, &mut random).unwrap()).collect();
    for window in picks.windows(4) {
        assert_eq!(window.iter().collect::<HashSet<_>>().len(), 4, "{picks:?}");
    }
}

#[test]
fn round_robin_stays_even_when_the_greatest_goes_and_comes_back() {
    let mut set = set(&[1, 1, 1, 40]);
    let (balancer, mut random) = (told(Kind::RoundRobin, &set), fastrand::Rng::with_seed(1));
    set[3].usable = false;
    let mut counts = [0_u32; 4];
    (0..300).for_each(|_| counts[pick(&*balancer, &set, None, &mut random).unwrap()] += 1);
    assert_eq!(counts, [100, 100, 100, 0]);
    set[3].usable = true;
    (0..4_300).for_each(|_| counts[pick(&*balancer, &set, None, &mut random).unwrap()] += 1);
    assert!(counts[3].abs_diff(4_000) < 50, "{counts:?}");
}

#[test]
fn round_robin_of_many_cores_gives_each_its_part() {
    let set = set(&[1, 2, 3, 4]);
    let balancer = told(Kind::RoundRobin, &set);
    let counts: Vec<AtomicU64> = set.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for core in (0..8).map(CoreId) {
            let (balancer, set, counts) = (&balancer, &set, &counts);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(1);
                for _ in 0..1_000 {
                    let index = balancer.pick(set.len(), &|index| set[index], None, core, &mut random);
                    counts[index.unwrap()].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let counts: Vec<_> = counts.into_iter().map(AtomicU64::into_inner).collect();
    for (count, due) in counts.iter().zip([800, 1_600, 2_400, 3_200]) {
        // Two calls and its part of one round for each of the eight cores.
        assert!(count.abs_diff(due) <= 8 * 6, "{counts:?}");
    }
}

#[test]
fn least_request_goes_to_the_less_busy_for_its_weight() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut set = set(&[1, 3]);
    let balancer = told(Kind::LeastRequest, &set);
    for (light, heavy, picked) in [(1, 0, 1), (0, 1, 0), (1, 2, 1), (1, 4, 0), (0, 200, 0)] {
        (set[0].active, set[1].active) = (light, heavy);
        for _ in 0..100 {
            assert_eq!(pick(&*balancer, &set, None, &mut random), Some(picked), "{light} {heavy}");
        }
    }
}

#[test]
fn slow_start_gives_a_part_of_the_weight() {
    for kind in Kind::ALL {
        let mut set = set(&[10; 10]);
        set[4].ramp = 0.1;
        let count = spread(kind, &set, 91_000)[4] as f64 / 1_000.0;
        assert!((0.8..=1.3).contains(&count), "{kind:?}: {count}");
    }
}

/// Where each of so many keys goes.
fn homes(balancer: &dyn Balancer, set: &[Candidate], keys: u64) -> HashMap<u64, u64> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..keys)
        .map(|key| {
            let key = hash::stable(&key.to_le_bytes());
            (key, set[pick(balancer, set, Some(key), &mut random).unwrap()].hash)
        })
        .collect()
}

#[test]
fn only_the_keys_of_who_goes_move() {
    let mut set = set(&[1, 2, 1, 3, 1, 1, 1]);
    let balancer = told(Kind::ConsistentHash, &set);
    let before = homes(&*balancer, &set, 20_000);
    let gone = set[3].hash;
    let unmoved = |after: &HashMap<u64, u64>| {
        for (key, home) in &before {
            assert!(*home == gone || after[key] == *home);
            assert_ne!(after[key], gone);
        }
    };
    set[3].usable = false;
    let out = homes(&*balancer, &set, 20_000);
    unmoved(&out);
    set.remove(3);
    let removed = homes(&*told(Kind::ConsistentHash, &set), &set, 20_000);
    unmoved(&removed);
    assert_eq!(out, removed, "who is out and who is gone leave their keys to the same endpoints");
    set.reverse();
    assert_eq!(homes(&*told(Kind::ConsistentHash, &set), &set, 20_000), removed, "the order tells nothing");
}

#[test]
fn keys_stay_put_while_the_ring_is_not_of_this_set() {
    let set = set(&[1; 9]);
    let balancer = Kind::ConsistentHash.build();
    let homes_before = homes(&*balancer, &set, 1_000);
    assert_eq!(homes(&*balancer, &set, 1_000), homes_before);
    assert_eq!(homes_before.values().collect::<HashSet<_>>().len(), 9);
}

#[test]
fn a_hot_key_spills_over_at_a_quarter_more_than_its_part() {
    for weights in [vec![1; 4], vec![1, 2, 3, 4], vec![1; 100]] {
        let mut set = set(&weights);
        let (balancer, mut random) = (told(Kind::ConsistentHash, &set), fastrand::Rng::with_seed(5));
        let sum: u32 = weights.iter().sum();
        for calls in 1..=1_000_u32 {
            let index = pick(&*balancer, &set, Some(99), &mut random).unwrap();
            set[index].active += 1;
            let part = 1.25 * f64::from(calls) * f64::from(set[index].weight) / f64::from(sum);
            assert!(f64::from(set[index].active) <= part.ceil().max(4.0), "{calls}: {index}");
        }
    }
}

#[test]
fn a_great_set_has_a_ring_of_bounded_size_and_every_endpoint_is_on_it() {
    let set = set(&vec![u32::MAX; 3_000]);
    let balancer = told(Kind::ConsistentHash, &set);
    let homes = homes(&*balancer, &set, 100_000);
    let used = homes.values().collect::<HashSet<_>>().len();
    assert!(used > 2_990, "{used}");
}
