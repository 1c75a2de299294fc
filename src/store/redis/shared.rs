//! What the callers of a link and its thread share: commands, who is to be answered, and how the server fares.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::config::Redis;
use crate::runtime::clock;

use super::breaker::{Breaker, State};
use super::{Done, Grant, Return, Trip};

/// Who is told when the server goes away and comes back; called on the link's thread.
pub trait Observer: Send + Sync {
    /// It is away.
    fn down(&self, why: &str);
    /// It is back, after so long.
    fn up(&self, away: Duration);
}

/// What the thread is told to do.
pub(super) enum Command {
    /// To ask.
    Trip { trip: Trip, pending: Pending, begun: Instant },
    /// To give back.
    GiveBack(Return),
}

/// Somebody who is to be answered, whatever happens.
pub(super) struct Pending {
    done: Option<Done>,
    shared: Arc<Shared>,
}

impl Pending {
    pub(super) fn new(done: Done, shared: &Arc<Shared>) -> Pending {
        Pending { done: Some(done), shared: Arc::clone(shared) }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn done(mut self, outcome: Result<Grant, String>) {
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(done) = self.done.take() {
            done(Err("the connection to Redis was given up".to_owned()));
        }
    }
}

/// What callers and the thread share.
pub(super) struct Shared {
    pub(super) settings: Redis,
    pub(super) breaker: Breaker,
    pub(super) numbers: Numbers,
    pub(super) replicas: AtomicU64,
    /// Tells the thread that a caller opened the breaker.
    pub(super) wake: Notify,
    observer: Arc<dyn Observer>,
    pub(super) in_flight: AtomicUsize,
    story: Mutex<Story>,
}

#[derive(Default)]
pub(super) struct Numbers {
    pub(super) trips: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) overload: AtomicU64,
    pub(super) give_backs: AtomicU64,
}

pub(super) struct Story {
    pub(super) since: SystemTime,
    /// When it went away; of a clock that is not set.
    away: Option<Instant>,
    pub(super) last_error: Option<String>,
}

pub(super) fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

impl Shared {
    pub(super) fn new(settings: Redis, observer: Arc<dyn Observer>) -> Shared {
        Shared {
            settings,
            breaker: Breaker::default(),
            numbers: Numbers::default(),
            replicas: AtomicU64::new(1),
            wake: Notify::new(),
            observer,
            in_flight: AtomicUsize::new(0),
            story: Mutex::new(Story { since: clock::wall(), away: None, last_error: None }),
        }
    }

    pub(super) fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what went wrong.
    pub(super) fn wrong(&self, why: &str) {
        self.story().last_error = Some(why.to_owned());
    }

    /// It is away: tells who wants to know, once.
    pub(super) fn down(&self, why: &str) {
        self.breaker.opened();
        let mut story = self.story();
        story.last_error = Some(why.to_owned());
        if story.away.is_none() {
            (story.since, story.away) = (clock::wall(), Some(clock::now()));
            drop(story);
            self.observer.down(why);
        }
    }

    /// A probe was answered in time.
    pub(super) fn up(&self) {
        let before = self.breaker.probed();
        let mut story = self.story();
        let away = story.away.take();
        if before != State::Up {
            story.since = clock::wall();
        }
        drop(story);
        if let Some(away) = away {
            self.observer.up(clock::since(away));
        }
    }
}
