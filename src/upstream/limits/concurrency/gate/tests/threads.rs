//! The gate in every order of the steps of a few threads: see `runtime/sync.rs`.

use super::*;
use crate::runtime::sync::testing::{block_on, explore, thread};

/// Runs a model where the timers are that the queue asks for; none of them ever fires.
fn model(name: &str, interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runtime = runtime();
    let _guard = runtime.enter();
    explore(name, interruptions, model);
}

/// A gate, and how many are inside by their own count.
struct Scene {
    gate: Gate,
    inside: AtomicU32,
}

impl Scene {
    fn new(gate: Gate) -> Arc<Scene> {
        Arc::new(Scene { gate, inside: AtomicU32::new(0) })
    }

    /// Waits for a place. Should a wake-up be lost, all threads wait in the end, and the checker says so.
    fn enter(&self) -> Permit {
        block_on(self.gate.enter(far())).expect("the queue has room, and the time is never over")
    }

    /// Is inside for a moment, where no more than so many may be.
    fn stay(&self, most: u32) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= most, "{inside} are inside, where {most} may be");
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn visit(&self, most: u32) {
        let permit = self.enter();
        self.stay(most);
        drop(permit);
    }

    fn is_empty(&self) {
        assert_eq!((self.gate.active(), self.gate.waiting()), (0, 0));
        assert!(self.gate.shared.waiters().line.is_empty());
    }
}

fn spawn(scene: &Arc<Scene>, work: impl FnOnce(&Scene) + 'static) -> thread::JoinHandle<()> {
    let scene = Arc::clone(scene);
    thread::spawn(move || work(&scene))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_limit_holds_and_everybody_gets_in() {
    for (limit, visitors, interruptions) in [(1, 1, 6), (1, 2, 3), (2, 2, 3)] {
        model("gate: visitors", interruptions, move || {
            let scene = Scene::new(gate(limit, 4));
            let others: Vec<_> =
                (0..visitors).map(|_| spawn(&scene, move |scene| scene.visit(limit))).collect();
            scene.visit(limit);
            join(others);
            scene.is_empty();
        });
    }
}

#[test]
fn who_does_not_wait_never_overtakes_nor_exceeds() {
    model("gate: no waiting", 4, || {
        let scene = Scene::new(gate(1, 4));
        let waits = spawn(&scene, |scene| scene.visit(1));
        let tries = spawn(&scene, |scene| {
            if let Some(taken) = scene.gate.try_take() {
                scene.stay(1);
                drop(taken);
            }
        });
        join([waits, tries]);
        scene.is_empty();
    });
}

#[test]
fn who_leaves_the_queue_passes_its_place_on() {
    model("gate: leaving", 3, || {
        let scene = Scene::new(gate(1, 4));
        let held = scene.enter();
        let leaves = spawn(&scene, |scene| {
            let mut wait = Box::pin(scene.gate.enter(far()));
            // Looks once and goes: before its turn, in the moment of it, or after it.
            drop(poll(&mut wait));
        });
        let stays = spawn(&scene, |scene| scene.visit(1));
        scene.stay(1);
        drop(held);
        join([leaves, stays]);
        scene.is_empty();
    });
}

#[test]
fn a_full_queue_refuses_and_loses_nobody() {
    model("gate: full queue", 3, || {
        let scene = Scene::new(gate(1, 1));
        let visit = |scene: &Scene| match block_on(scene.gate.enter(far())) {
            Ok(permit) => {
                scene.stay(1);
                drop(permit);
            }
            Err(refused) => assert_eq!(refused, Refused::QueueFull),
        };
        let others = [spawn(&scene, visit), spawn(&scene, visit)];
        drop(scene.gate.try_enter());
        join(others);
        scene.is_empty();
    });
}

#[test]
fn a_limit_that_rises_wakes_who_waits() {
    model("gate: rise", 6, || {
        let scene = Scene::new(gate(1, 4));
        let held = scene.enter();
        let waits = spawn(&scene, |scene| scene.visit(1));
        scene.gate.successor(Limit::Max(2), 4, LONG).come_into_force();
        // It gets in by the new limit alone: the first place is not given back before it has gone.
        join([waits]);
        drop(held);
        scene.is_empty();
    });
}

#[test]
fn a_limit_that_rises_while_a_place_comes_free_lets_in_both() {
    model("gate: rise and leave", 3, || {
        let scene = Scene::new(gate(1, 4));
        let held = scene.enter();
        let waits = [spawn(&scene, |scene| scene.visit(2)), spawn(&scene, |scene| scene.visit(2))];
        scene.gate.successor(Limit::Max(2), 4, LONG).come_into_force();
        drop(held);
        join(waits);
        scene.is_empty();
    });
}

#[test]
fn a_limit_that_has_fallen_holds() {
    model("gate: fall", 3, || {
        let scene = Scene::new(gate(2, 4));
        let others = [spawn(&scene, |scene| scene.visit(2)), spawn(&scene, |scene| scene.visit(2))];
        scene.gate.successor(Limit::Max(1), 4, LONG).come_into_force();
        let permit = scene.enter();
        // Who came in before has gone, and nobody comes in as long as this one stays.
        assert_eq!(scene.inside.load(Ordering::SeqCst), 0);
        scene.stay(1);
        assert_eq!(scene.inside.load(Ordering::SeqCst), 0);
        drop(permit);
        join(others);
        scene.is_empty();
    });
}

#[test]
fn a_gate_out_of_force_never_sets_the_limit() {
    model("gate: observers", 4, || {
        let start = Instant::now();
        let old = Arc::new(Gate::new(Limit::Adaptive(64), 4, LONG));
        // One answer more, and the window ends.
        (0..9).for_each(|_| old.observe(Duration::from_millis(1), true, start));
        let late = start + Duration::from_secs(2);
        let fixed = old.successor(Limit::Max(3), 4, LONG);
        let observers: Vec<_> = (0..2)
            .map(|_| {
                let old = Arc::clone(&old);
                thread::spawn(move || old.observe(Duration::from_millis(1), true, late))
            })
            .collect();
        fixed.come_into_force();
        join(observers);
        assert_eq!(fixed.limit(), 3);
    });
}
