use super::*;

use std::thread;

use proptest::prelude::*;

const CORE: CoreId = CoreId(0);

fn microseconds(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// Whether a quantile is within the promised error of what it should be.
fn near(found: Option<Duration>, expected: Duration) -> bool {
    found.is_some_and(|found| found.abs_diff(expected).as_secs_f64() <= expected.as_secs_f64() / 15.9)
}

#[test]
fn too_few_answers_say_nothing() {
    let (latency, now) = (Latency::new(2), Instant::now());
    for answer in 0..19 {
        latency.observe(CoreId(answer % 2), microseconds(500), now);
        assert_eq!(latency.quantile(0.95, now), None);
    }
    latency.observe(CORE, microseconds(500), now);
    assert!(near(latency.quantile(0.95, now), microseconds(500)));
}

#[test]
fn the_quantiles_of_a_slow_tail() {
    let (latency, now) = (Latency::new(1), Instant::now());
    for answer in 0..1_000 {
        let slow = answer % 20 == 0;
        latency.observe(CORE, if slow { microseconds(80_000) } else { microseconds(2_000) }, now);
    }
    assert!(near(latency.quantile(0.0, now), microseconds(2_000)));
    assert!(near(latency.quantile(0.95, now), microseconds(2_000)));
    assert!(near(latency.quantile(0.951, now), microseconds(80_000)));
    assert!(near(latency.quantile(1.0, now), microseconds(80_000)));
}

#[test]
fn answers_are_forgotten_after_two_stretches() {
    let (latency, start) = (Latency::new(1), Instant::now());
    (0..100).for_each(|_| latency.observe(CORE, microseconds(50_000), start));
    let next = start + Duration::from_secs(10);
    (0..100).for_each(|_| latency.observe(CORE, microseconds(1_000), next));
    assert!(near(latency.quantile(0.9, next), microseconds(50_000)));
    let after = start + Duration::from_secs(20);
    assert!(near(latency.quantile(0.9, after), microseconds(1_000)));
    assert_eq!(latency.quantile(0.9, start + Duration::from_secs(30)), None);
}

#[test]
fn a_histogram_that_is_used_again_starts_empty() {
    let (latency, start) = (Latency::new(1), Instant::now());
    (0..100).for_each(|_| latency.observe(CORE, microseconds(50_000), start));
    let later = start + Duration::from_secs(40);
    (0..20).for_each(|_| latency.observe(CORE, microseconds(1_000), later));
    assert!(near(latency.quantile(1.0, later), microseconds(1_000)));
}

#[test]
fn times_beyond_the_scale_count_at_its_ends() {
    let (latency, now) = (Latency::new(1), Instant::now());
    (0..20).for_each(|_| latency.observe(CORE, Duration::ZERO, now));
    assert!(latency.quantile(1.0, now).is_some_and(|time| time < microseconds(10)));
    (0..20).for_each(|_| latency.observe(CORE, Duration::MAX, now));
    assert!(latency.quantile(1.0, now).is_some_and(|time| time > Duration::from_secs(120)));
}

proptest! {
    /// Against the answers themselves, sorted.
    #[test]
    fn every_quantile_is_within_a_sixteenth(
        times in prop::collection::vec((10_000u64..100_000_000_000).prop_map(|nanos| nanos >> (nanos % 20)), 20..200),
        q in 0.0f64..=1.0,
    ) {
        let (latency, now) = (Latency::new(4), Instant::now());
        let mut sorted: Vec<_> = times.into_iter().map(|time| Duration::from_nanos(time.max(9_000))).collect();
        for (number, time) in sorted.iter().enumerate() {
            latency.observe(CoreId(number % 4), *time, now);
        }
        sorted.sort();
        let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
        prop_assert!(near(latency.quantile(q, now), sorted[rank - 1]));
    }
}

#[test]
fn no_answer_of_eight_cores_is_lost_while_others_look() {
    let (latency, now) = (Latency::new(8), Instant::now());
    thread::scope(|scope| {
        for core in 0..8 {
            let latency = &latency;
            scope.spawn(move || {
                for answer in 0..10_000 {
                    latency.observe(CoreId(core), microseconds(100 << core), now);
                    if answer % 1_000 == 0 {
                        latency.quantile(0.5, now);
                    }
                }
            });
        }
    });
    for core in 0..8 {
        let end = f64::from(core + 1) / 8.0;
        assert!(near(latency.quantile(end, now), microseconds(100 << core)), "{core}");
    }
}
