use super::*;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;

use proptest::prelude::*;

mod model;

#[cfg(feature = "models")]
mod threads;

const CORE: CoreId = CoreId(0);

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn breaker(change: impl FnOnce(&mut BreakerSettings)) -> Breaker {
    let mut settings = BreakerSettings::default();
    change(&mut settings);
    Breaker::new(settings, 8)
}

/// Lets a call through, or fails the test.
fn pass(breaker: &Breaker, now: Instant) -> Pass {
    match breaker.admit(now) {
        Admission::Pass(pass) => pass,
        Admission::Open { retry_after } => panic!("refused for {retry_after:?}"),
    }
}

/// How long a call is refused for; none if it passes.
fn refused(breaker: &Breaker, now: Instant) -> Option<Duration> {
    match breaker.admit(now) {
        Admission::Pass(_) => None,
        Admission::Open { retry_after } => Some(retry_after),
    }
}

fn record(breaker: &Breaker, pass: Pass, core: CoreId, now: Instant, failed: bool) -> Option<State> {
    breaker.record(pass, core, now, failed.then_some("reset")).map(|change| change.state())
}

fn call(breaker: &Breaker, now: Instant, failed: bool) -> Option<State> {
    record(breaker, pass(breaker, now), CORE, now, failed)
}

/// A breaker that opened at `now`.
fn opened(now: Instant, change: impl FnOnce(&mut BreakerSettings)) -> Breaker {
    let breaker = breaker(|settings| {
        settings.consecutive = Some(1);
        change(settings);
    });
    assert_eq!(call(&breaker, now, true), Some(State::Open));
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let (breaker, now) = (breaker(|settings| settings.ratio = None), Instant::now());
    for failed in [true, true, true, true, false, true, true, true, true] {
        assert_eq!(call(&breaker, now, failed), None);
    }
    assert_eq!(breaker.state(now), State::Closed);
    assert_eq!(call(&breaker, now, true), Some(State::Open));
    assert_eq!((breaker.state(now), breaker.opened()), (State::Open, 1));
}

#[test]
fn failures_of_different_cores_are_one_row() {
    let (breaker, now) = (breaker(|_| {}), Instant::now());
    for core in 0..5 {
        assert_eq!(breaker.state(now), State::Closed);
        record(&breaker, pass(&breaker, now), CoreId(core), now, true);
    }
    assert_eq!(breaker.state(now), State::Open);
}

#[test]
fn half_of_twenty_calls_in_the_window_open_it_and_fewer_do_not() {
    for (calls, expected) in [(19, State::Closed), (20, State::Open)] {
        let (breaker, now) = (breaker(|settings| settings.consecutive = None), Instant::now());
        // Successes first: the ratio is reached by the last failure.
        for call_number in 0..calls {
            let core = CoreId(call_number % 3);
            record(&breaker, pass(&breaker, now), core, now, call_number >= calls / 2);
        }
        assert_eq!(breaker.state(now), expected, "{calls} calls");
    }
}

#[test]
fn a_ratio_that_binary_fractions_cannot_hold_is_met_exactly() {
    let now = Instant::now();
    for percent in 1..=100_u32 {
        let breaker = breaker(|settings| {
            (settings.consecutive, settings.ratio) = (None, Some(f64::from(percent) / 100.0));
            settings.min_requests = 100;
        });
        for call_number in 0..100 {
            assert_eq!(breaker.state(now), State::Closed, "{percent}");
            call(&breaker, now, call_number >= 100 - percent);
        }
        assert_eq!(breaker.state(now), State::Open, "{percent}");
    }
}

#[test]
fn what_has_left_the_window_does_not_count() {
    let (breaker, start) = (breaker(|settings| settings.consecutive = None), Instant::now());
    (0..19).for_each(|_| assert_eq!(call(&breaker, start, true), None));
    let later = start + Duration::from_secs(10);
    assert_eq!(call(&breaker, later, true), None);
    assert_eq!(breaker.state(later), State::Closed);
    // Eighteen more: nineteen in the window of now.
    (0..18).for_each(|_| assert_eq!(call(&breaker, later, true), None));
    assert_eq!(call(&breaker, later + milliseconds(8_999), true), Some(State::Open));
}

#[test]
fn no_count_opens_it_where_neither_rule_is_set() {
    let (breaker, now) = (breaker(|it| (it.consecutive, it.ratio) = (None, None)), Instant::now());
    (0..1_000).for_each(|_| assert_eq!(call(&breaker, now, true), None));
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_refusal_tells_what_is_left_of_the_open_time_which_ends_without_anybody_asking() {
    let now = Instant::now();
    let breaker = opened(now, |settings| settings.probes = 1);
    assert_eq!(refused(&breaker, now), Some(Duration::from_secs(10)));
    assert_eq!(refused(&breaker, now + milliseconds(9_999)), Some(milliseconds(1)));
    assert_eq!(breaker.state(now + milliseconds(9_999)), State::Open);
    let later = now + Duration::from_secs(10);
    assert_eq!(breaker.state(later), State::HalfOpen);
    assert_eq!(call(&breaker, later, false), Some(State::Closed));
    assert_eq!((breaker.state(later), refused(&breaker, later)), (State::Closed, None));
}

#[test]
fn all_probes_must_succeed() {
    let now = Instant::now();
    let breaker = opened(now, |_| {});
    let later = now + Duration::from_secs(10);
    assert_eq!(call(&breaker, later, false), None);
    let (second, third) = (pass(&breaker, later), pass(&breaker, later));
    assert!(second.is_probe());
    assert_eq!(refused(&breaker, later), Some(PROBES_TAKEN));
    assert_eq!(record(&breaker, second, CORE, later, false), None);
    assert_eq!(refused(&breaker, later), Some(PROBES_TAKEN));
    assert_eq!(record(&breaker, third, CORE, later, false), Some(State::Closed));
    assert!(!pass(&breaker, later).is_probe());
}

#[test]
fn one_failed_probe_opens_it_again_and_the_others_count_no_more() {
    let now = Instant::now();
    let breaker = opened(now, |_| {});
    let later = now + Duration::from_secs(10);
    let [first, second, third] = [(); 3].map(|()| pass(&breaker, later));
    assert_eq!(record(&breaker, first, CORE, later, true), Some(State::Open));
    assert_eq!(breaker.opened(), 2);
    // Late results and aborts of the lost round must neither reopen, close nor free places in the next one.
    let again = later + Duration::from_secs(10);
    assert_eq!(record(&breaker, second, CORE, again, true), None);
    assert_eq!(breaker.state(again), State::HalfOpen);
    let probes = [(); 3].map(|()| pass(&breaker, again));
    drop(third);
    assert_eq!(refused(&breaker, again), Some(PROBES_TAKEN));
    let states = probes.map(|probe| record(&breaker, probe, CORE, again, false));
    assert_eq!(states, [None, None, Some(State::Closed)]);
}

#[test]
fn a_probe_that_came_to_nothing_gives_its_place_back() {
    let now = Instant::now();
    let breaker = opened(now, |settings| settings.probes = 1);
    let later = now + Duration::from_secs(10);
    for _ in 0..10 {
        let probe = pass(&breaker, later);
        assert_eq!(refused(&breaker, later), Some(PROBES_TAKEN));
        drop(probe);
    }
    assert_eq!(breaker.state(later), State::HalfOpen);
    assert_eq!(call(&breaker, later, false), Some(State::Closed));
}

#[test]
fn calls_from_before_it_opened_say_nothing_about_the_time_after() {
    let now = Instant::now();
    let breaker = breaker(|settings| (settings.consecutive, settings.probes) = (Some(2), 1));
    let early = [(); 4].map(|()| pass(&breaker, now));
    call(&breaker, now, true);
    call(&breaker, now, true);
    let later = now + Duration::from_secs(10);
    let [first, second, third, fourth] = early;
    // Half-open: neither a success nor a failure of old is a probe's.
    assert_eq!(record(&breaker, first, CORE, later, false), None);
    assert_eq!(record(&breaker, second, CORE, later, true), None);
    assert_eq!(breaker.state(later), State::HalfOpen);
    assert_eq!(call(&breaker, later, false), Some(State::Closed));
    // Closed again: two failures of old are no row, and an old success does not end the new row.
    assert_eq!(call(&breaker, later, true), None);
    assert_eq!(record(&breaker, third, CORE, later, true), None);
    assert_eq!(record(&breaker, fourth, CORE, later, false), None);
    assert_eq!(call(&breaker, later, true), Some(State::Open));
}

#[test]
fn closing_forgets_all_counts_even_inside_the_window() {
    let now = Instant::now();
    let breaker = breaker(|settings| {
        (settings.consecutive, settings.min_requests) = (None, 4);
        (settings.open, settings.probes) = (milliseconds(1), 1);
    });
    (0..3).for_each(|_| assert_eq!(call(&breaker, now, true), None));
    assert_eq!(call(&breaker, now, true), Some(State::Open));
    let later = now + milliseconds(1);
    assert_eq!(call(&breaker, later, false), Some(State::Closed));
    (0..3).for_each(|_| assert_eq!(call(&breaker, later, true), None));
    assert_eq!(call(&breaker, later, true), Some(State::Open));
}

#[test]
fn eight_threads_at_once_let_exactly_the_probes_through() {
    for probes in [1, 3, 7] {
        let now = Instant::now();
        let breaker = opened(now, |settings| settings.probes = probes);
        let (later, start, passed) = (now + Duration::from_secs(10), Barrier::new(8), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..8 {
                let (breaker, start, passed) = (&breaker, &start, &passed);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..500 {
                        if let Admission::Pass(pass) = breaker.admit(later) {
                            passed.lock().expect("no thread has panicked").push(pass);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner().expect("no thread has panicked").len(), probes as usize);
    }
}

/// Threads that admit, fail, succeed and abort as chance has it while time jumps: no more probes are ever under way
/// than there are places, and in the end the breaker still recovers.
#[test]
fn no_storm_of_results_breaks_the_count_of_places() {
    const PROBES: u32 = 2;
    let start = Instant::now();
    let breaker = breaker(|settings| {
        (settings.consecutive, settings.probes, settings.open) = (Some(2), PROBES, milliseconds(5));
    });
    let (under_way, clock, broken) = (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for core in 0..8 {
            let (breaker, under_way, clock, broken) = (&breaker, &under_way, &clock, &broken);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(core as u64);
                for _ in 0..20_000 {
                    let now = start + milliseconds(clock.fetch_add(random.u64(0..2), Ordering::Relaxed));
                    let Admission::Pass(pass) = breaker.admit(now) else { continue };
                    // Counted by the rounds' own epoch: a lost round's probes may still be under way.
                    let probe = pass.probe.as_ref().map(|(circuit, _)| (Arc::clone(circuit), pass.epoch));
                    if let Some((circuit, epoch)) = probe {
                        under_way.fetch_add(1, Ordering::Relaxed);
                        let inner = circuit.lock();
                        let over = inner.places.len() as u32 + inner.succeeded > PROBES;
                        broken.fetch_or(over && inner.epoch == epoch, Ordering::Relaxed);
                    }
                    match random.u8(0..4) {
                        0 => drop(pass),
                        chance => _ = record(breaker, pass, CoreId(core), now, chance == 1),
                    }
                }
            });
        }
    });
    assert!(under_way.into_inner() > 0 && breaker.opened() > 0);
    assert!(!broken.into_inner());
    let end = start + milliseconds(clock.into_inner() + 1_000);
    (0..PROBES).for_each(|_| _ = call(&breaker, end, false));
    assert_eq!(breaker.state(end), State::Closed);
}

/// Successes on other cores while one core fails without a pause: the counts of the window stay exact.
#[test]
fn the_cores_buckets_add_up() {
    let now = Instant::now();
    let breaker = breaker(|it| (it.consecutive, it.ratio, it.min_requests) = (None, Some(0.5), 100_000));
    thread::scope(|scope| {
        for core in 0..8 {
            let breaker = &breaker;
            scope.spawn(move || {
                for _ in 0..10_000 {
                    record(breaker, pass(breaker, now), CoreId(core), now, core == 0);
                }
            });
        }
    });
    assert_eq!(breaker.0.calls.iter().map(|calls| calls.sum(0, 0)).sum::<u64>(), 80_000);
    assert_eq!(breaker.0.lock().failures.sum(0), 10_000);
}

#[test]
fn its_standing_tells_since_when_until_when_and_why() {
    let start = Instant::now();
    let breaker = breaker(|_| {});
    assert_eq!(breaker.standing(start).since, None);
    for reason in ["reset", "503", "response", "connect", "connect"] {
        breaker.record(pass(&breaker, start), CORE, start, Some(reason));
    }
    let standing = breaker.standing(start + milliseconds(1));
    assert_eq!((standing.state, standing.since), (State::Open, Some(start)));
    assert_eq!(standing.until, Some(start + Duration::from_secs(10)));
    let opening = standing.opening.unwrap();
    assert_eq!((opening.in_a_row, opening.failures, opening.calls), (5, 5, 5));
    assert_eq!(opening.reasons.as_slice(), ["connect", "connect", "response", "503", "reset"]);
    let later = start + Duration::from_secs(10);
    assert_eq!(breaker.standing(later).until, None, "half-open");
    (0..3).for_each(|_| assert_ne!(call(&breaker, later, false), Some(State::Open)));
    let closed = breaker.standing(later);
    assert_eq!((closed.state, closed.since, closed.opening), (State::Closed, Some(later), None));
}

#[test]
fn an_open_breaker_probes_at_once_where_something_found_the_service_well() {
    let now = Instant::now();
    let breaker = opened(now, |_| {});
    breaker.probe_now(now);
    assert_eq!(breaker.state(now), State::HalfOpen);
    assert!(pass(&breaker, now).is_probe());
    let closed = super::tests::breaker(|_| {});
    closed.probe_now(now);
    assert_eq!(closed.state(now), State::Closed);
}

#[test]
fn a_failure_that_shows_late_counts_while_it_is_closed() {
    let now = Instant::now();
    let breaker = breaker(|_| {});
    (0..4).for_each(|_| assert_eq!(breaker.late_failure(CORE, now, "idle"), None));
    assert_eq!(breaker.late_failure(CORE, now, "idle").map(|change| change.state()), Some(State::Open));
    assert_eq!(breaker.late_failure(CORE, now, "idle"), None);
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn a_probe_that_comes_to_nothing_for_long_gives_its_place_to_another() {
    let now = Instant::now();
    let breaker = opened(now, |settings| settings.probes = 1);
    let later = now + Duration::from_secs(10);
    let slow = pass(&breaker, later);
    assert_eq!(refused(&breaker, later + milliseconds(9_999)), Some(PROBES_TAKEN));
    let next = later + Duration::from_secs(10);
    let probe = pass(&breaker, next);
    assert!(probe.is_probe());
    assert_eq!(record(&breaker, slow, CORE, next, true), None, "it counts no more");
    assert_eq!(record(&breaker, probe, CORE, next, false), Some(State::Closed));
}
