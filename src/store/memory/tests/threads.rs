//! The counters in every order of the steps of a few threads: see `runtime/sync.rs`.

use super::*;
use crate::runtime::sync::testing::{explore, thread};

const WINDOW: u64 = 1_000_000;

/// Budgets with a clock that the model moves, and permits that are held by their holders' own count.
struct Scene {
    memory: Memory,
    clock: Arc<Stepped>,
    limit: Limit,
    held: AtomicU64,
}

/// A clock whose readings and moves are steps that the checker orders.
struct Stepped {
    start: Instant,
    micros: AtomicU64,
}

impl Stepped {
    fn new() -> Arc<Stepped> {
        Arc::new(Stepped { start: Instant::now(), micros: AtomicU64::new(0) })
    }
}

impl Clock for Stepped {
    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

impl Scene {
    fn new(max_keys: usize, limit: Limit) -> Arc<Scene> {
        Scene::with_seed(&Seed::new(), max_keys, limit)
    }

    /// For models with several keys, which have to find them at the same places in every order.
    fn with_seed(seed: &Seed, max_keys: usize, limit: Limit) -> Arc<Scene> {
        let clock = Stepped::new();
        let mut memory = Memory::new(max_keys, clock.clone());
        Arc::get_mut(&mut memory.counts).unwrap().seed = seed.clone();
        Arc::new(Scene { memory, clock, limit, held: AtomicU64::new(0) })
    }

    fn take(&self, key: &[u8]) -> Decision {
        take(&self.memory, key, &self.limit)
    }

    /// What is left of a key's budget.
    fn left(&self, key: &[u8]) -> u64 {
        match self.memory.take(key, &self.limit, 0) {
            Taken::Ready(Ok(decision)) => decision.remaining,
            _ => panic!("memory never waits and is never away"),
        }
    }

    /// Takes a permit, holds it for a moment and gives it back; whether it got one.
    fn borrow(&self, key: &[u8]) -> bool {
        let decision = self.take(key);
        if decision.admitted {
            let held = self.held.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(held <= self.limit.limit, "{held} are held");
            self.held.fetch_sub(1, Ordering::SeqCst);
            self.memory.give_back(key, &self.limit, 1, decision.ticket);
        }
        decision.admitted
    }
}

/// Budgets of one permit, by the addresses of their locks: these are taken in that order, which has to be the same in
/// every run of a model.
fn two() -> [Arc<Scene>; 2] {
    let mut both = [(); 2].map(|()| Scene::new(8, limit(Algorithm::SlidingWindow, 1, WINDOW)));
    both.sort_by_key(|scene| std::ptr::from_ref(&scene.memory.counts.shards[0]) as usize);
    both
}

fn spawn<T: 'static>(scene: &Arc<Scene>, work: impl FnOnce(&Scene) -> T + 'static) -> thread::JoinHandle<T> {
    let scene = Arc::clone(scene);
    thread::spawn(move || work(&scene))
}

fn admitted(decisions: &[Decision]) -> usize {
    decisions.iter().filter(|decision| decision.admitted).count()
}

#[test]
fn threads_that_take_get_exactly_the_limit() {
    for algorithm in EVERY {
        explore("store: takes", 4, move || {
            let scene = Scene::new(8, limit(algorithm, 2, WINDOW));
            let others = [spawn(&scene, |scene| scene.take(b"a")), spawn(&scene, |scene| scene.take(b"a"))];
            let mut decisions = vec![scene.take(b"a")];
            decisions.extend(others.map(|thread| thread.join().unwrap()));
            assert_eq!(admitted(&decisions), 2, "{algorithm:?}");
            let mut left: Vec<_> = decisions.iter().map(|decision| decision.remaining).collect();
            left.sort_unstable();
            assert_eq!(left, [0, 0, 1], "{algorithm:?}");
        });
    }
}

#[test]
fn what_is_given_back_is_there_again_and_no_more() {
    for algorithm in EVERY {
        explore("store: loans", 4, move || {
            let scene = Scene::new(8, limit(algorithm, 1, WINDOW));
            let others =
                [spawn(&scene, |scene| scene.borrow(b"a")), spawn(&scene, |scene| scene.borrow(b"a"))];
            let mut got = vec![scene.borrow(b"a")];
            got.extend(others.map(|thread| thread.join().unwrap()));
            assert!(got.contains(&true), "{algorithm:?}: who comes first is refused by nobody");
            assert_eq!(scene.left(b"a"), 1, "{algorithm:?}");
        });
    }
}

#[test]
fn what_is_given_back_after_its_time_gives_nothing() {
    for algorithm in EVERY {
        explore("store: late loans", 4, move || {
            let scene = Scene::new(8, limit(algorithm, 1, WINDOW));
            let first = scene.take(b"a");
            let gives = spawn(&scene, move |scene| {
                scene.memory.give_back(b"a", &scene.limit, 1, first.ticket);
            });
            let later = spawn(&scene, |scene| {
                scene.clock.micros.fetch_add(2 * WINDOW, Ordering::AcqRel);
                scene.take(b"a")
            });
            scene.memory.tidy();
            gives.join().unwrap();
            assert!(later.join().unwrap().admitted);
            // Only where both stood at the same moment may the one give back for the other, and they never do.
            assert_eq!(scene.left(b"a"), 0, "{algorithm:?}");
        });
    }
}

#[test]
fn no_window_holds_more_than_the_limit_while_time_passes_and_keys_are_swept() {
    for algorithm in [Algorithm::SlidingWindow, Algorithm::FixedWindow] {
        let seed = Seed::new();
        explore("store: sweeps", 4, move || {
            let scene = Scene::with_seed(&seed, 8, limit(algorithm, 1, WINDOW));
            let takes = spawn(&scene, |scene| [scene.take(b"a"), scene.take(b"a")]);
            let tidies = spawn(&scene, |scene| {
                scene.clock.micros.fetch_add(WINDOW + WINDOW / 10, Ordering::AcqRel);
                scene.memory.tidy();
                // A new key sweeps on its way.
                scene.take(b"b")
            });
            let mut decisions = vec![scene.take(b"a")];
            assert!(tidies.join().unwrap().admitted);
            decisions.extend(takes.join().unwrap());
            let mut times: Vec<_> = decisions.iter().filter(|d| d.admitted).map(|d| d.ticket.at_us).collect();
            times.sort_unstable();
            assert!(!times.is_empty() && times.windows(2).all(|two| two[1] - two[0] >= WINDOW), "{times:?}");
        });
    }
}

#[test]
fn a_key_starts_anew_only_where_it_was_given_up() {
    let seed = Seed::new();
    explore("store: evictions", 4, move || {
        let scene = Scene::with_seed(&seed, 2, limit(Algorithm::SlidingWindow, 1, WINDOW));
        let smaller = scene.memory.resized(1);
        let again = spawn(&scene, |scene| {
            let first = scene.take(b"a");
            let second = scene.take(b"a");
            admitted(&[first, second])
        });
        let flood = spawn(&scene, |scene| admitted(&[scene.take(b"b"), scene.take(b"c")]));
        let limit = scene.limit;
        let mine = take(&smaller, b"a", &limit);
        // Of nobody who is kept: what was given up gives nothing back.
        smaller.give_back(b"d", &limit, 1, mine.ticket);
        let taken = admitted(&[mine]) + again.join().unwrap();
        assert_eq!(flood.join().unwrap(), 2);
        assert!(taken >= 1 && taken as u64 <= 1 + scene.memory.evicted());
        assert!(scene.memory.len() <= 2);
    });
}

#[test]
fn budgets_that_are_asked_together_are_taken_together() {
    explore("store: two budgets", 4, || {
        let [one, other] = two();
        let ask = |first: &Arc<Scene>, second: &Arc<Scene>| {
            let (first, second) = (Arc::clone(first), Arc::clone(second));
            thread::spawn(move || {
                let out = both((&first.memory, &first.limit), (&second.memory, &second.limit), b"a");
                out.iter().all(|decision| decision.admitted)
            })
        };
        // In either order: nobody waits for whom he keeps waiting.
        let asks = [ask(&one, &other), ask(&other, &one)];
        let passed = asks.map(|thread| thread.join().unwrap());
        assert_ne!(passed[0], passed[1], "one passes");
        assert_eq!((one.left(b"a"), other.left(b"a")), (0, 0));
    });
}

#[test]
fn what_one_budget_refuses_takes_nothing_from_another_for_no_moment() {
    explore("store: a refusal", 4, || {
        let [spent, free] = two();
        assert!(spent.take(b"a").admitted);
        let asks = {
            let (spent, free) = (Arc::clone(&spent), Arc::clone(&free));
            thread::spawn(move || {
                let out = both((&free.memory, &free.limit), (&spent.memory, &spent.limit), b"a");
                out.iter().all(|decision| decision.admitted)
            })
        };
        assert!(free.take(b"a").admitted);
        assert!(!asks.join().unwrap());
    });
}

#[test]
fn a_seed_counts_once_and_never_for_a_key_that_was_taken_from() {
    explore("store: seeds", 4, || {
        let scene = Scene::new(8, limit(Algorithm::SlidingWindow, 2, WINDOW));
        let seed = |scene: &Arc<Scene>| spawn(scene, |scene| scene.memory.seed(b"a", &scene.limit, 1));
        let seeds = [seed(&scene), seed(&scene)];
        let first = scene.take(b"a");
        seeds.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(first.admitted);
        // Seeded before it, or not at all.
        assert_eq!(scene.left(b"a"), first.remaining);
    });
}
