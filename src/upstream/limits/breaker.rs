//! The circuit breaker: a service that keeps failing is left alone for a while.
//!
//! - **Closed**: every call passes. It opens when `consecutive` calls in a row have failed (over all cores), or when
//!   a call fails and the rolling window then holds at least `min_requests` calls of which at least `ratio` failed.
//!   The window moves on in tenths, so it covers between nine tenths and the whole of `window`.
//! - **Open**: no call passes until `open` has gone by. A refusal tells what is left of it.
//! - **Half-open**: `probes` places. A call takes a place if (probes under way) + (probes that succeeded) is less
//!   than `probes`; every other call is refused. When all `probes` have succeeded the breaker closes and all counts
//!   start from nothing; one failure opens it again for the whole of `open`; a probe that comes to nothing gives its
//!   place back. A place that has been taken for as long as `open`, and at least a second, is given to another call:
//!   the client of a probe may be slow, and nothing is known by waiting for it. What that probe comes to counts no more.
//!
//! Time alone ends the open state: no other part has to ask or to answer for that. Every change from closed, and
//! every opening, begins a new epoch; a result counts only in the epoch its call was admitted in.
//!
//! What a good call costs: two reads of words that nobody writes while all is well, and a count in buckets of its
//! own core. A failure takes a lock and sums the cores' buckets.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::exchange::CoreId;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard};
use crate::upstream::epoch::{Epoch, nanos};
use standing::Reasons;
use window::{BUCKETS, Calls, Failures};

mod standing;
mod window;

pub use standing::{Opening, Standing, State};

/// When a call is refused because all probes are under way, nobody knows how long they take: ask again after this.
const PROBES_TAKEN: Duration = Duration::from_secs(1);

/// A probe holds its place for this long at least.
const LEAST_HELD: Duration = Duration::from_secs(1);

/// When a breaker opens, for how long, and what closes it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BreakerSettings {
    /// Failures in a row that open it (at least 1); `None` for never.
    pub consecutive: Option<u32>,
    /// The share of failed calls in the window that opens it, 0 to 1; `None` for never.
    pub ratio: Option<f64>,
    /// Fewer calls than this in the window say nothing about the ratio.
    pub min_requests: u32,
    /// The length of the rolling window; at least 10 ms.
    pub window: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// Calls that are let through half-open, and must all succeed (at least 1).
    pub probes: u32,
}

// The ratio is read from a number or a percentage and never NaN.
impl Eq for BreakerSettings {}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings {
            consecutive: Some(5),
            ratio: Some(0.5),
            min_requests: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(10),
            probes: 3,
        }
    }
}

impl Change {
    /// The state that it led to.
    pub fn state(&self) -> State {
        match self {
            Change::Opened(_) => State::Open,
            Change::Closed => State::Closed,
        }
    }
}

/// The answer to a call that asks to be let through.
#[derive(Debug)]
pub enum Admission {
    /// It may go on; its result is told to [`Breaker::record`].
    Pass(Pass),
    /// It is refused.
    Open {
        /// How long to wait before the next try.
        retry_after: Duration,
    },
}

/// A call that was let through. Dropped without a result it has come to nothing that counts (the client went away),
/// and a probe gives its place back.
#[must_use = "a call's result is recorded, or it counts as aborted"]
#[derive(Debug)]
pub struct Pass {
    epoch: u64,
    /// Set while this is a probe that holds a place: that of this number.
    probe: Option<(Arc<Circuit>, u64)>,
}

impl Pass {
    /// Whether this call probes a half-open breaker (such a call is neither hedged nor repeated with profit).
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((circuit, number)) = self.probe.take() {
            circuit.lock().places.retain(|(taken, _)| *taken != number);
        }
    }
}

/// A circuit breaker, shared by all cores; a clone is the same breaker.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Circuit>);

struct Circuit {
    settings: BreakerSettings,
    /// Length of a bucket of the window, in nanoseconds.
    bucket: u64,
    base: Epoch,
    /// The current epoch: even for closed, odd for open and half-open. Written under the lock only.
    epoch: AtomicU64,
    /// When the open state ends, in nanoseconds from the base. Written under the lock only.
    until: AtomicU64,
    /// Failures in a row in the lower half, the epoch they belong to (its lower half) above.
    streak: AtomicU64,
    calls: Box<[Calls]>,
    inner: Mutex<Inner>,
}

/// What changes with failures only.
#[derive(Default)]
struct Inner {
    epoch: u64,
    failures: Failures,
    /// The numbers of the probes under way, the oldest first, and when they began.
    places: SmallVec<[(u64, Instant); 4]>,
    /// The number of the next probe.
    next: u64,
    /// Probes that succeeded.
    succeeded: u32,
    /// How often it has opened.
    opened: u64,
    /// Why the last calls failed.
    reasons: Reasons,
    /// When the state began that is in force, and why it opened where it did; none before the first change.
    story: Option<(Instant, Option<Opening>)>,
}

/// A change of state, for the operator.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// It has opened, from closed or half-open.
    Opened(Opening),
    /// It has closed.
    Closed,
}

impl Breaker {
    /// A closed breaker for `cores` cores. Values below the least of a setting are read as that.
    #[must_use]
    pub fn new(settings: BreakerSettings, cores: usize) -> Breaker {
        Breaker(Arc::new(Circuit {
            bucket: (nanos(settings.window) / BUCKETS).max(1_000_000),
            settings,
            base: Epoch::default(),
            epoch: AtomicU64::new(0),
            until: AtomicU64::new(0),
            streak: AtomicU64::new(0),
            calls: (0..cores.max(1)).map(|_| Calls::default()).collect(),
            inner: Mutex::default(),
        }))
    }

    /// Asks to let a call through.
    #[inline]
    pub fn admit(&self, now: Instant) -> Admission {
        let epoch = self.0.epoch.load(Ordering::Acquire);
        if is_closed(epoch) {
            return Admission::Pass(Pass { epoch, probe: None });
        }
        self.0.admit_while_not_closed(now)
    }

    /// The result of a call that counts: why it failed, if it did. Returns the change that this result has brought
    /// about.
    #[inline]
    pub fn record(
        &self,
        mut pass: Pass,
        core: CoreId,
        now: Instant,
        failed: Option<&'static str>,
    ) -> Option<Change> {
        match pass.probe.take() {
            Some((circuit, number)) => circuit.probed(number, now, failed),
            None => self.0.called(pass.epoch, core, now, failed),
        }
    }

    /// The state at a moment. Open becomes half-open by time alone.
    pub fn state(&self, now: Instant) -> State {
        self.0.state(&self.0.lock(), now)
    }

    /// A failure that shows only after its call was recorded as good: the body of its response broke off. It counts as
    /// one more call, in the state that is in force; while the breaker is not closed it changes nothing.
    #[cold]
    pub fn late_failure(&self, core: CoreId, now: Instant, reason: &'static str) -> Option<Change> {
        let epoch = self.0.epoch.load(Ordering::Acquire);
        if is_closed(epoch) { self.0.called(epoch, core, now, Some(reason)) } else { None }
    }

    /// Half-open at once where it is open: something else has found the service well again.
    pub fn probe_now(&self, now: Instant) {
        let inner = self.0.lock();
        if !is_closed(inner.epoch) {
            self.0.until.fetch_min(self.0.base.nanos(now), Ordering::Release);
        }
    }

    /// The state, with its times and reasons.
    pub fn standing(&self, now: Instant) -> Standing {
        let inner = self.0.lock();
        let state = self.0.state(&inner, now);
        let until = self.0.base.moment(self.0.until.load(Ordering::Relaxed));
        let (since, opening) = inner.story.clone().unzip();
        Standing {
            state,
            since,
            until: until.filter(|_| state == State::Open),
            opening: opening.flatten().filter(|_| state != State::Closed),
        }
    }

    /// How often it has opened, after failed probes too.
    pub fn opened(&self) -> u64 {
        self.0.lock().opened
    }
}

impl Circuit {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half way through a change, so a poisoned lock holds sound counts.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, inner: &Inner, now: Instant) -> State {
        if is_closed(inner.epoch) {
            State::Closed
        } else if self.base.nanos(now) < self.until.load(Ordering::Relaxed) {
            State::Open
        } else {
            State::HalfOpen
        }
    }

    #[cold]
    fn admit_while_not_closed(self: &Arc<Circuit>, now: Instant) -> Admission {
        let moment = self.base.nanos(now);
        // Without the lock: while it is open, everybody comes by here. Should it have closed in between, one call
        // more is refused.
        let left = self.until.load(Ordering::Acquire).saturating_sub(moment);
        if left > 0 {
            return Admission::Open { retry_after: Duration::from_nanos(left) };
        }
        let mut inner = self.lock();
        if is_closed(inner.epoch) {
            return Admission::Pass(Pass { epoch: inner.epoch, probe: None });
        }
        let left = self.until.load(Ordering::Relaxed).saturating_sub(moment);
        if left > 0 {
            return Admission::Open { retry_after: Duration::from_nanos(left) };
        }
        if inner.places.len() as u32 + inner.succeeded >= self.settings.probes.max(1) {
            let held = self.settings.open.max(LEAST_HELD);
            let is_over = |(_, began): &(u64, Instant)| now.saturating_duration_since(*began) >= held;
            if !inner.places.first().is_some_and(is_over) {
                return Admission::Open { retry_after: PROBES_TAKEN };
            }
            inner.places.remove(0);
        }
        let number = inner.next;
        inner.next += 1;
        inner.places.push((number, now));
        Admission::Pass(Pass { epoch: inner.epoch, probe: Some((Arc::clone(self), number)) })
    }

    /// A probe has ended.
    #[cold]
    fn probed(&self, number: u64, now: Instant, failed: Option<&'static str>) -> Option<Change> {
        let mut inner = self.lock();
        // Its place is gone where another epoch has begun, or another call has it.
        let at = inner.places.iter().position(|(taken, _)| *taken == number)?;
        inner.places.remove(at);
        if let Some(reason) = failed {
            inner.reasons.add(reason);
            let opening = Opening { probe: true, in_a_row: 1, ..Opening::default() };
            return Some(self.open(&mut inner, now, opening));
        }
        inner.succeeded += 1;
        (inner.succeeded >= self.settings.probes.max(1)).then(|| self.close(&mut inner, now))
    }

    /// A call that was admitted by a closed breaker has ended.
    #[inline]
    fn called(&self, epoch: u64, core: CoreId, now: Instant, failed: Option<&'static str>) -> Option<Change> {
        if self.epoch.load(Ordering::Acquire) != epoch {
            return None;
        }
        let tick = self.base.nanos(now) / self.bucket;
        self.calls.get(core.0).unwrap_or(&self.calls[0]).count(epoch, tick);
        if let Some(reason) = failed {
            return self.failed(epoch, now, tick, reason);
        }
        let streak = self.streak.load(Ordering::Relaxed);
        if streak as u32 > 0 {
            self.end_streak(epoch, streak);
        }
        None
    }

    /// A success ends the streak of failures, unless the streak is another epoch's.
    #[cold]
    fn end_streak(&self, epoch: u64, mut streak: u64) {
        while streak >> 32 == epoch & 0xffff_ffff && streak as u32 > 0 {
            match self.streak.compare_exchange_weak(
                streak,
                no_failures(epoch),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => streak = seen,
            }
        }
    }

    #[cold]
    fn failed(&self, epoch: u64, now: Instant, tick: u64, reason: &'static str) -> Option<Change> {
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return None;
        }
        inner.failures.count(tick);
        inner.reasons.add(reason);
        let settings = &self.settings;
        // The epoch of the streak changes under the lock only, so this adds to the right one.
        let in_a_row = (self.streak.fetch_add(1, Ordering::Relaxed) as u32).saturating_add(1);
        let calls: u64 = self.calls.iter().map(|calls| calls.sum(epoch, tick)).sum();
        let failures = inner.failures.sum(tick);
        let too_many = settings.ratio.is_some_and(|ratio| {
            calls >= u64::from(settings.min_requests) && failures as f64 / calls.max(1) as f64 >= ratio
        });
        let opens = too_many || settings.consecutive.is_some_and(|most| in_a_row >= most);
        let opening = Opening { probe: false, in_a_row, failures, calls, ..Opening::default() };
        opens.then(|| self.open(&mut inner, now, opening))
    }

    fn open(&self, inner: &mut Inner, now: Instant, opening: Opening) -> Change {
        let until = self.base.nanos(now).saturating_add(nanos(self.settings.open));
        let opening = Opening {
            window: self.settings.window,
            open: self.settings.open,
            reasons: inner.reasons.list(),
            ..opening
        };
        // Before the epoch: who sees the new epoch sees its end too.
        self.until.store(until, Ordering::Release);
        self.begin(inner, if is_closed(inner.epoch) { 1 } else { 2 });
        inner.opened += 1;
        inner.story = Some((now, Some(opening.clone())));
        Change::Opened(opening)
    }

    fn close(&self, inner: &mut Inner, now: Instant) -> Change {
        self.begin(inner, 1);
        inner.story = Some((now, None));
        Change::Closed
    }

    /// A new epoch, with nothing counted.
    fn begin(&self, inner: &mut Inner, step: u64) {
        let epoch = inner.epoch + step;
        let (opened, next, story) = (inner.opened, inner.next, inner.story.take());
        *inner = Inner { epoch, opened, next, story, ..Inner::default() };
        self.streak.store(no_failures(epoch), Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Release);
    }
}

impl std::fmt::Debug for Circuit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Circuit").field("settings", &self.settings).field("epoch", &self.epoch).finish()
    }
}

fn is_closed(epoch: u64) -> bool {
    epoch.is_multiple_of(2)
}

fn no_failures(epoch: u64) -> u64 {
    epoch << 32
}

#[cfg(test)]
mod tests;
