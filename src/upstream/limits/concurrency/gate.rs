//! Counts the calls under way and lets in no more than the limit; a few wait, first come first served.
//!
//! One word holds both counts, calls and waiters, and is the only thing that the way in and out touches while nobody
//! waits. While somebody does, every change goes through the lock of the queue: a place that comes free is handed to
//! who waits longest and is never up for grabs, so that nobody overtakes and no wake-up is lost. A limit that falls
//! below the calls under way takes effect as they end.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::adaptive::Adaptive;
use crate::runtime::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard, oneshot};
use crate::runtime::{clock, time};

/// How many may be in at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// This many; 0 counts as 1.
    Max(u32),
    /// What the response times say (see [`super::adaptive`]), at most this many.
    Adaptive(u32),
}

/// Why a call was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// As many as may wait were waiting.
    QueueFull,
    /// No place came free in time.
    TimedOut,
}

/// The gate in front of an upstream, for all cores.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    settings: Limit,
    adaptive: Option<Arc<Mutex<Adaptive>>>,
    /// How many may wait.
    queue: u32,
    queue_timeout: Duration,
    /// Counts the gates that share their counts: the limit is that of the one which came into force last.
    generation: u64,
}

/// A place taken; it comes free when this is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Shared>);

/// A place taken by somebody who stays at the gate; it comes free when this is dropped.
#[derive(Debug)]
pub struct Taken<'g>(&'g Arc<Shared>);

/// A permit for as long as the call runs: free places are borrowed, those waited for are owned.
#[derive(Debug)]
pub enum Admitted<'g> {
    /// It was free.
    Borrowed(Taken<'g>),
    /// It was handed over in the queue.
    Owned(Permit),
}

impl Admitted<'_> {
    /// The permit, to be held beyond the call.
    #[must_use]
    pub fn keep(self) -> Permit {
        match self {
            Admitted::Borrowed(taken) => taken.keep(),
            Admitted::Owned(permit) => permit,
        }
    }
}

impl Taken<'_> {
    /// Takes the place along.
    #[must_use]
    pub fn keep(self) -> Permit {
        let permit = Permit(Arc::clone(self.0));
        // It is not left, but carried on.
        std::mem::forget(self);
        permit
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Gate {
    /// A gate that lets `limit` in and `queue` more wait, each for `queue_timeout` at most.
    pub fn new(limit: Limit, queue: u32, queue_timeout: Duration) -> Gate {
        let adaptive = adaptive(limit);
        let shared = Shared {
            counts: AtomicU64::new(0),
            limit: AtomicU32::new(first_limit(limit, adaptive.as_deref())),
            waiters: Mutex::new(Waiters { next: 0, line: VecDeque::new(), generation: 0 }),
        };
        Gate { shared: Arc::new(shared), settings: limit, adaptive, queue, queue_timeout, generation: 0 }
    }

    /// A gate with other settings for the same calls: those under way and those that wait count against its limit as
    /// soon as it comes into force.
    pub fn successor(&self, limit: Limit, queue: u32, queue_timeout: Duration) -> Gate {
        let adaptive = if limit == self.settings { self.adaptive.clone() } else { adaptive(limit) };
        let (shared, generation) = (Arc::clone(&self.shared), self.generation + 1);
        Gate { shared, settings: limit, adaptive, queue, queue_timeout, generation }
    }

    /// Its limit is the one that holds from now on.
    pub fn come_into_force(&self) {
        // Before the lock of the queue is taken: an observer takes the two locks in this order.
        let limit = first_limit(self.settings, self.adaptive.as_deref());
        let mut waiters = self.shared.waiters();
        waiters.generation = self.generation;
        self.shared.limit.store(limit, Ordering::SeqCst);
        drop(waiters);
        self.shared.admit();
    }

    /// A place, if one is free and nobody waits for it.
    pub fn try_enter(&self) -> Option<Permit> {
        self.try_take().map(Taken::keep)
    }

    /// As [`Gate::try_enter`], for who stays: references to the gate are not counted, which cores would fight over.
    pub fn try_take(&self) -> Option<Taken<'_>> {
        let mut counts = self.shared.counts();
        while counts.waiting == 0 && counts.active < self.shared.limit() {
            match self.shared.change(counts, Counts { active: counts.active + 1, ..counts }) {
                Ok(()) => return Some(Taken(&self.shared)),
                Err(now) => counts = now,
            }
        }
        None
    }

    /// A place, now or when one comes free. Whoever drops this while it waits leaves the queue.
    ///
    /// # Errors
    /// When the queue is full, or no place came free before the deadline or the time that one may wait.
    pub async fn enter(&self, deadline: Instant) -> Result<Permit, Refused> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let mut place = match self.shared.join(self.queue)? {
            Joined::In(permit) => return Ok(permit),
            Joined::Waits(place) => place,
        };
        let end = clock::now().checked_add(self.queue_timeout).map_or(deadline, |end| end.min(deadline));
        match time::timeout_at(end, &mut place.granted).await {
            Ok(Ok(permit)) => Ok(permit),
            // The other end is kept until it is used, so only the time can be over.
            Ok(Err(_)) | Err(_) => Err(Refused::TimedOut),
        }
    }

    /// Tells how long an answer took, and whether it was none that counts (a timeout, a broken connection, an answer
    /// that says too much is asked). Only an adaptive limit listens. Give it before the permit is dropped.
    pub fn observe(&self, rtt: Duration, dropped: bool, now: Instant) {
        let Some(adaptive) = &self.adaptive else { return };
        let mut adaptive = match adaptive.try_lock() {
            Ok(adaptive) => adaptive,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another core is at it: one time more or less tells nothing, a failure does.
            Err(TryLockError::WouldBlock) if !dropped => return,
            Err(TryLockError::WouldBlock) => adaptive.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let Some(limit) = adaptive.observe(rtt, dropped, self.shared.counts().active, now) else { return };
        // Still under the lock, so that limits are set in the order in which they were found.
        let waiters = self.shared.waiters();
        if waiters.generation == self.generation {
            self.shared.limit.store(limit, Ordering::SeqCst);
        }
        drop(waiters);
        drop(adaptive);
        self.shared.admit();
    }

    /// Calls that are in.
    pub fn active(&self) -> u32 {
        self.shared.counts().active
    }

    /// Calls that wait.
    pub fn waiting(&self) -> u32 {
        self.shared.counts().waiting
    }

    /// How many may be in, as of now.
    pub fn limit(&self) -> u32 {
        self.shared.limit()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Calls that are in and calls that wait.
#[derive(Clone, Copy, Debug)]
struct Counts {
    active: u32,
    waiting: u32,
}

impl Counts {
    fn word(self) -> u64 {
        u64::from(self.waiting) << 32 | u64::from(self.active)
    }

    fn of(word: u64) -> Counts {
        Counts { active: word as u32, waiting: (word >> 32) as u32 }
    }
}

/// What gate and permits share.
#[derive(Debug)]
struct Shared {
    /// [`Counts`]. `waiting` is the length of the line, and changes only under its lock; while it is not 0, `active`
    /// does too.
    counts: AtomicU64,
    limit: AtomicU32,
    waiters: Mutex<Waiters>,
}

/// Who waits, the longest first.
#[derive(Debug)]
struct Waiters {
    next: u64,
    line: VecDeque<(u64, oneshot::Sender<Permit>)>,
    /// The gate whose limit holds.
    generation: u64,
}

fn adaptive(limit: Limit) -> Option<Arc<Mutex<Adaptive>>> {
    let Limit::Adaptive(max) = limit else { return None };
    Some(Arc::new(Mutex::new(Adaptive::new(max))))
}

/// The limit when a gate comes into force.
fn first_limit(limit: Limit, adaptive: Option<&Mutex<Adaptive>>) -> u32 {
    match (limit, adaptive) {
        (Limit::Adaptive(_), Some(adaptive)) => {
            adaptive.lock().unwrap_or_else(PoisonError::into_inner).limit()
        }
        (Limit::Max(max) | Limit::Adaptive(max), _) => max.max(1),
    }
}

/// What joining the line came to.
enum Joined {
    /// A place came free just then.
    In(Permit),
    Waits(Place),
}

/// A place in the line, left when it is dropped. A permit that has just been granted is dropped with `granted`, and
/// so comes free again.
struct Place {
    shared: Arc<Shared>,
    number: u64,
    granted: oneshot::Receiver<Permit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiters = self.shared.waiters();
        if let Ok(at) = waiters.line.binary_search_by_key(&self.number, |(number, _)| *number) {
            waiters.line.remove(at);
            self.shared.counts.fetch_sub(Counts { active: 0, waiting: 1 }.word(), Ordering::SeqCst);
        }
    }
}

impl Shared {
    fn counts(&self) -> Counts {
        Counts::of(self.counts.load(Ordering::SeqCst))
    }

    fn limit(&self) -> u32 {
        self.limit.load(Ordering::SeqCst)
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the counts if they are still what they were; else tells what they are.
    fn change(&self, from: Counts, to: Counts) -> Result<(), Counts> {
        let changed =
            self.counts.compare_exchange_weak(from.word(), to.word(), Ordering::SeqCst, Ordering::SeqCst);
        changed.map(drop).map_err(Counts::of)
    }

    /// Goes in, or takes a place at the end of the line.
    fn join(self: &Arc<Shared>, queue: u32) -> Result<Joined, Refused> {
        let mut waiters = self.waiters();
        let mut counts = self.counts();
        loop {
            let free = counts.waiting == 0 && counts.active < self.limit();
            if !free && counts.waiting >= queue {
                return Err(Refused::QueueFull);
            }
            let to = if free {
                Counts { active: counts.active + 1, ..counts }
            } else {
                Counts { waiting: counts.waiting + 1, ..counts }
            };
            match self.change(counts, to) {
                Ok(()) if free => return Ok(Joined::In(Permit(Arc::clone(self)))),
                Ok(()) => break,
                Err(now) => counts = now,
            }
        }
        let number = waiters.next;
        waiters.next += 1;
        let (grant, granted) = oneshot::channel();
        waiters.line.push_back((number, grant));
        drop(waiters);
        // The limit may have risen after it was looked at and before this one stood in the line.
        self.admit();
        Ok(Joined::Waits(Place { shared: Arc::clone(self), number, granted }))
    }

    /// Gives a place back.
    fn leave(self: &Arc<Shared>) {
        let mut counts = self.counts();
        while counts.waiting == 0 {
            match self.change(counts, Counts { active: counts.active - 1, ..counts }) {
                Ok(()) => return,
                Err(now) => counts = now,
            }
        }
        // Whether or not somebody still waits: to count down and to hand over are one step under the lock.
        let waiters = self.waiters();
        self.counts.fetch_sub(Counts { active: 1, waiting: 0 }.word(), Ordering::SeqCst);
        drop(waiters);
        self.admit();
    }

    /// Hands free places to those who wait.
    fn admit(self: &Arc<Shared>) {
        while let Some(grant) = self.next() {
            // Outside of the lock: who has gone in this moment gives the permit back, and dropping it leads here again.
            let _ = grant.send(Permit(Arc::clone(self)));
        }
    }

    /// Takes a free place for who waits longest.
    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        if self.counts().waiting == 0 {
            return None;
        }
        let mut waiters = self.waiters();
        let mut counts = self.counts();
        while counts.waiting > 0 && counts.active < self.limit() {
            let to = Counts { active: counts.active + 1, waiting: counts.waiting - 1 };
            match self.change(counts, to) {
                Ok(()) => return waiters.line.pop_front().map(|(_, grant)| grant),
                Err(now) => counts = now,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
