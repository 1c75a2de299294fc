//! The attempts of an exchange's calls, for its log line.
//!
//! They are noted while they run, so that those of a call that is dropped are known too.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is known of the attempts by now.
#[derive(Default, Debug)]
pub struct Attempts {
    endpoint: Cell<Option<SocketAddr>>,
    count: Cell<u32>,
    /// When the first call began.
    began: Cell<Option<Instant>>,
    /// Calls whose head is still awaited.
    open: Cell<u32>,
    /// The last call whose head has come, or that has failed.
    last: Cell<Option<(Instant, Instant)>>,
    /// Of the slowest call before it.
    time: Cell<Duration>,
}

impl Attempts {
    /// A call begins its first attempt.
    pub fn call_begins(&self, now: Instant) {
        self.open.set(self.open.get() + 1);
        if self.began.get().is_none() {
            self.began.set(Some(now));
        }
    }

    /// The head of a call that began then has come, or the call has failed.
    pub fn call_ends(&self, began: Instant, now: Instant) {
        self.open.set(self.open.get().saturating_sub(1));
        // Most exchanges have one call, and their time is asked for by the log alone.
        if let Some(before) = self.last.replace(Some((began, now))) {
            self.time.set(self.time.get().max(length(before)));
        }
    }

    /// One more attempt begins.
    pub fn more(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// The attempt under way is at this endpoint.
    pub fn at(&self, endpoint: SocketAddr) {
        self.endpoint.set(Some(endpoint));
    }

    /// Several services were called: none of their endpoints stands for the exchange.
    pub fn at_several(&self) {
        self.endpoint.set(None);
    }

    /// The endpoint of the last attempt.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint.get()
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count.get()
    }

    /// From the first attempt of a call to the head of its response or its failure, or to `end` where that was still
    /// awaited then; the longest of several calls.
    pub fn time(&self, end: Instant) -> Duration {
        let ended = self.last.get().map_or(Duration::ZERO, length).max(self.time.get());
        match self.began.get() {
            Some(began) if self.open.get() > 0 => end.saturating_duration_since(began).max(ended),
            _ => ended,
        }
    }
}

fn length((began, ended): (Instant, Instant)) -> Duration {
    ended.saturating_duration_since(began)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_dropped_is_known_up_to_the_end() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(attempts.time(start), Duration::ZERO);
        attempts.call_begins(start);
        attempts.more();
        assert_eq!((attempts.count(), attempts.time(start + 3 * second)), (1, 3 * second));
        attempts.call_ends(start, start + second);
        assert_eq!(attempts.time(start + 3 * second), second);
        attempts.call_begins(start);
        attempts.call_ends(start, start + second / 2);
        assert_eq!(attempts.time(start + 3 * second), second, "the longest of several");
    }
}
