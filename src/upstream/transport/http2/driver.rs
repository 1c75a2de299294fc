//! The task of a session: it reads and writes frames, and sees to it that none lives on that is idle or dead.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::client::Connection;
use h2::{Ping, PingPong};

use crate::net::{Stream, Timer};
use crate::runtime::clock;
use crate::upstream::transport::pool::MAX_IDLE;

use super::piece::Piece;
use super::session::Session;
use super::sessions::Sessions;

/// How long the service may keep silent towards all open streams before it is asked whether it lives: at first, and
/// after the first two questions. Some services end a session that asks more than three times in a silence
/// (ENHANCE_YOUR_CALM), unless five minutes pass in between.
const SILENCE: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(40), Duration::from_secs(120)];

/// How long after the last question the next one is asked.
const SELDOM: Duration = Duration::from_secs(310);

/// How long the answer to that may take: a service that computes without looking at its socket is not dead.
const PONG: Duration = Duration::from_secs(20);

/// How long a session without streams that has said so may take to end.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Drives a session until it has ended.
pub(super) struct Driver {
    connection: Connection<Stream, Piece>,
    session: Weak<Session>,
    state: std::sync::Arc<super::session::State>,
    home: Weak<Sessions>,
    pings: Option<PingPong>,
    /// When the question was asked whose answer is awaited.
    asked: Option<Instant>,
    /// The silence that questions are counted in: since when, and how many were asked.
    silence: Option<(Instant, u32)>,
    /// When it was left alone to end.
    farewell: Option<Instant>,
    timer: Timer,
}

impl Driver {
    pub(super) fn new(
        mut connection: Connection<Stream, Piece>,
        session: &std::sync::Arc<Session>,
        home: Weak<Sessions>,
    ) -> Driver {
        Driver {
            pings: connection.ping_pong(),
            connection,
            session: std::sync::Arc::downgrade(session),
            state: std::sync::Arc::clone(&session.state),
            home,
            asked: None,
            silence: None,
            farewell: None,
            timer: Timer::new(),
        }
    }

    /// The session is taken out of those that streams are opened on; the library ends it once it has no streams.
    fn retire(&self) {
        self.state.retire();
        if let (Some(home), Some(session)) = (self.home.upgrade(), self.session.upgrade()) {
            home.remove(&session);
        }
    }

    /// What is to be done by now; when there is more, or `None` where the session is to be given up.
    fn look(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        if self.state.open() == 0 {
            (self.asked, self.silence) = (None, None);
            return self.rest(now);
        }
        self.farewell = None;
        if let Some(asked) = self.asked {
            match self.pings.as_mut().map(|pings| pings.poll_pong(cx)) {
                Some(Poll::Pending) if now >= asked + PONG => {
                    self.state.end_because("the service does not answer a PING");
                    return None;
                }
                Some(Poll::Pending) => return Some(asked + PONG),
                Some(Poll::Ready(_)) | None => self.asked = None,
            }
        }
        let since = self.state.silent_since();
        let asked = match self.silence {
            Some((before, asked)) if before == since => asked,
            _ => 0,
        };
        self.silence = Some((since, asked));
        let due = since + due(asked);
        if now < due {
            return Some(due);
        }
        self.silence = Some((since, asked + 1));
        self.ask(cx);
        self.asked = Some(now);
        Some(now + PONG)
    }

    /// Asks whether the service lives. An answer that came when no stream was open any more is still there: before it is
    /// taken, the library sends no further question. Where an earlier one has not been answered yet, its answer will do.
    fn ask(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        let _ = pings.poll_pong(cx);
        if pings.send_ping(Ping::opaque()).is_ok() {
            // The library takes the question with the next poll.
            cx.waker().wake_by_ref();
        }
    }

    /// The same while no stream is open.
    fn rest(&mut self, now: Instant) -> Option<Instant> {
        if let Some(farewell) = self.farewell {
            let end = farewell + LAST_WORD;
            return (now < end).then_some(end);
        }
        let idle = self.state.resting_since() + MAX_IDLE;
        let end = self.state.expires.map_or(idle, |expires| expires.min(idle));
        if !self.state.is_retired() && now < end {
            return Some(end);
        }
        self.retire();
        self.farewell = Some(now);
        Some(now + LAST_WORD)
    }
}

/// When after the beginning of a silence the next question is due, after so many.
fn due(asked: u32) -> Duration {
    match SILENCE.get(asked as usize) {
        Some(due) => *due,
        None => SILENCE[2] + SELDOM * (asked - 2),
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if Pin::new(&mut this.connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        this.state.allow(this.connection.max_concurrent_send_streams());
        loop {
            let Some(next) = this.look(clock::read(), cx) else { return Poll::Ready(()) };
            if this.timer.poll(next, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.retire();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_three_questions_are_asked_in_five_minutes() {
        let asked: Vec<u64> = (0..6).map(|asked| due(asked).as_secs()).collect();
        assert_eq!(asked, [10, 40, 120, 430, 740, 1050]);
    }
}
