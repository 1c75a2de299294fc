//! A service that fails for half a minute, with a breaker before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::exchange::CoreId;
use crate::upstream::limits::breaker::{Admission, Breaker, BreakerSettings, Pass, State};

/// How long a run is, in seconds.
const LENGTH: u64 = 100;

/// When the fault is there.
const FAULT: std::ops::Range<Duration> = Duration::from_secs(30)..Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Fault {
    /// Connections are refused at once.
    Dead,
    /// No answer: each call fails by its limit of one second.
    Hangs,
    /// This share of the calls is answered by an error.
    Errors(f64),
}

#[derive(Default)]
struct Seen {
    /// Calls sent during the fault, and refused by the breaker in the whole run.
    sent: u64,
    refused: u64,
    /// The most calls under way at once.
    busiest: usize,
    /// The most probes under way at once.
    probes: usize,
    opened: u64,
    /// How long after the fault's end it closed for good.
    recovered: Option<Duration>,
}

/// Calls under way by the time of their end; the pass is found by the request's number.
struct Calls {
    ends: BinaryHeap<Reverse<(Duration, u64, bool)>>,
    passes: Vec<Option<Pass>>,
}

fn run(fault: Fault, rate: u64, settings: BreakerSettings) -> Seen {
    let arrival = |request: u64| Duration::from_nanos(request * (1_000_000_000 / rate));
    let (breaker, clock, mut random) =
        (Breaker::new(settings, CORES), Clock::new(), fastrand::Rng::with_seed(11));
    let mut seen = Seen::default();
    let mut probing = 0;
    let mut calls = Calls { ends: BinaryHeap::new(), passes: Vec::new() };
    for request in 0..rate * LENGTH {
        let now = arrival(request);
        while let Some(Reverse((end, ended, failed))) = calls.ends.pop_if_due(now) {
            let Some(pass) = calls.passes[ended as usize].take() else { continue };
            probing -= usize::from(pass.is_probe());
            let core = CoreId(ended as usize % CORES);
            let changed = breaker.record(pass, core, clock.at(end), failed.then_some("reset"));
            match changed.map(|change| change.state()) {
                Some(State::Closed) => seen.recovered = end.checked_sub(FAULT.end),
                Some(_) => seen.recovered = None,
                None => {}
            }
        }
        let Admission::Pass(pass) = breaker.admit(clock.at(now)) else {
            seen.refused += 1;
            calls.passes.push(None);
            continue;
        };
        let at_fault = FAULT.contains(&now);
        let good = Duration::from_micros(random.u64(2_000..10_000));
        let (took, failed) = match fault {
            Fault::Dead if at_fault => (Duration::from_millis(1), true),
            Fault::Hangs if at_fault => (Duration::from_secs(1), true),
            Fault::Errors(share) if at_fault => (good, random.f64() < share),
            _ => (good, false),
        };
        seen.sent += u64::from(at_fault);
        probing += usize::from(pass.is_probe());
        calls.passes.push(Some(pass));
        calls.ends.push(Reverse((now + took, request, failed)));
        seen.busiest = seen.busiest.max(calls.ends.len());
        seen.probes = seen.probes.max(probing);
    }
    assert_eq!(breaker.state(clock.at(arrival(rate * LENGTH))), State::Closed);
    Seen { opened: breaker.opened(), ..seen }
}

trait PopIfDue {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64, bool)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(Duration, u64, bool)>> {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64, bool)>> {
        self.peek().is_some_and(|Reverse(call)| call.0 <= now).then(|| self.pop()).flatten()
    }
}

const HEAD: [&str; 9] = [
    "for 30 s",
    "requests a second",
    "breaker",
    "calls sent meanwhile",
    "refused",
    "most calls at once",
    "most probes at once",
    "opened",
    "closed again after",
];

fn row(fault: &str, rate: u64, breaker: &str, seen: &Seen) -> Vec<String> {
    vec![
        fault.to_owned(),
        rate.to_string(),
        breaker.to_owned(),
        seen.sent.to_string(),
        format!("{:.1} %", percent(seen.refused, rate * LENGTH)),
        seen.busiest.to_string(),
        seen.probes.to_string(),
        seen.opened.to_string(),
        seen.recovered.map_or_else(|| "-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64())),
    ]
}

fn never() -> BreakerSettings {
    BreakerSettings { consecutive: None, ratio: None, ..BreakerSettings::default() }
}

#[test]
fn a_dead_service_is_left_alone_and_found_again() {
    let mut rows = Vec::new();
    for (name, fault) in [("dead", Fault::Dead), ("hangs", Fault::Hangs)] {
        let (without, with) = (run(fault, RATE, never()), run(fault, RATE, BreakerSettings::default()));
        assert_eq!((without.sent, without.refused, without.opened), (300_000, 0, 0));
        assert!(with.sent <= 11_000, "{} calls were sent", with.sent);
        assert_eq!(with.probes, 3);
        // One open time at most, and the probes' own time.
        assert!(with.recovered.is_some_and(|time| time < Duration::from_millis(11_100)));
        rows.push(row(name, RATE, "none", &without));
        rows.push(row(name, RATE, "default", &with));
    }
    show("A service that fails for 30 of 100 s", &HEAD, &rows);
}

#[test]
fn a_service_that_fails_in_part() {
    let ratio = BreakerSettings { consecutive: None, ..BreakerSettings::default() };
    let mut rows = Vec::new();
    for share in [0.1, 0.2, 0.45, 0.6] {
        let name = format!("{:.0} % errors", share * 100.0);
        // Beyond a fifth the answer is the same at every rate.
        let rates: &[u64] = if share <= 0.2 { &[100, 1_000, RATE] } else { &[100, 1_000] };
        for &rate in rates {
            let seen = run(Fault::Errors(share), rate, BreakerSettings::default());
            assert!(seen.probes <= 3);
            rows.push(row(&name, rate, "default", &seen));
        }
        let seen = run(Fault::Errors(share), 1_000, ratio);
        // The ratio says what it says: never below, always above.
        assert_eq!(seen.opened > 0, share > 0.5, "{name}");
        assert!(seen.probes <= 3);
        rows.push(row(&name, 1_000, "ratio only", &seen));
    }
    show("A service that fails in part for 30 of 100 s", &HEAD, &rows);
}
