use proptest::prelude::*;

use super::*;

/// A service with so many workers, asked for as much as it is allowed to be.
struct Service {
    workers: f64,
    /// Of a call that has a worker, in seconds.
    time: f64,
    now: Instant,
    random: fastrand::Rng,
}

impl Service {
    fn new(workers: f64, time: f64) -> Service {
        Service { workers, time, now: Instant::now(), random: fastrand::Rng::with_seed(3) }
    }

    /// Answers for so many seconds, with `demand` callers at the gate; gives the mean limit of the last half.
    fn run(&mut self, adaptive: &mut Adaptive, demand: u32, seconds: u64) -> f64 {
        let (start, mut limits) = (self.now, Vec::new());
        while self.now - start < Duration::from_secs(seconds) {
            let active = adaptive.limit().min(demand);
            let took = self.time * (f64::from(active) / self.workers).max(1.0) * (0.5 + self.random.f64());
            self.now += Duration::from_secs_f64(self.time / f64::from(active).min(self.workers));
            adaptive.observe(Duration::from_secs_f64(took), false, active, self.now);
            limits.push(f64::from(adaptive.limit()));
        }
        let half = &limits[limits.len() / 2..];
        half.iter().sum::<f64>() / half.len() as f64
    }
}

#[test]
fn it_finds_what_a_service_can_take() {
    for workers in [5.0, 50.0, 200.0] {
        // Minutes: of five workers the start already asks too much, and a base that was right takes 60 s to be found.
        let limit = Service::new(workers, 0.01).run(&mut Adaptive::default(), 10_000, 600);
        assert!((workers..=4.0 * workers).contains(&limit), "{workers}: {limit}");
    }
}

#[test]
fn it_follows_a_service_that_shrinks_and_does_not_creep_up_over_hours() {
    let (mut service, mut adaptive) = (Service::new(100.0, 0.05), Adaptive::default());
    let before = service.run(&mut adaptive, 10_000, 120);
    service.workers = 20.0;
    let after = service.run(&mut adaptive, 10_000, 300);
    assert!(before > 100.0 && after < 90.0, "{before} {after}");
    let later = service.run(&mut adaptive, 10_000, 3_600);
    assert!(later < 90.0, "{later}");
}

#[test]
fn a_service_that_has_become_slower_gets_its_limit_back() {
    let (mut service, mut adaptive) = (Service::new(100.0, 0.01), Adaptive::default());
    service.run(&mut adaptive, 10_000, 60);
    service.time = 0.1;
    let after = service.run(&mut adaptive, 10_000, 600);
    assert!(after > 100.0, "{after}");
}

#[test]
fn what_is_not_used_does_not_grow() {
    let mut adaptive = Adaptive::default();
    Service::new(1_000.0, 0.01).run(&mut adaptive, 3, 60);
    assert_eq!(adaptive.limit(), 20);
}

#[test]
fn failures_lower_it_to_one_and_no_further() {
    let (mut adaptive, now) = (Adaptive::default(), Instant::now());
    let mut observe = |failed: u32| {
        (0..100).filter_map(|i| adaptive.observe(Duration::from_millis(1), i < failed, 1, now)).last()
    };
    assert_eq!(observe(5), Some(20), "one in twenty is not too many");
    assert_eq!(observe(6), Some(18));
    for _ in 0..100 {
        observe(100);
    }
    assert_eq!(observe(100), Some(1));
}

#[test]
fn a_window_ends_by_answers_or_by_time() {
    let (mut adaptive, now) = (Adaptive::default(), Instant::now());
    let answer = Duration::from_millis(1);
    assert_eq!((0..99).find_map(|_| adaptive.observe(answer, false, 1, now)), None);
    assert!(adaptive.observe(answer, false, 1, now).is_some());
    assert_eq!((0..8).find_map(|_| adaptive.observe(answer, false, 1, now)), None);
    let later = now + Duration::from_secs(2);
    assert!(adaptive.observe(answer, false, 1, later).is_none(), "nine are too few");
    assert!(adaptive.observe(answer, false, 1, later).is_some());
}

proptest! {
    #[test]
    fn it_stays_within_its_bounds(
        answers in prop::collection::vec((0_u64..10_000, any::<bool>(), 0_u32..2_000, 0_u64..2_000), 0..3_000),
    ) {
        let (mut adaptive, mut now) = (Adaptive::default(), Instant::now());
        for (micros, dropped, active, gap) in answers {
            now += Duration::from_millis(gap);
            adaptive.observe(Duration::from_micros(micros), dropped, active, now);
            prop_assert!((1..=MAX).contains(&adaptive.limit()));
        }
    }
}
