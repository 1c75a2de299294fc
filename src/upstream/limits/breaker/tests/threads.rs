//! The breaker in every order of the steps of a few threads: see `runtime/sync.rs`.

use super::*;
use crate::runtime::sync::testing::{explore, thread};

type Thread = thread::JoinHandle<Vec<Change>>;

/// What a probe comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comes {
    Good,
    Bad,
    ToNothing,
}

/// A breaker with a clock that stands, and a count of the probes under way.
struct Scene {
    breaker: Breaker,
    probing: AtomicU64,
    /// Where the model begins.
    epoch: u64,
    opened: u64,
}

impl Scene {
    fn new(breaker: Breaker) -> Arc<Scene> {
        let epoch = breaker.0.lock().epoch;
        let opened = breaker.opened();
        Arc::new(Scene { breaker, probing: AtomicU64::new(0), epoch, opened })
    }

    /// Each change is reported once: those that threads got lead from the first epoch to the last.
    fn adds_up(&self, changes: &[Change]) {
        let step = |change: &Change| match change {
            Change::Opened(opening) if opening.probe => 2,
            Change::Opened(_) | Change::Closed => 1,
        };
        let inner = self.breaker.0.lock();
        assert_eq!(inner.epoch, self.epoch + changes.iter().map(step).sum::<u64>());
        assert_eq!(self.breaker.0.epoch.load(Ordering::Acquire), inner.epoch);
        let openings = changes.iter().filter(|change| change.state() == State::Open).count() as u64;
        assert_eq!(inner.opened, self.opened + openings);
        assert!(inner.places.is_empty(), "every place has come back");
    }

    /// One call at a moment.
    fn call(&self, core: usize, now: Instant, comes: Comes, probes: u64) -> Option<Change> {
        let Admission::Pass(pass) = self.breaker.admit(now) else { return None };
        let probe = pass.is_probe();
        if probe {
            let under_way = self.probing.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(under_way <= probes, "{under_way} probes of {probes}");
            // Before the result: its place is another's from then on.
            self.probing.fetch_sub(1, Ordering::SeqCst);
        }
        match comes {
            Comes::ToNothing => {
                drop(pass);
                None
            }
            Comes::Good | Comes::Bad => {
                let reason = (comes == Comes::Bad).then_some("reset");
                self.breaker.record(pass, CoreId(core), now, reason)
            }
        }
    }
}

fn spawn(scene: &Arc<Scene>, work: impl FnOnce(&Scene) -> Vec<Change> + 'static) -> Thread {
    let scene = Arc::clone(scene);
    thread::spawn(move || work(&scene))
}

fn join(threads: impl IntoIterator<Item = Thread>) -> Vec<Change> {
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// One opens after so many failures in a row, for a second; on two cores.
fn of(consecutive: u32, probes: u32) -> Breaker {
    let settings = BreakerSettings {
        consecutive: Some(consecutive),
        ratio: None,
        open: Duration::from_secs(1),
        probes,
        ..BreakerSettings::default()
    };
    Breaker::new(settings, 2)
}

/// One that opened, and the moment from which it lets probes through.
fn half_open(probes: u32) -> (Breaker, Instant) {
    let (breaker, now) = (of(1, probes), Instant::now());
    assert_eq!(call(&breaker, now, true), Some(State::Open));
    (breaker, now + Duration::from_secs(1))
}

#[test]
fn failures_open_it_once() {
    for consecutive in [1, 2] {
        explore("breaker: opening", 3, move || {
            let (scene, now) = (Scene::new(of(consecutive, 1)), Instant::now());
            let fail = |core: usize| {
                spawn(&scene, move |scene| scene.call(core, now, Comes::Bad, 0).into_iter().collect())
            };
            let failing = [fail(0), fail(1)];
            // Who sees that it is open sees for how long.
            match scene.breaker.admit(now) {
                Admission::Pass(pass) => assert!(!pass.is_probe()),
                Admission::Open { retry_after } => assert_eq!(retry_after, Duration::from_secs(1)),
            }
            let changes = join(failing);
            assert_eq!(changes.len(), 1);
            scene.adds_up(&changes);
        });
    }
}

#[test]
fn no_more_probes_pass_than_may_and_each_change_is_told_once() {
    let results = [
        (Comes::Good, Comes::Good),
        (Comes::Good, Comes::Bad),
        (Comes::Bad, Comes::Bad),
        (Comes::ToNothing, Comes::Good),
        (Comes::ToNothing, Comes::Bad),
    ];
    for (probes, (one, other)) in results.into_iter().flat_map(|both| [(1, both), (2, both)]) {
        explore(&format!("breaker: {probes} probes, {one:?} {other:?}"), 3, move || {
            let (breaker, later) = half_open(probes);
            let scene = Scene::new(breaker);
            let probe = |core: usize, comes| {
                spawn(&scene, move |scene| {
                    scene.call(core, later, comes, u64::from(probes)).into_iter().collect()
                })
            };
            let threads = [probe(0, one), probe(1, other)];
            let mut changes: Vec<_> =
                scene.call(0, later, Comes::ToNothing, u64::from(probes)).into_iter().collect();
            changes.extend(join(threads));
            scene.adds_up(&changes);
        });
    }
}

#[test]
fn a_probe_that_failed_and_one_that_succeeded_leave_it_open() {
    explore("breaker: two results", 4, || {
        let (breaker, later) = half_open(2);
        let (good, bad) = (pass(&breaker, later), pass(&breaker, later));
        let scene = Scene::new(breaker);
        let record = |pass: Pass, reason: Option<&'static str>| {
            spawn(&scene, move |scene| scene.breaker.record(pass, CORE, later, reason).into_iter().collect())
        };
        let threads = [record(good, None), record(bad, Some("reset"))];
        let third = refused(&scene.breaker, later);
        let changes = join(threads);
        assert!(third.is_some(), "both places are taken, or it is open again");
        assert_eq!(changes.iter().map(Change::state).collect::<Vec<_>>(), [State::Open]);
        scene.adds_up(&changes);
        assert_eq!(refused(&scene.breaker, later), Some(Duration::from_secs(1)));
    });
}

#[test]
fn a_place_that_was_held_too_long_counts_for_one_of_two() {
    for (late, comes) in [(None, Comes::Good), (None, Comes::Bad), (Some("reset"), Comes::Good)] {
        explore("breaker: a place held too long", 4, move || {
            let (breaker, later) = half_open(1);
            let slow = pass(&breaker, later);
            let scene = Scene::new(breaker);
            let over = later + LEAST_HELD;
            let slow = spawn(&scene, move |scene| {
                scene.breaker.record(slow, CORE, over, late).into_iter().collect()
            });
            // The place of the slow one, or none, or a pass of the closed breaker.
            let mut changes: Vec<_> = scene.call(1, over, comes, 1).into_iter().collect();
            changes.extend(join([slow]));
            assert!(!changes.is_empty(), "one of both decides");
            scene.adds_up(&changes);
        });
    }
}

#[test]
fn a_result_of_an_earlier_epoch_ends_no_streak() {
    explore("breaker: late success", 4, || {
        let (breaker, now) = (of(2, 1), Instant::now());
        assert_eq!(call(&breaker, now, true), None);
        let (late, bad) = (pass(&breaker, now), pass(&breaker, now));
        let scene = Scene::new(breaker);
        let succeeds = spawn(&scene, move |scene| {
            scene.breaker.record(late, CoreId(1), now, None).into_iter().collect()
        });
        let mut changes: Vec<_> = scene.breaker.record(bad, CORE, now, Some("reset")).into_iter().collect();
        if !changes.is_empty() {
            let later = now + Duration::from_secs(1);
            changes.extend(scene.call(0, later, Comes::Good, 1));
            assert_eq!(changes.len(), 2);
            // Closed again: two failures in a row, whatever becomes of the success.
            changes.extend(scene.call(0, later, Comes::Bad, 1));
            changes.extend(scene.call(0, later, Comes::Bad, 1));
            assert_eq!(changes.len(), 3);
        }
        changes.extend(join([succeeds]));
        scene.adds_up(&changes);
    });
}

#[test]
fn a_late_failure_of_a_body_opens_it_once_or_changes_nothing() {
    explore("breaker: late failures", 4, || {
        let (scene, now) = (Scene::new(of(1, 1)), Instant::now());
        let late = |core: usize| {
            spawn(&scene, move |scene| {
                scene.breaker.late_failure(CoreId(core), now, "reset").into_iter().collect()
            })
        };
        let changes = join([late(0), late(1)]);
        assert_eq!(changes.len(), 1);
        scene.adds_up(&changes);
    });
}

#[test]
fn a_check_that_finds_the_service_well_is_not_lost() {
    explore("breaker: probe now", 4, || {
        let (scene, now) = (Scene::new(of(1, 1)), Instant::now());
        let fails = spawn(&scene, move |scene| scene.call(0, now, Comes::Bad, 0).into_iter().collect());
        scene.breaker.probe_now(now);
        let state = scene.breaker.state(now);
        let changes = join([fails]);
        scene.adds_up(&changes);
        if state == State::HalfOpen {
            assert_eq!(scene.breaker.state(now), State::HalfOpen);
        }
        scene.breaker.probe_now(now);
        assert_eq!(scene.call(1, now, Comes::Good, 1), Some(Change::Closed));
    });
}

#[test]
fn who_sees_the_calls_of_an_epoch_sees_none_of_the_one_before() {
    explore("breaker: window", 5, || {
        let calls = Arc::new(Calls::default());
        (0..3).for_each(|_| calls.count(0, 7));
        let counted = Arc::clone(&calls);
        let counts = thread::spawn(move || {
            counted.count(2, 7);
            counted.count(2, 7);
        });
        let seen = calls.sum(2, 7);
        assert!(seen <= 2, "{seen} calls");
        counts.join().unwrap();
        assert_eq!((calls.sum(0, 7), calls.sum(2, 7)), (0, 2));
    });
}
