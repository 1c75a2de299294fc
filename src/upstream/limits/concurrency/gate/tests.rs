use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use super::*;

#[cfg(feature = "models")]
mod threads;

const LONG: Duration = Duration::from_secs(600);

fn gate(max: u32, queue: u32) -> Gate {
    Gate::new(Limit::Max(max), queue, LONG)
}

fn far() -> Instant {
    Instant::now() + LONG
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Polls once, and hands out the result if there is one.
fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn it_lets_in_no_more_than_the_limit() {
    let gate = gate(2, 0);
    let one = gate.try_enter().unwrap();
    let two = gate.try_enter().unwrap();
    assert!(gate.try_enter().is_none());
    assert_eq!(gate.active(), 2);
    drop(one);
    let three = gate.try_enter().unwrap();
    assert!(gate.try_enter().is_none());
    drop((two, three));
    assert_eq!((gate.active(), gate.waiting()), (0, 0));
}

#[test]
fn who_waits_goes_in_in_order_and_nobody_overtakes() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let gate = gate(1, 2);
    let held = gate.try_enter().unwrap();
    let mut first = Box::pin(gate.enter(far()));
    let mut second = Box::pin(gate.enter(far()));
    assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
    assert_eq!((gate.active(), gate.waiting()), (1, 2));
    assert!(matches!(poll(&mut Box::pin(gate.enter(far()))), Some(Err(Refused::QueueFull))));
    drop(held);
    assert!(gate.try_enter().is_none(), "the place is the first one's already");
    assert!(poll(&mut second).is_none());
    let permit = poll(&mut first).unwrap().unwrap();
    drop(permit);
    let permit = poll(&mut second).unwrap().unwrap();
    assert_eq!((gate.active(), gate.waiting()), (1, 0));
    drop(permit);
    assert_eq!(gate.active(), 0);
}

#[test]
fn who_leaves_the_queue_takes_nothing_along() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let gate = gate(1, 3);
    let held = gate.try_enter().unwrap();
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(gate.enter(far()))).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
    drop(waits.remove(1));
    assert_eq!(gate.waiting(), 2);
    // The first has been granted the place, and is dropped before it looks.
    drop(held);
    assert_eq!((gate.active(), gate.waiting()), (1, 1));
    drop(waits.remove(0));
    assert_eq!((gate.active(), gate.waiting()), (1, 0));
    assert!(poll(&mut waits[0]).unwrap().is_ok());
    assert_eq!(gate.active(), 0);
}

#[test]
fn waiting_ends_with_the_queue_timeout_or_the_deadline() {
    runtime().block_on(async {
        for (timeout, deadline) in [(Duration::from_millis(1), far()), (LONG, Instant::now())] {
            let gate = Gate::new(Limit::Max(1), 1, timeout);
            let held = gate.try_enter().unwrap();
            assert!(matches!(gate.enter(deadline).await, Err(Refused::TimedOut)));
            assert_eq!((gate.active(), gate.waiting()), (1, 0));
            drop(held);
            assert!(gate.enter(deadline).await.is_ok(), "a free place needs no time");
        }
    });
}

#[test]
fn a_limit_that_rises_lets_in_who_waits_and_one_that_falls_waits_for_who_is_in() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let gate = Gate::new(Limit::Adaptive(1024), 100, LONG);
    let now = Instant::now();
    let mut held: Vec<_> = (0..gate.limit()).map(|_| gate.try_enter().unwrap()).collect();
    let mut waits: Vec<_> = (0..100).map(|_| Box::pin(gate.enter(far()))).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
    let before = gate.limit();
    (0..1_000).for_each(|_| gate.observe(Duration::from_millis(1), false, now));
    assert!(gate.limit() > before);
    assert_eq!(gate.active(), gate.limit());
    let granted: Vec<_> = waits.iter_mut().filter_map(poll).map(Result::unwrap).collect();
    assert_eq!(granted.len() as u32, gate.limit() - before);
    let risen = gate.limit();
    (0..1_000).for_each(|_| gate.observe(Duration::ZERO, true, now));
    let fallen = gate.limit();
    assert!(fallen < risen && gate.active() == risen);
    held.extend(granted);
    let waiting = gate.waiting();
    held.truncate(fallen as usize);
    assert_eq!((gate.active(), gate.waiting()), (fallen, waiting), "nobody has come in for those that went");
    held.pop();
    assert_eq!((gate.active(), gate.waiting()), (fallen, waiting - 1));
}

/// Threads with runtimes of their own come, wait, give up and go; nobody may be forgotten, and never are too many in.
#[test]
fn under_stress_the_limit_is_exact_and_no_place_is_lost() {
    const THREADS: u64 = 8;
    for (max, queue) in [(1, 64), (3, 4), (3, 64)] {
        let gate = gate(max, queue);
        let (inside, most, start) = (AtomicU32::new(0), AtomicU32::new(0), Barrier::new(THREADS as usize));
        let entered = AtomicU64::new(0);
        let work = async |random: &mut fastrand::Rng| {
            for _ in 0..500 {
                let mut wait = Box::pin(gate.enter(far()));
                if random.u8(..4) == 0 {
                    // Gives up, after none or some polls, maybe in the moment in which it is granted its place.
                    for _ in 0..random.u8(..3) {
                        if poll(&mut wait).is_some() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                let Ok(permit) = wait.await else { continue };
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                entered.fetch_add(1, Ordering::SeqCst);
                if random.bool() {
                    tokio::task::yield_now().await;
                }
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..THREADS {
                let (work, start) = (&work, &start);
                scope.spawn(move || {
                    start.wait();
                    // Several on one thread, so that permits are held while others of the same thread run.
                    let mut randoms = [0, 1, 2].map(|more| fastrand::Rng::with_seed(seed * 3 + more));
                    let [one, two, three] = &mut randoms;
                    runtime().block_on(async { tokio::join!(work(one), work(two), work(three)) });
                });
            }
        });
        assert!(most.into_inner() <= max);
        assert!(entered.into_inner() > 100);
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
        assert!(gate.shared.waiters().line.is_empty());
    }
}

#[test]
fn under_stress_a_changing_limit_loses_nobody() {
    let gate = Gate::new(Limit::Adaptive(1024), 64, LONG);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    runtime().block_on(async {
                        for _ in 0..2_000 {
                            let permit = gate.enter(far()).await.unwrap();
                            tokio::task::yield_now().await;
                            drop(permit);
                        }
                    });
                })
            })
            .collect();
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(1);
            while !done.load(Ordering::SeqCst) {
                // Down to one place and up again.
                let dropped = random.bool();
                (0..2_000).for_each(|_| gate.observe(Duration::from_millis(1), dropped, Instant::now()));
                std::thread::yield_now();
            }
        });
        for caller in callers {
            caller.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!((gate.active(), gate.waiting()), (0, 0));
}

#[test]
fn a_successor_counts_the_calls_under_way_against_its_own_limit() {
    let gate = Gate::new(Limit::Max(4), 0, Duration::from_secs(1));
    let held: Vec<_> = (0..4).map(|_| gate.try_enter().unwrap()).collect();
    let smaller = gate.successor(Limit::Max(2), 0, Duration::from_secs(1));
    assert_eq!((gate.limit(), smaller.active()), (4, 4), "not in force yet");
    smaller.come_into_force();
    assert_eq!((gate.limit(), smaller.limit()), (2, 2));
    assert!(smaller.try_enter().is_none());
    drop(held);
    let held: Vec<_> = (0..2).map(|_| smaller.try_enter().unwrap()).collect();
    assert!(smaller.try_enter().is_none() && gate.try_enter().is_none(), "one count for both");
    let larger = smaller.successor(Limit::Max(3), 0, Duration::from_secs(1));
    larger.come_into_force();
    assert!(larger.try_enter().is_some());
    drop(held);
    assert_eq!(larger.active(), 0);
}

#[test]
fn a_gate_out_of_force_sets_no_limit_and_an_adaptive_one_goes_on() {
    let start = Instant::now();
    let old = Gate::new(Limit::Adaptive(1024), 0, Duration::from_secs(1));
    let grow = |gate: &Gate| {
        let _held: Vec<_> = (0..gate.limit()).map(|_| gate.try_enter().unwrap()).collect();
        (0..500).for_each(|_| gate.observe(Duration::from_millis(1), false, start));
    };
    grow(&old);
    let learned = old.limit();
    assert!(learned > 20, "{learned}");
    let same = old.successor(Limit::Adaptive(1024), 9, Duration::from_secs(1));
    same.come_into_force();
    assert_eq!(same.limit(), learned);
    let fixed = same.successor(Limit::Max(7), 0, Duration::from_secs(1));
    fixed.come_into_force();
    grow(&old);
    assert_eq!(fixed.limit(), 7);
}

#[test]
fn a_gate_comes_into_force_while_answer_times_come_in() {
    let (adaptive, queue) = (Limit::Adaptive(64), 16);
    let mut gate = Gate::new(adaptive, queue, LONG);
    for _ in 0..200 {
        let next = gate.successor(adaptive, queue, LONG);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let now = Instant::now();
                    // Every hundredth ends a window, and sets the limit.
                    (0..400).for_each(|_| gate.observe(Duration::from_millis(1), false, now));
                });
            }
            scope.spawn(|| next.come_into_force());
        });
        gate = next;
    }
    assert!(gate.try_enter().is_some());
}
