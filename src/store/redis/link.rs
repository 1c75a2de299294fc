//! The connection to Redis: what callers hold of it, and what it tells of itself.
//!
//! A link has one thread of its own, which `drive.rs` is. Callers put commands into a queue and go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::config::Redis;

use super::drive::drive;
use super::shared::{Command, Pending, Shared, count};
use super::{Done, Remote, Return, Trip};

pub use super::breaker::State;
pub use super::shared::{Observer, Statistics};

/// The most trips that are on their way at a time; more fail at once.
const MOST_TRIPS: usize = 100_000;

/// A connection to Redis. It lives as long as somebody holds it.
pub struct Link {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
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
        self.shared.statistics()
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
