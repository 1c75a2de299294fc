//! What the balancers do to a thousand endpoints in a great many calls; without sockets, the same every time.
//!
//! `cargo test --lib balance::tests::simulation -- --nocapture` prints the table; that of the documentation is for a
//! million of [`CALLS`], which takes too long without optimisation to be run every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::exchange::CoreId;

use super::super::kinds::Kind;
use super::super::{Balancer, Candidate, hash};

/// Calls of a run.
const CALLS: usize = 100_000;

/// Endpoints of the set.
const ENDPOINTS: usize = 1_000;

/// Nanoseconds that a call takes at an endpoint that is well, on average.
const SERVICE: f64 = 10_000_000.0;

/// How busy the set is.
const BUSY: f64 = 0.7;

/// How many times as long the slow endpoint takes.
const SLOW: f64 = 10.0;

/// A set and its balancer.
struct Fleet {
    balancer: Box<dyn Balancer>,
    set: Vec<Candidate>,
    random: fastrand::Rng,
}

impl Fleet {
    fn new(kind: Kind, weight: impl Fn(usize) -> u32) -> Fleet {
        let candidate = |index| Candidate {
            weight: weight(index),
            active: 0,
            usable: true,
            ramp: 1.0,
            hash: hash::stable(format!("10.0.{}.{}:80", index / 250, index % 250).as_bytes()),
        };
        let set: Vec<_> = (0..ENDPOINTS).map(candidate).collect();
        let balancer = kind.build();
        let fleet = Fleet { balancer, set, random: fastrand::Rng::with_seed(11) };
        fleet.tell();
        fleet
    }

    fn tell(&self) {
        let told: Vec<_> = self.set.iter().map(|candidate| (candidate.hash, candidate.weight)).collect();
        self.balancer.rebuilt(&told);
    }

    fn pick(&mut self, key: u64) -> usize {
        let set = &self.set;
        self.balancer.pick(set.len(), &|index| set[index], Some(key), CoreId(0), &mut self.random).unwrap()
    }

    /// Calls arrive by chance at endpoints that answer one after the other; the first is the slow one.
    ///
    fn run(&mut self, calls: usize, slow: bool, key: impl Fn(&mut fastrand::Rng) -> u64) -> Load {
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut free = vec![0_u64; ENDPOINTS];
        let (mut now, mut times) = (0.0, Vec::with_capacity(calls));
        let (mut most, mut of_slow, mut at_home) = (0, 0, 0);
        let mut idle = Fleet::new(Kind::ConsistentHash, |_| 1);
        let mut chance = fastrand::Rng::with_seed(23);
        let mut exponential = |mean: f64| -(1.0 - chance.f64()).ln() * mean;
        let mut keys = fastrand::Rng::with_seed(29);
        for _ in 0..calls {
            now += exponential(SERVICE / ENDPOINTS as f64 / BUSY);
            while let Some(Reverse((_, index))) = ends.peek().copied().filter(|end| end.0.0 <= now as u64) {
                self.set[index].active -= 1;
                ends.pop();
            }
            let key = key(&mut keys);
            let index = self.pick(key);
            at_home += usize::from(index == idle.pick(key));
            let factor = if slow && index == 0 { SLOW } else { 1.0 };
            let end = free[index].max(now as u64) + exponential(SERVICE * factor) as u64;
            free[index] = end;
            ends.push(Reverse((end, index)));
            self.set[index].active += 1;
            most = most.max(self.set[index].active);
            of_slow = of_slow.max(self.set[0].active);
            times.push((end - now as u64) as f64 / 1e6);
        }
        times.sort_unstable_by(f64::total_cmp);
        let quantile = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let home = at_home as f64 / calls as f64;
        Load { most, of_slow, p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999), home }
    }
}

/// What came of a run.
struct Load {
    /// The most that any endpoint had under way.
    most: u32,
    /// The most that the slow one had.
    of_slow: u32,
    /// Half of the calls took no longer, in milliseconds; and so on.
    p50: f64,
    p99: f64,
    p999: f64,
    /// The part of the calls that went where their key would go on an idle set.
    home: f64,
}

/// The greatest and the usual (root mean square) distance from what the weights say, as a part of that.
fn spread(kind: Kind, calls: usize) -> (f64, f64) {
    let weight = |index| (index % 4) as u32 + 1;
    let mut fleet = Fleet::new(kind, weight);
    let mut counts = vec![0.0; ENDPOINTS];
    (0..calls).for_each(|call| counts[fleet.pick(hash::stable(&call.to_le_bytes()))] += 1.0);
    let off = |(index, count): (usize, &f64)| {
        let due = calls as f64 * f64::from(weight(index)) / (2.5 * ENDPOINTS as f64);
        (count / due - 1.0).abs()
    };
    let offs: Vec<f64> = counts.iter().enumerate().map(off).collect();
    let usual = (offs.iter().map(|off| off * off).sum::<f64>() / ENDPOINTS as f64).sqrt();
    (offs.into_iter().fold(0.0, f64::max), usual)
}

/// The part of the keys that go elsewhere when one of the endpoints goes, times the number of endpoints.
fn moved(calls: usize) -> f64 {
    let mut fleet = Fleet::new(Kind::ConsistentHash, |_| 1);
    let home = |fleet: &mut Fleet| -> Vec<u64> {
        (0..calls)
            .map(|call| {
                let index = fleet.pick(hash::stable(&call.to_le_bytes()));
                fleet.set[index].hash
            })
            .collect()
    };
    let before = home(&mut fleet);
    fleet.set.remove(500);
    fleet.tell();
    let after = home(&mut fleet);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    moved as f64 / calls as f64 * ENDPOINTS as f64
}

fn table(calls: usize) {
    println!("| balancer | off by weight: most | usual |\n|---|---|---|");
    for kind in Kind::ALL {
        let (most, usual) = spread(kind, calls);
        println!("| {} | {:.1} % | {:.1} % |", kind.name(), most * 100.0, usual * 100.0);
        match kind {
            Kind::RoundRobin => assert!(most < 0.05, "{most}"),
            Kind::ConsistentHash => assert!(usual < 0.3, "{usual}"),
            // By chance, the distance is one by the root of the calls due.
            _ => assert!(usual < 1.5 * (2.5 * ENDPOINTS as f64 / calls as f64).sqrt(), "{usual}"),
        }
    }
    println!("\n| one of 1,000 is 10 times as slow | most under way: slow | any | p50 | p99 | p99.9 |");
    println!("|---|---|---|---|---|---|");
    let mut slows = Vec::new();
    for kind in Kind::ALL {
        let load = Fleet::new(kind, |_| 1).run(calls, true, |random| random.u64(..));
        let Load { most, of_slow, p50, p99, p999, .. } = load;
        println!("| {} | {of_slow} | {most} | {p50:.0} ms | {p99:.0} ms | {p999:.0} ms |", kind.name());
        if kind == Kind::ConsistentHash {
            println!("(at home: {:.1} %)", load.home * 100.0);
        }
        slows.push((kind, load.of_slow));
    }
    let of = |wanted| slows.iter().find(|(kind, _)| *kind == wanted).unwrap().1;
    assert!(of(Kind::LeastRequest) * 4 < of(Kind::RoundRobin), "{slows:?}");
    let moved = moved(calls);
    println!("\nkeys that move when one of n goes: {moved:.2} / n");
    assert!(moved < 1.4, "{moved}");
    // One call in five has one and the same key.
    let hot = |random: &mut fastrand::Rng| if random.u8(..5) == 0 { 42 } else { random.u64(..) };
    let load = Fleet::new(Kind::ConsistentHash, |_| 1).run(calls, false, hot);
    println!(
        "one key in a fifth of the calls: most under way {}, p99 {:.0} ms, at home {:.0} %",
        load.most,
        load.p99,
        load.home * 100.0
    );
    assert!(load.most < 20, "{}", load.most);
    let bound = bound();
    println!("the same with 20 to 50 under way for each: the most is {bound:.2} times the mean");
    assert!(bound < 1.4, "{bound}");
}

/// The most that an endpoint carries when fifty calls for each come and none ends, a fifth of them with one key, as a
/// multiple of the mean at that time.
fn bound() -> f64 {
    let mut fleet = Fleet::new(Kind::ConsistentHash, |_| 1);
    let mut most = 0.0_f64;
    for call in 1..=50 * ENDPOINTS {
        let key = if call % 5 == 0 { 42 } else { hash::stable(&call.to_le_bytes()) };
        let index = fleet.pick(key);
        fleet.set[index].active += 1;
        // With fewer, one call is already much more than a quarter of the part.
        if call > 20 * ENDPOINTS {
            most = most.max(f64::from(fleet.set[index].active) * ENDPOINTS as f64 / call as f64);
        }
    }
    most
}

#[test]
fn the_balancers_do_to_a_thousand_endpoints_what_they_promise() {
    table(CALLS);
}
