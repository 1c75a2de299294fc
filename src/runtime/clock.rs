//! Reads the monotonic clock and the calendar.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pin_project_lite::pin_project;

/// How long the calendar is derived from the monotonic clock before it is read again.
const ANCHOR: Duration = Duration::from_millis(500);

/// The reading of the poll that is running on this thread.
#[derive(Clone, Copy)]
enum Reading {
    /// No task is polled: every question reads the clock.
    Unpolled,
    /// A poll is running in which nothing has asked yet.
    Unread,
    /// What the first question of this poll was answered.
    At(Instant),
}

/// What this thread knows of the calendar.
#[derive(Clone, Copy)]
enum Calendar {
    Unread,
    /// When it was read, and what it said, as the time since 1970.
    Read(Instant, Duration),
    /// It follows the monotonic clock from this moment on.
    Following(Instant, Duration),
}

// The only thread locals of the crate. A thread polls one task at a time, so its reading needs no owner that would have
// to be passed through every call.
thread_local! {
    static READING: Cell<Reading> = const { Cell::new(Reading::Unpolled) };
    static CALENDAR: Cell<Calendar> = const { Cell::new(Calendar::Unread) };
}

/// The present moment: inside a task the moment of the poll that is running, elsewhere a fresh reading.
#[inline]
pub fn now() -> Instant {
    match READING.get() {
        Reading::At(now) => now,
        Reading::Unread => {
            let now = read();
            READING.set(Reading::At(now));
            now
        }
        Reading::Unpolled => read(),
    }
}

/// A fresh reading of the monotonic clock.
#[inline]
pub fn read() -> Instant {
    // The timers' own clock: a test that pauses it moves both.
    tokio::time::Instant::now().into_std()
}

/// How long ago a moment was, by [`now`]; zero for one that is still to come.
#[inline]
pub fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// The present moment by the calendar. Inside a task it is derived from [`now`] and may lag behind a step of the
/// machine's calendar by half a second.
pub fn wall() -> SystemTime {
    UNIX_EPOCH + since_epoch()
}

/// The time since 1970 by the calendar, as [`wall`] has it; zero before it.
pub fn since_epoch() -> Duration {
    if let Calendar::Following(at, calendar) = CALENDAR.get() {
        return calendar + now().saturating_duration_since(at);
    }
    if matches!(READING.get(), Reading::Unpolled) {
        return read_calendar();
    }
    let now = now();
    if let Calendar::Read(at, calendar) = CALENDAR.get() {
        let passed = now.checked_duration_since(at);
        if let Some(passed) = passed.filter(|passed| *passed < ANCHOR) {
            return calendar + passed;
        }
    }
    let calendar = read_calendar();
    CALENDAR.set(Calendar::Read(now, calendar));
    calendar
}

fn read_calendar() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// From now on it is so long after 1970 on this thread, and later as the monotonic clock goes: in made-up time the
/// machine's calendar says nothing.
pub fn set_calendar(since_epoch: Duration) {
    CALENDAR.set(Calendar::Following(now(), since_epoch));
}

pin_project! {
    /// A future whose polls read the clock once each. No async function: that would hold the future twice.
    pub(crate) struct Polled<F> {
        #[pin]
        future: F,
    }
}

/// Runs a future whose polls read the clock once each.
pub(crate) fn polled<F: Future>(future: F) -> Polled<F> {
    Polled { future }
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _ended = Ended(READING.replace(Reading::Unread));
        self.project().future.poll(cx)
    }
}

/// Puts the outer reading back, also where the poll panics.
struct Ended(Reading);

impl Drop for Ended {
    fn drop(&mut self) {
        READING.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_has_one_reading_and_the_next_one_its_own() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let readings = runtime.block_on(polled(async {
            let first = (now(), now());
            while read() == first.0 {}
            let same = now();
            tokio::task::yield_now().await;
            (first, same, now())
        }));
        let ((first, again), same, next) = readings;
        assert_eq!((first, first), (again, same));
        assert!(next > first);
        assert!(matches!(READING.get(), Reading::Unpolled), "nothing is polled any more");
    }

    #[test]
    fn outside_of_tasks_every_question_is_a_reading() {
        let first = now();
        while now() == first {}
        assert!(since(first) > Duration::ZERO);
        assert_eq!(since(first + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn the_calendar_of_a_poll_follows_its_reading() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(polled(async {
            let (moment, calendar) = (now(), wall());
            assert_eq!(calendar, wall());
            tokio::task::yield_now().await;
            assert_eq!(wall().duration_since(calendar).unwrap(), now() - moment);
        }));
    }
}
