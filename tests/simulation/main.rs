//! The whole walk without sockets, threads and real time: clients, gateway and services in one task of made-up time, in
//! which one seed decides everything. The same seed gives the same world.
//!
//! `./dev simulate --seeds N` runs worlds; a seed whose world breaks an invariant is cut down to a smaller one and can be
//! replayed: `SIMULATION_SEED=N cargo test --test simulation`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]
#![allow(clippy::print_stderr, reason = "a failed test shows what happened")]

mod check;
mod client;
mod client_http2;
mod config;
mod network;
mod plan;
mod seen;
mod service;
mod time;
mod tunnel;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plan::Plan;
use seen::Seen;

/// How many seeds a run takes where nothing else is said.
const SEEDS: u64 = 600;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

thread_local! {
    /// Panics of this thread, whichever task they ended.
    static PANICS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Has panics counted: a task that ends by one is otherwise only missing.
fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}

/// Runs a world and gives what does not hold in it.
fn judge(plan: &Plan) -> (Vec<String>, Seen) {
    count_panics();
    PANICS.set(0);
    match catch_unwind(AssertUnwindSafe(|| world::run(plan))) {
        Ok(seen) => {
            let mut faults = check::faults(plan, &seen);
            if PANICS.get() > 0 {
                faults.push("a task panicked".to_owned());
            }
            (faults, seen)
        }
        Err(_) => (vec!["the world panicked".to_owned()], Seen::default()),
    }
}

/// What a fault is about: its text without the numbers.
fn kind(fault: &str) -> String {
    fault.chars().filter(|letter| !letter.is_ascii_digit()).take(40).collect()
}

/// The smallest world found that still fails in the same way.
fn shrunk(plan: &Plan, fault: &str) -> Plan {
    let mut plan = plan.clone();
    let wanted = kind(fault);
    let mut tries = 300;
    'smaller: loop {
        for smaller in plan.smaller() {
            if tries == 0 {
                return plan;
            }
            tries -= 1;
            if judge(&smaller).0.iter().any(|fault| kind(fault) == wanted) {
                plan = smaller;
                continue 'smaller;
            }
        }
        return plan;
    }
}

fn report(seed: u64, plan: &Plan, faults: &[String]) {
    eprintln!("seed {seed} ({:?}) breaks:", plan.scenario);
    faults.iter().for_each(|fault| eprintln!("  {fault}"));
    if number("SIMULATION_BRIEF").is_some() {
        return;
    }
    let whole = number("SIMULATION_SEED").is_some();
    let small = if whole { plan.clone() } else { shrunk(plan, &faults[0]) };
    let (faults, seen) = judge(&small);
    eprintln!("the world of {} clients and {} reloads:", small.clients.len(), small.reloads.len());
    faults.iter().for_each(|fault| eprintln!("  {fault}"));
    eprintln!("{small:#?}");
    seen.trace.iter().for_each(|line| eprintln!("  {line}"));
    seen.lines.iter().for_each(|line| eprintln!("  {:>8.3} {}", line.at.as_secs_f64(), line.value));
}

#[test]
fn every_invariant_holds_in_every_world() {
    let (first, count) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (number("SIMULATION_FIRST").unwrap_or(0), number("SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let scenario = std::env::var("SIMULATION_SCENARIO").ok();
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let plan = Plan::of(seed);
                    if scenario.as_ref().is_some_and(|name| *name != format!("{:?}", plan.scenario)) {
                        continue;
                    }
                    let (faults, _) = judge(&plan);
                    if !faults.is_empty() && !failed.swap(true, Ordering::Relaxed) {
                        report(seed, &plan, &faults);
                    }
                }
            });
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "a world breaks an invariant");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..2 * plan::SCENARIOS.len() as u64 {
        let plan = Plan::of(seed);
        let (first, again) = (world::run(&plan), world::run(&plan));
        if first.digest != again.digest {
            let differ = first.trace.iter().zip(&again.trace).position(|(one, other)| one != other);
            let at = differ.unwrap_or(first.trace.len().min(again.trace.len()));
            let around = at.saturating_sub(3)..;
            panic!(
                "seed {seed} differs at {at}:\n{:#?}\n{:#?}",
                first.trace.get(around.clone()).map(|lines| &lines[..lines.len().min(6)]),
                again.trace.get(around).map(|lines| &lines[..lines.len().min(6)])
            );
        }
    }
}
