//! The circuit breaker: a service that keeps failing is left alone for a while.
//!
//! - **Closed**: every call passes. It opens when `consecutive` calls in a row have failed (over all cores), or when
//!   a call fails and the rolling window then holds at least `min_requests` calls of which at least `ratio` failed.
//!   The window moves on in tenths, so it covers between nine tenths and the whole of `window`.
//! - **Open**: no call passes until `open` has gone by. A refusal tells what is left of it.
//! - **Half-open**: `probes` places. A call takes a place if (probes under way) + (probes that succeeded) is less
//!   than `probes`; every other call is refused. When all `probes` have succeeded the breaker closes and all counts
//!   start from nothing; one failure opens it again for the whole of `open`; a probe that comes to nothing gives its
//!   place back.
//!
//! Time alone ends the open state: no other part has to ask or to answer for that. Every change from closed, and
//! every opening, begins a new epoch; a result counts only in the epoch its call was admitted in.
//!
//! What a good call costs: two reads of words that nobody writes while all is well, and a count in buckets of its
//! own core. A failure takes a lock and sums the cores' buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::exchange::CoreId;

use crate::upstream::epoch::{Epoch, nanos};
use window::{BUCKETS, Calls, Failures};

mod window;

/// When a call is refused because all probes are under way, nobody knows how long they take: ask again after this.
const PROBES_TAKEN: Duration = Duration::from_secs(1);

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

/// What a breaker does with calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// They pass.
    Closed,
    /// They are refused.
    Open,
    /// A few probes pass.
    HalfOpen,
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
    /// Set while this is a probe that holds a place.
    probe: Option<Arc<Circuit>>,
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
        if let Some(circuit) = self.probe.take() {
            let mut inner = circuit.lock();
            if inner.epoch == self.epoch {
                inner.under_way -= 1;
            }
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
    /// Probes under way.
    under_way: u32,
    /// Probes that succeeded.
    succeeded: u32,
    /// How often it has opened.
    opened: u64,
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
    pub fn admit(&self, core: CoreId, now: Instant) -> Admission {
        let _ = core;
        let epoch = self.0.epoch.load(Ordering::Acquire);
        if is_closed(epoch) {
            return Admission::Pass(Pass { epoch, probe: None });
        }
        self.0.admit_while_not_closed(now)
    }

    /// The result of a call that counts: whether it failed. Returns the state that this result has brought about,
    /// if it has changed the state.
    #[inline]
    pub fn record(&self, mut pass: Pass, core: CoreId, now: Instant, failed: bool) -> Option<State> {
        match pass.probe.take() {
            Some(circuit) => circuit.probed(pass.epoch, now, failed),
            None => self.0.called(pass.epoch, core, now, failed),
        }
    }

    /// The state at a moment. Open becomes half-open by time alone.
    pub fn state(&self, now: Instant) -> State {
        let inner = self.0.lock();
        if is_closed(inner.epoch) {
            State::Closed
        } else if self.0.base.nanos(now) < self.0.until.load(Ordering::Relaxed) {
            State::Open
        } else {
            State::HalfOpen
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
        if inner.under_way + inner.succeeded >= self.settings.probes.max(1) {
            return Admission::Open { retry_after: PROBES_TAKEN };
        }
        inner.under_way += 1;
        Admission::Pass(Pass { epoch: inner.epoch, probe: Some(Arc::clone(self)) })
    }

    /// A probe has ended.
    #[cold]
    fn probed(&self, epoch: u64, now: Instant, failed: bool) -> Option<State> {
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return None;
        }
        inner.under_way -= 1;
        if failed {
            return Some(self.open(&mut inner, now));
        }
        inner.succeeded += 1;
        (inner.succeeded >= self.settings.probes.max(1)).then(|| self.close(&mut inner))
    }

    /// A call that was admitted by a closed breaker has ended.
    #[inline]
    fn called(&self, epoch: u64, core: CoreId, now: Instant, failed: bool) -> Option<State> {
        if self.epoch.load(Ordering::Acquire) != epoch {
            return None;
        }
        let tick = self.base.nanos(now) / self.bucket;
        self.calls.get(core.0).unwrap_or(&self.calls[0]).count(epoch, tick);
        if failed {
            return self.failed(epoch, now, tick);
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
    fn failed(&self, epoch: u64, now: Instant, tick: u64) -> Option<State> {
        let mut inner = self.lock();
        if inner.epoch != epoch {
            return None;
        }
        inner.failures.count(tick);
        let settings = &self.settings;
        // The epoch of the streak changes under the lock only, so this adds to the right one.
        let in_a_row = settings.consecutive.is_some_and(|most| {
            let before = self.streak.fetch_add(1, Ordering::Relaxed) as u32;
            before.saturating_add(1) >= most
        });
        let too_many = || {
            settings.ratio.is_some_and(|ratio| {
                let calls: u64 = self.calls.iter().map(|calls| calls.sum(epoch, tick)).sum();
                let share = inner.failures.sum(tick) as f64 / calls.max(1) as f64;
                calls >= u64::from(settings.min_requests) && share >= ratio
            })
        };
        (in_a_row || too_many()).then(|| self.open(&mut inner, now))
    }

    fn open(&self, inner: &mut Inner, now: Instant) -> State {
        let until = self.base.nanos(now).saturating_add(nanos(self.settings.open));
        // Before the epoch: who sees the new epoch sees its end too.
        self.until.store(until, Ordering::Release);
        self.begin(inner, if is_closed(inner.epoch) { 1 } else { 2 });
        inner.opened += 1;
        State::Open
    }

    fn close(&self, inner: &mut Inner) -> State {
        self.begin(inner, 1);
        State::Closed
    }

    /// A new epoch, with nothing counted.
    fn begin(&self, inner: &mut Inner, step: u64) {
        let epoch = inner.epoch + step;
        *inner = Inner { epoch, opened: inner.opened, ..Inner::default() };
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
