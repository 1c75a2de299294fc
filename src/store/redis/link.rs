//! The connection to Redis: what callers hold of it, and what it tells of itself.
//!
//! A link has one thread of its own, which `drive.rs` is. Callers put commands into a queue and go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::config::Redis;
use crate::runtime::{clock, task};

use super::drive::drive;
use super::shared::{Command, Pending, Shared, count};
use super::{Done, Remote, Return, Trip};

pub use super::breaker::State;
pub use super::shared::Observer;

/// The most trips that are on their way at a time; more fail at once.
const MOST_TRIPS: usize = 100_000;

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
            task::thread("redis", move || {
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
        let pending = Pending::new(done, &self.shared);
        if crowded {
            count(&self.shared.numbers.overload);
            return pending.done(Err("too many requests wait for Redis".to_owned()));
        }
        // Where the thread is gone the command is dropped, and dropping it answers.
        let _ = self.commands.send(Command::Trip { trip, pending, begun: clock::now() });
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
