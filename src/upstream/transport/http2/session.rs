//! One connection to an endpoint, which carries many streams, and a place for one stream on it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use h2::client::SendRequest;

use crate::exchange::CoreId;
use crate::runtime::clock;
use crate::upstream::epoch::nanos;

use super::piece::Piece;
use super::waiting::Waiting;

/// The most streams that are open on a session at a time, however many its service allows.
pub(super) const MAX_STREAMS: usize = 100;

/// A session, as those see it who open streams on it.
pub(super) struct Session {
    sender: SendRequest<Piece>,
    pub(super) state: Arc<State>,
}

/// What the streams of a session and the task that drives it share.
pub(super) struct State {
    pub(super) peer: SocketAddr,
    /// The core whose runtime drives it.
    pub(super) core: CoreId,
    scheme: &'static str,
    started: Instant,
    /// When it is too old for new streams, if ever.
    pub(super) expires: Option<Instant>,
    /// Streams that are open.
    open: AtomicUsize,
    /// How many the service allows, within [`MAX_STREAMS`].
    allowed: AtomicUsize,
    /// How many are opened after the service has refused one; it grows again with every stream that went well.
    ceiling: AtomicUsize,
    /// Whether it takes no new stream.
    retired: AtomicBool,
    /// When the service was heard last, when the first of the open streams was opened, and when the last one ended: in
    /// nanoseconds from the start.
    heard: AtomicU64,
    busy: AtomicU64,
    rested: AtomicU64,
    /// Why it has ended, where the library has no words for it.
    why: OnceLock<&'static str>,
    waiting: Arc<Waiting>,
}

/// A place for one stream, until that has ended.
pub(super) struct Slot {
    state: Arc<State>,
    sender: SendRequest<Piece>,
    reused: bool,
    left: bool,
}

impl Session {
    pub(super) fn new(sender: SendRequest<Piece>, state: Arc<State>) -> Session {
        Session { sender, state }
    }

    /// A place for one more stream, where it has one. `proven`: only where it is not at rest, or new.
    ///
    /// A place is counted only once it can be given. One that was given back at once would wake those who wait, and so the
    /// very one that looks here before it waits.
    pub(super) fn enter(&self, proven: bool, now: Instant) -> Option<Slot> {
        let state = &self.state;
        if !state.has_room(now) || (proven && state.is_stale(state.open())) {
            return None;
        }
        let mut sender = self.sender.clone();
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            // It has ended, was asked to (GOAWAY), or has no number left for a stream.
            Poll::Ready(Err(_)) => {
                state.retire();
                return None;
            }
            // It has no stream of its own that could wait.
            Poll::Pending => return None,
        }
        let before = state.enter(now)?;
        let reused = state.is_stale(before);
        let slot = Slot { state: Arc::clone(state), sender, reused, left: false };
        // Another core may just have ended its last stream.
        Some(slot).filter(|_| !(reused && proven))
    }
}

impl State {
    /// The state of a session that begins now. It allows no stream yet.
    pub(super) fn new(
        (peer, core, scheme): (SocketAddr, CoreId, &'static str),
        expires: Option<Instant>,
        waiting: Arc<Waiting>,
        now: Instant,
    ) -> State {
        State {
            peer,
            core,
            scheme,
            started: now,
            expires,
            open: AtomicUsize::new(0),
            allowed: AtomicUsize::new(0),
            ceiling: AtomicUsize::new(MAX_STREAMS),
            retired: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            why: OnceLock::new(),
            waiting,
        }
    }

    /// Whether a stream more may be opened.
    fn has_room(&self, now: Instant) -> bool {
        self.is_current(now) && self.open() < self.limit()
    }

    /// Whether it was at rest with so many streams, or has not been heard since: the service may have closed it meanwhile.
    fn is_stale(&self, open: usize) -> bool {
        let at_rest = open == 0 || self.heard.load(Ordering::Relaxed) < self.busy.load(Ordering::Relaxed);
        at_rest && self.rested.load(Ordering::Relaxed) > 0
    }

    /// Counts one more stream, and says how many there were; `None` where there is no room for it.
    fn enter(&self, now: Instant) -> Option<usize> {
        let most = self.limit();
        let entered = self
            .open
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |open| (open < most).then_some(open + 1));
        let before = entered.ok()?;
        if before == 0 {
            self.busy.store(self.nanos(now), Ordering::Relaxed);
        }
        Some(before)
    }

    fn leave(&self, now: Instant) {
        // In one order with the count of those who wait: see `Waiting::enter`.
        if self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.rested.store(self.nanos(now).max(1), Ordering::Relaxed);
        }
        self.waiting.one();
    }

    /// How many streams are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How many may be.
    pub(super) fn limit(&self) -> usize {
        self.allowed.load(Ordering::Relaxed).min(self.ceiling.load(Ordering::Relaxed))
    }

    /// The service allows so many.
    pub(super) fn allow(&self, streams: usize) {
        let streams = streams.min(MAX_STREAMS);
        if self.allowed.swap(streams, Ordering::Relaxed) < streams {
            self.waiting.all();
        }
    }

    /// It takes no new stream from now on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether it takes no new stream.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether it takes new streams, as far as it has room: it is not retired, and not too old.
    pub(super) fn is_current(&self, now: Instant) -> bool {
        !self.is_retired() && self.expires.is_none_or(|expires| now < expires)
    }

    /// The session ends for this reason.
    pub(super) fn end_because(&self, why: &'static str) {
        let _ = self.why.set(why);
    }

    /// Since when the service has kept silent although streams are open.
    pub(super) fn silent_since(&self) -> Instant {
        self.moment(self.heard.load(Ordering::Relaxed).max(self.busy.load(Ordering::Relaxed)))
    }

    /// Since when no stream is open, where none is.
    pub(super) fn resting_since(&self) -> Instant {
        self.moment(self.rested.load(Ordering::Relaxed))
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.started))
    }

    fn moment(&self, nanos: u64) -> Instant {
        self.started + Duration::from_nanos(nanos)
    }
}

impl Slot {
    pub(super) fn peer(&self) -> SocketAddr {
        self.state.peer
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.state.scheme
    }

    /// Whether the session was at rest before, so that the service may have closed it in this moment.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Where its stream is opened.
    pub(super) fn sender(&mut self) -> &mut SendRequest<Piece> {
        &mut self.sender
    }

    /// Something has come on the stream.
    pub(super) fn heard(&self, now: Instant) {
        self.state.heard.store(self.state.nanos(now), Ordering::Relaxed);
    }

    /// Why the session has ended, where it has and the library has no words for it.
    pub(super) fn why(&self) -> Option<&'static str> {
        self.state.why.get().copied()
    }

    /// The service does not begin with this stream. Unless it ends the session as a whole, it is overcommitted: the
    /// session takes no more streams than there are, and none where this is the only one.
    pub(super) fn refused(&self, goes_away: bool) {
        let others = self.state.open().saturating_sub(1);
        if goes_away || others == 0 {
            self.state.retire();
        } else {
            self.state.ceiling.store(others, Ordering::Relaxed);
        }
    }

    /// The stream went well.
    pub(super) fn succeeded(&self) {
        let ceiling = self.state.ceiling.load(Ordering::Relaxed);
        if ceiling < MAX_STREAMS {
            self.state.ceiling.store(ceiling + 1, Ordering::Relaxed);
        }
    }

    /// The service has kept this stream waiting for too long. Where nothing at all has come since that moment, the
    /// session may well be dead, and takes no new stream.
    pub(super) fn suspect(&self, since: Instant) {
        if self.state.heard.load(Ordering::Relaxed) <= self.state.nanos(since) {
            self.state.retire();
        }
    }

    /// The session takes no new stream.
    pub(super) fn retire(&self) {
        self.state.retire();
    }

    /// The stream has ended.
    pub(super) fn leave(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            self.state.leave(clock::now());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
    }
}
