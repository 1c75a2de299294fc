//! The handoff in every order of the steps of a few cores: see `runtime/sync.rs`.

use super::*;
use crate::listener::connections::BoundReached;
use crate::runtime::sync::testing::{block_on, explore, thread};

/// What became of the connections that a core accepted.
#[derive(Default)]
struct Accepted {
    kept: Vec<usize>,
    given: Vec<usize>,
}

/// Two cores. The first has more connections than the second and accepts two more; what the second takes over it has
/// served at once.
struct Scene {
    handoff: Arc<Handoff>,
    counts: Arc<ConnectionCounts>,
    socket: Arc<TcpStream>,
    /// The second core is no more.
    ended: AtomicUsize,
}

impl Scene {
    fn new(socket: &Arc<TcpStream>) -> (Arc<Scene>, Exit) {
        let (handoff, mut exits) = Handoff::new(2);
        let (counts, ended) = (ConnectionCounts::new(100), AtomicUsize::new(0));
        (Arc::new(Scene { handoff, counts, socket: Arc::clone(socket), ended }), exits.remove(1))
    }

    fn accept(&self) -> Accepted {
        let mut open = vec![self.handoff.count(0), self.handoff.count(0)];
        let mut accepted = Accepted::default();
        for number in [1, 2] {
            let moved = connection(&self.socket, number, &self.counts, self.handoff.place(0));
            let ended = self.ended.load(Ordering::SeqCst) > 0;
            let back = match moved.balanced.core() {
                0 => Some(moved),
                _ => self.handoff.give(0, moved).err(),
            };
            match back {
                Some(moved) => {
                    assert_eq!((moved.listener, moved.balanced.core()), (number, 0));
                    accepted.kept.push(number);
                    open.push(moved.balanced);
                }
                None => {
                    assert!(!ended, "it was given to nobody");
                    accepted.given.push(number);
                }
            }
        }
        accepted
    }

    fn take_over(&self, exit: &mut Exit) -> Vec<usize> {
        let mut served = Vec::new();
        while let Ok(moved) = exit.try_recv() {
            assert_eq!(moved.balanced.core(), 1);
            assert_eq!(self.handoff.place(1).core(), 1, "it is the least busy one");
            served.push(moved.listener);
        }
        served
    }

    fn is_empty(&self) {
        assert_eq!((self.handoff.open(), self.counts.open()), (0, 0));
    }
}

#[test]
fn what_cores_give_while_another_closes_is_served_once() {
    let socket = Arc::new(socket());
    explore("handoff: closing", 5, move || {
        let (scene, mut exit) = Scene::new(&socket);
        let accepts = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.accept())
        };
        // A core leaves in two steps: it closes its own sockets, and once those of all are closed it takes what is left.
        let mut served = scene.take_over(&mut exit);
        let accepted = accepts.join().unwrap();
        served.extend(scene.take_over(&mut exit));
        assert_eq!(served, accepted.given, "all that was given, in order and once");
        assert_eq!(accepted.kept.len() + accepted.given.len(), 2);
        scene.is_empty();
    });
}

#[test]
fn what_is_given_to_a_core_that_ends_comes_back_or_ends_with_it() {
    let socket = Arc::new(socket());
    explore("handoff: ending", 5, move || {
        let (scene, mut exit) = Scene::new(&socket);
        let accepts = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.accept())
        };
        let served = scene.take_over(&mut exit);
        drop(exit);
        scene.ended.store(1, Ordering::SeqCst);
        let accepted = accepts.join().unwrap();
        assert!(accepted.given.starts_with(&served));
        assert_eq!(accepted.kept.len() + accepted.given.len(), 2);
        scene.is_empty();
    });
}

#[test]
fn a_core_that_waits_hears_of_what_two_others_give() {
    let socket = Arc::new(socket());
    explore("handoff: two givers", 3, move || {
        let counts = ConnectionCounts::new(100);
        let (handoff, mut exits) = Handoff::new(3);
        let give = |core: usize| {
            let (handoff, counts, socket) = (Arc::clone(&handoff), Arc::clone(&counts), Arc::clone(&socket));
            thread::spawn(move || {
                let _open = handoff.count(core);
                let balanced = handoff.count(2);
                assert!(handoff.give(core, connection(&socket, core, &counts, balanced)).is_ok());
            })
        };
        let givers = [give(0), give(1)];
        let mut served = [(); 2].map(|()| {
            let moved = block_on(exits[2].recv()).unwrap();
            assert_eq!(moved.balanced.core(), 2);
            moved.listener
        });
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        served.sort_unstable();
        assert_eq!(served, [0, 1]);
        assert_eq!((handoff.open(), counts.open()), (0, 0));
    });
}

#[test]
fn a_guard_gives_back_what_it_counted_wherever_it_ends() {
    explore("handoff: counts", 5, || {
        let (handoff, _exits) = Handoff::new(2);
        let ends = |core: usize| {
            let (handoff, elsewhere) = (Arc::clone(&handoff), handoff.count(1 - core));
            thread::spawn(move || {
                let here = handoff.count(core);
                assert!(handoff.open() <= 4, "no count falls below zero");
                drop(elsewhere);
                drop(here);
            })
        };
        [ends(0), ends(1)].into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(handoff.open(), 0);
        assert!(handoff.open.iter().all(|open| open.load(Ordering::Relaxed) == 0));
    });
}

#[test]
fn two_cores_that_see_the_same_idle_one_do_not_both_give_to_it() {
    explore("handoff: placing", 5, || {
        let (handoff, _exits) = Handoff::new(3);
        let busy: Vec<Counted> = [0, 0, 1, 1].into_iter().map(|core| handoff.count(core)).collect();
        let places = |core: usize| {
            let handoff = Arc::clone(&handoff);
            thread::spawn(move || handoff.place(core))
        };
        let placed = [places(0), places(1)].map(|thread| thread.join().unwrap());
        let given = placed.iter().filter(|placed| placed.core() == 2).count();
        assert_eq!(given, 1, "the second one sees what the first has given");
        drop((placed, busy));
        assert_eq!(handoff.open(), 0);
    });
}

#[test]
fn cores_never_take_the_last_place_twice() {
    explore("handoff: bounds", 5, || {
        let (counts, client) = (ConnectionCounts::new(100), Some(Ipv4Addr::LOCALHOST.into()));
        let bounds = ConnectionBounds { process: Some(2), client: Some(1) };
        let take = || {
            let counts = Arc::clone(&counts);
            thread::spawn(move || counts.take(bounds, 0, client))
        };
        let taken = [take(), take()].map(|thread| thread.join().unwrap());
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
        assert!(taken.iter().flat_map(|taken| taken.as_ref().err()).all(|e| *e == BoundReached::Client(1)));
        assert_eq!((counts.open(), counts.clients()), (1, 1));
        drop(taken);
        assert_eq!((counts.open(), counts.clients()), (0, 0));
    });
}
