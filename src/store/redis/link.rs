//! The connection to Redis: what callers hold of it, and what it tells of itself.
//!
//! A link has one thread of its own, which `drive.rs` is. Callers put commands into a queue and go on.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc};

use crate::config::Redis;

use super::breaker::Breaker;
use super::drive::drive;
use super::{Done, Grant, Remote, Return, Trip};

pub use super::breaker::State;

/// The most trips that are on their way at a time; more fail at once.
const MOST_TRIPS: usize = 100_000;

/// Who is told when the server goes away and comes back; called on the link's thread.
pub trait Observer: Send + Sync {
    /// It is away.
    fn down(&self, why: &str);
    /// It is back, after so long.
    fn up(&self, away: Duration);
}

/// A connection to Redis. It lives as long as somebody holds it.
pub struct Link {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

/// What a link tells of itself.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Whether the server is there.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
    /// Replicas, as seen last.
    pub replicas: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Trips that were begun.
    pub trips: u64,
    /// Trips that nobody got an answer from, by reason.
    pub failures: [(&'static str, u64); 4],
    /// Times that permits were given back.
    pub give_backs: u64,
}

impl Link {
    /// Starts a link. Connecting goes on by itself, for as long as it takes.
    pub fn start(settings: &Redis, observer: Arc<dyn Observer>) -> Link {
        let (commands, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(settings.clone(), observer));
        let driven = Arc::clone(&shared);
        let thread = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            std::thread::Builder::new().name("redis".to_owned()).spawn(move || {
                runtime.block_on(drive(driven, queue));
                // A name that is still being resolved is nobody's concern any more.
                runtime.shutdown_background();
            })
        });
        if let Err(error) = thread {
            // Without a thread it stays away: limits do what they do then.
            shared.down(&format!("its thread could not be started: {error}"));
        }
        Link { shared, commands }
    }

    /// How it is configured.
    pub fn settings(&self) -> &Redis {
        &self.shared.settings
    }

    /// How it fares.
    pub fn statistics(&self) -> Statistics {
        let (shared, story) = (&*self.shared, self.shared.story());
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Statistics {
            state: shared.breaker.state(),
            since: story.since,
            last_error: story.last_error.clone(),
            replicas: read(&shared.replicas),
            trips: read(&shared.numbers.trips),
            failures: [
                ("timeout", read(&shared.numbers.timeouts)),
                ("connection", read(&shared.numbers.broken)),
                ("error", read(&shared.numbers.errors)),
                ("overload", read(&shared.numbers.overload)),
            ],
            give_backs: read(&shared.numbers.give_backs),
        }
    }
}

impl Remote for Link {
    fn is_up(&self) -> bool {
        self.shared.breaker.state() != State::Away
    }

    fn replicas(&self) -> u64 {
        self.shared.replicas.load(Ordering::Relaxed)
    }

    fn timeout(&self) -> Duration {
        self.shared.settings.timeout
    }

    fn namespace(&self) -> &str {
        &self.shared.settings.namespace
    }

    fn trip(&self, trip: Trip, done: Done) {
        count(&self.shared.numbers.trips);
        let crowded = self.shared.in_flight.fetch_add(1, Ordering::Relaxed) >= MOST_TRIPS;
        let pending = Pending { done: Some(done), shared: Arc::clone(&self.shared) };
        if crowded {
            count(&self.shared.numbers.overload);
            return pending.done(Err("too many requests wait for Redis".to_owned()));
        }
        // Where the thread is gone the command is dropped, and dropping it answers.
        let _ = self.commands.send(Command::Trip { trip, pending, begun: Instant::now() });
    }

    fn give_back(&self, back: Return) {
        if back.permits > 0 && self.is_up() && self.shared.in_flight.load(Ordering::Relaxed) < MOST_TRIPS {
            count(&self.shared.numbers.give_backs);
            let _ = self.commands.send(Command::GiveBack(back));
        }
    }

    fn timed_out(&self) {
        count(&self.shared.numbers.timeouts);
        if self.shared.breaker.in_vain() {
            self.shared.wake.notify_one();
        }
    }
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
    in_flight: AtomicUsize,
    story: Mutex<Story>,
}

#[derive(Default)]
pub(super) struct Numbers {
    trips: AtomicU64,
    timeouts: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) errors: AtomicU64,
    overload: AtomicU64,
    give_backs: AtomicU64,
}

struct Story {
    since: SystemTime,
    /// When it went away; of a clock that is not set.
    away: Option<Instant>,
    last_error: Option<String>,
}

pub(super) fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

impl Shared {
    fn new(settings: Redis, observer: Arc<dyn Observer>) -> Shared {
        Shared {
            settings,
            breaker: Breaker::default(),
            numbers: Numbers::default(),
            replicas: AtomicU64::new(1),
            wake: Notify::new(),
            observer,
            in_flight: AtomicUsize::new(0),
            story: Mutex::new(Story { since: SystemTime::now(), away: None, last_error: None }),
        }
    }

    fn story(&self) -> MutexGuard<'_, Story> {
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
            (story.since, story.away) = (SystemTime::now(), Some(Instant::now()));
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
            story.since = SystemTime::now();
        }
        drop(story);
        if let Some(away) = away {
            self.observer.up(away.elapsed());
        }
    }
}
