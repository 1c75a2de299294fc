//! The streams of one HTTP/2 connection that are being served: when it is idle, and what clients take of each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::runtime::clock;

/// So many resets within [`WINDOW`] are no flood yet, one more is: a browser leaves pages.
const RESETS: u64 = 200;

/// How far back resets are compared with the other streams: what a client did before buys it nothing now.
const WINDOW: Duration = Duration::from_secs(10);

/// So many answers may wait for their clients on the connections of one core. Each holds some 6 KiB where its client
/// has no room for it from the start, and some 130 KiB at most.
const MOST_WAITING: usize = 8_192;

/// The streams that have ended of late: in two halves of the window, of which the older one is let go as a whole.
#[derive(Clone, Copy, Default)]
struct Ended {
    since: Option<Instant>,
    now: Tally,
    before: Tally,
}

/// How many streams ended, and how many of them the client has reset before their answer was complete.
#[derive(Clone, Copy, Default)]
struct Tally {
    total: u64,
    reset: u64,
}

impl Ended {
    /// One more has ended. Whether that makes a flood: more resets than `floor`, and more than half of all.
    fn add(&mut self, reset: bool, floor: u64, now: Instant) -> bool {
        let half = WINDOW / 2;
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            *self = Ended { since: Some(now), ..Ended::default() };
        } else if passed >= half {
            *self = Ended { since: Some(since + half), now: Tally::default(), before: self.now };
        }
        self.now.total += 1;
        self.now.reset += u64::from(reset);
        let (total, resets) = (self.now.total + self.before.total, self.now.reset + self.before.reset);
        resets > floor && resets * 2 > total
    }
}

/// The streams of one connection.
pub(super) struct Streams {
    waiting: Rc<Waiting>,
    open: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
    /// Whether the stream that ended last was reset because its client took nothing.
    ended_stalled: Cell<bool>,
    ended: Cell<Ended>,
    /// So many resets within the window are no flood: all that may be open at once may be reset at once.
    floor: u64,
    flood: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How many streams have an answer that waits for its client.
#[derive(Default)]
struct Waiting {
    /// Of this connection.
    connection: Cell<usize>,
    /// Of all connections of the core.
    core: Rc<Cell<usize>>,
}

impl Waiting {
    fn begins(&self) {
        self.connection.set(self.connection.get() + 1);
        self.core.set(self.core.get() + 1);
    }

    fn ends(&self) {
        self.connection.set(self.connection.get() - 1);
        self.core.set(self.core.get() - 1);
    }
}

/// What the client takes of the answer of one stream.
pub(super) struct Progress {
    waiting: Rc<Waiting>,
    /// Since when a piece of the answer has waited for the client without any of its bytes being taken; none while
    /// the client waits for the answer.
    waiting_since: Cell<Option<Instant>>,
    /// Whether the next piece of the answer is awaited.
    wanted: Cell<bool>,
    stalled: Cell<bool>,
    /// Bytes that the library holds.
    unsent: Cell<usize>,
    /// Bytes that the library has written.
    sent: Cell<u64>,
    /// Whether the library has thrown bytes away.
    lost: Cell<bool>,
    /// The task that waits until the library holds nothing more.
    waker: Cell<Option<Waker>>,
}

impl Progress {
    fn new(waiting: Rc<Waiting>) -> Progress {
        Progress {
            waiting,
            waiting_since: Cell::new(None),
            wanted: Cell::new(false),
            stalled: Cell::new(false),
            unsent: Cell::new(0),
            sent: Cell::new(0),
            lost: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    /// The next piece of the answer is asked for. What the library still holds waits for the client all the same.
    pub(super) fn wanted(&self) {
        self.wanted.set(true);
        if self.unsent.get() == 0 {
            self.wait_since(None);
        }
    }

    fn wait_since(&self, since: Option<Instant>) {
        match (self.waiting_since.replace(since), since) {
            (None, Some(_)) => self.waiting.begins(),
            (Some(_), None) => self.waiting.ends(),
            _ => {}
        }
    }

    /// A piece of the answer is there for the client. Where an earlier one waits, the time goes on.
    pub(super) fn offered(&self, now: Instant) {
        self.wanted.set(false);
        if self.waiting_since.get().is_none() {
            self.wait_since(Some(now));
        }
    }

    /// So many bytes were handed over to the library.
    pub(super) fn handed(&self, bytes: usize) {
        self.unsent.set(self.unsent.get() + bytes);
    }

    /// The client has taken so many bytes of the answer.
    pub(super) fn took(&self, bytes: usize, now: Instant) {
        self.sent.set(self.sent.get() + bytes as u64);
        self.release(bytes);
        if self.waiting_since.get().is_some() {
            let waits = self.unsent.get() > 0 || !self.wanted.get();
            self.wait_since(waits.then_some(now));
        }
    }

    /// The library has thrown away so many bytes of the answer.
    pub(super) fn lost(&self, bytes: usize) {
        self.lost.set(true);
        self.release(bytes);
    }

    fn release(&self, bytes: usize) {
        let left = self.unsent.get().saturating_sub(bytes);
        self.unsent.set(left);
        if left == 0
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Whether the library holds nothing of the answer; if it does, the task is woken once that has changed.
    pub(super) fn is_flushed(&self, waker: &Waker) -> bool {
        let flushed = self.unsent.get() == 0;
        if !flushed {
            self.waker.set(Some(waker.clone()));
        }
        flushed
    }

    /// Whether all that was handed over has been written.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent.get() == 0 && !self.lost.get()
    }

    /// How many bytes of the answer have been written.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Since when the answer has waited for the client, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.get()
    }

    /// The client has taken nothing for too long: the stream is about to be reset.
    pub(super) fn stall(&self) {
        self.stalled.set(true);
    }

    /// Whether the stream is reset because its client took nothing.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new(Rc::default())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wait_since(None);
    }
}

impl Streams {
    /// No streams yet, of a connection that may have so many open at once. `waiting` counts the streams of its core
    /// whose answers wait for their clients.
    pub(super) fn new(most: u32, waiting: Rc<Cell<usize>>) -> Streams {
        Streams {
            waiting: Rc::new(Waiting { connection: Cell::new(0), core: waiting }),
            open: Cell::new(0),
            idle_since: Cell::new(None),
            ended_stalled: Cell::new(false),
            ended: Cell::default(),
            floor: RESETS.max(u64::from(most)),
            flood: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Enters a stream until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Guard {
        self.open.set(self.open.get() + 1);
        let progress = Rc::new(Progress::new(Rc::clone(&self.waiting)));
        Guard { streams: Rc::clone(self), progress, complete: false }
    }

    /// Whether as many answers wait on this core as may, and some of them on this connection: a further stream would add
    /// to what the process holds for clients that do not take it.
    pub(super) fn are_too_many(&self) -> bool {
        self.waiting.core.get() >= MOST_WAITING && self.waiting.connection.get() > 0
    }

    /// The task to wake when the last stream has ended.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut held = self.waker.borrow_mut();
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// Whether no stream is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.get() == 0
    }

    /// When the last stream ended, if there was one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get()
    }

    /// Whether the stream that ended last was reset because its client took nothing.
    pub(super) fn ended_stalled(&self) -> bool {
        self.ended_stalled.get()
    }

    /// Whether the client resets streams for a living: each costs work that nobody waits for (RFC 9113 section 10.5).
    pub(super) fn is_flood(&self) -> bool {
        self.flood.get()
    }

    fn note_end(&self, reset: bool, now: Instant) {
        let mut ended = self.ended.get();
        if ended.add(reset, self.floor, now) {
            self.flood.set(true);
        }
        self.ended.set(ended);
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// One stream that is being served, its answer's body included.
pub(super) struct Guard {
    streams: Rc<Streams>,
    progress: Rc<Progress>,
    complete: bool,
}

impl Guard {
    /// The answer is whole, or it broke off through no doing of the client's.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// What the client takes of the answer.
    pub(super) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let streams = &self.streams;
        let stalled = self.progress.is_stalled();
        streams.ended_stalled.set(stalled);
        let (reset, now) = (!self.complete && !stalled, clock::now());
        streams.note_end(reset, now);
        if reset {
            streams.wake();
        }
        streams.open.set(streams.open.get() - 1);
        if streams.open.get() == 0 {
            streams.idle_since.set(Some(now));
            streams.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_waits_from_the_last_byte_that_was_taken() {
        let (progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(progress.waiting_since(), None, "the client waits for the service");
        progress.offered(at(2));
        progress.handed(10);
        assert_eq!(progress.waiting_since(), Some(at(2)));
        progress.took(4, at(3));
        assert_eq!((progress.waiting_since(), progress.sent(), progress.is_sent()), (Some(at(3)), 4, false));
        progress.took(6, at(4));
        assert_eq!((progress.waiting_since(), progress.sent(), progress.is_sent()), (Some(at(4)), 10, true));
        progress.wanted();
        assert_eq!(progress.waiting_since(), None);
    }

    #[test]
    fn what_the_library_holds_waits_while_more_is_awaited() {
        let (progress, start) = (Progress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        progress.offered(at(1));
        progress.handed(10);
        progress.wanted();
        assert_eq!(progress.waiting_since(), Some(at(1)));
        progress.offered(at(2));
        progress.handed(5);
        assert_eq!(progress.waiting_since(), Some(at(1)), "more of the service is no step of the client");
        progress.wanted();
        progress.took(15, at(3));
        assert_eq!((progress.waiting_since(), progress.is_sent()), (None, true));
        progress.handed(5);
        progress.lost(5);
        assert!(progress.is_flushed(Waker::noop()) && !progress.is_sent());
    }

    #[test]
    fn a_stalled_stream_is_no_reset_of_the_client() {
        let streams = Rc::new(Streams::new(100, Rc::default()));
        for _ in 0..RESETS * 2 {
            let guard = streams.enter();
            guard.progress().stall();
            assert!(!streams.is_empty() && guard.progress().is_stalled());
            drop(guard);
            assert!(streams.is_empty() && streams.ended_stalled() && !streams.is_flood());
        }
        for _ in 0..RESETS * 4 {
            drop(streams.enter());
        }
        assert!(streams.is_flood() && !streams.ended_stalled());
    }

    #[test]
    fn what_a_client_did_before_buys_no_resets() {
        let start = Instant::now();
        let mut ended = Ended::default();
        for _ in 0..1_000_000 {
            assert!(!ended.add(false, RESETS, start));
        }
        let later = start + WINDOW;
        let resets = (0..=RESETS).map(|_| ended.add(true, RESETS, later));
        assert_eq!(resets.filter(|flood| *flood).count(), 1, "the last of them makes it one");
    }

    #[test]
    fn resets_that_are_spread_or_among_as_many_good_streams_are_no_flood() {
        let start = Instant::now();
        let mut slow = Ended::default();
        let every = WINDOW / u32::try_from(RESETS).unwrap();
        assert!((0..10_000).all(|at| !slow.add(true, RESETS, start + (every + every / 50) * at)));
        let mut mixed = Ended::default();
        assert!((0..10_000_u32).all(|at| !mixed.add(at % 2 == 1, RESETS, start + every / 100 * at)));
        let mut fast = Ended::default();
        assert!((0..10_000).any(|at| fast.add(true, RESETS, start + every / 3 * at)), "three times as fast");
    }

    #[test]
    fn what_waits_is_bounded_for_connections_that_add_to_it() {
        let (waits, now) = (Rc::new(Cell::new(MOST_WAITING - 1)), Instant::now());
        let (slow, other) = (Streams::new(1000, Rc::clone(&waits)), Streams::new(1000, Rc::clone(&waits)));
        let (slow, other) = (Rc::new(slow), Rc::new(other));
        let stream = slow.enter();
        assert!(!slow.are_too_many());
        stream.progress().offered(now);
        stream.progress().handed(10);
        stream.progress().took(4, now);
        assert!(slow.are_too_many() && !other.are_too_many(), "one that takes its answers is served");
        stream.progress().wanted();
        assert!(slow.are_too_many(), "the library still holds a part");
        stream.progress().took(6, now);
        assert!(!slow.are_too_many());
        stream.progress().offered(now);
        assert!(slow.are_too_many());
        drop(stream);
        assert_eq!((waits.get(), slow.waiting.connection.get()), (MOST_WAITING - 1, 0));
    }

    #[test]
    fn all_that_may_be_open_may_be_reset_at_once() {
        let streams = Rc::new(Streams::new(1000, Rc::default()));
        let open: Vec<Guard> = (0..1000).map(|_| streams.enter()).collect();
        drop(open);
        assert!(!streams.is_flood());
        drop(streams.enter());
        assert!(streams.is_flood());
    }
}
