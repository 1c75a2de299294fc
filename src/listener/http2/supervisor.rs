//! When a connection ends, and what its client is sent before.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use h2::Reason;

use crate::listener::linger::Linger;
use crate::listener::streams::Streams;
use crate::net::Timer;
use crate::pipeline::Core;
use crate::runtime::clock;
use crate::snapshot::{Limits, Watcher};

use super::driver::Driver;
use super::io::Shared;

/// How long a client that was sent GOAWAY may take to acknowledge it, and how long the last bytes to a client that is
/// refused may wait for room in its socket.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Polls a connection until it ends, and has it end when that is due.
pub(super) struct Supervisor {
    connection: Driver,
    shared: Rc<Shared>,
    streams: Rc<Streams>,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
    limits: Limits,
    started: Instant,
    timer: Timer,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Requests are taken.
    Serving,
    /// The client was sent GOAWAY at this moment; the streams under way go on.
    Leaving(Instant),
    /// The last GOAWAY waits for room in the socket, until this moment at most.
    Ending(Instant),
}

impl Supervisor {
    pub(super) fn new(
        connection: Driver,
        shared: Rc<Shared>,
        streams: Rc<Streams>,
        (core, watcher): (Rc<Core>, Rc<Watcher>),
        limits: Limits,
    ) -> Supervisor {
        let (started, timer, stage) = (clock::now(), Timer::new(), Stage::Serving);
        Supervisor { connection, shared, streams, core, watcher, limits, started, timer, stage }
    }

    /// Ready once nothing more is to be sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.streams.watch(cx.waker());
        if self.connection.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Stage::Ending(until) = self.stage {
            return self.timer.poll(until, cx);
        }
        let flood = self.streams.is_flood().then_some(Reason::ENHANCE_YOUR_CALM);
        if let Some(reason) = self.shared.fault().or(flood) {
            let until = clock::now() + LAST_WORD;
            self.stage = Stage::Ending(until);
            if self.connection.abort(reason, cx).is_ready() {
                return Poll::Ready(());
            }
            return self.timer.poll(until, cx);
        }
        self.poll_leaving(cx)
    }

    /// Has a connection end that is idle or belongs to a gateway or listener that ends.
    fn poll_leaving(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let announced = if let Stage::Leaving(announced) = self.stage {
            announced
        } else {
            if !self.is_due(cx) {
                return Poll::Pending;
            }
            let announced = clock::now();
            self.stage = Stage::Leaving(announced);
            self.connection.shut_down();
            if self.connection.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            announced
        };
        if !self.streams.is_empty() {
            return Poll::Pending;
        }
        let since = self.streams.idle_since().map_or(announced, |since| announced.max(since));
        ready!(self.timer.poll(since + LAST_WORD, cx));
        // It has not acknowledged that. A client that does not even take the last GOAWAY is not waited for.
        let _ = self.connection.abort(Reason::NO_ERROR, cx);
        Poll::Ready(())
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_leaving() {
            return true;
        }
        // A client that has not asked for anything yet has as long as one whose head is awaited.
        let (since, limit) = match self.streams.idle_since() {
            Some(since) => (since, self.limits.idle),
            None => (self.started, self.limits.head_timeout),
        };
        // A client that took nothing of its last answers may not even read what is sent at the end.
        self.streams.is_empty()
            && (self.streams.ended_stalled() || self.timer.poll(since + limit, cx).is_ready())
    }

    fn is_leaving(&self) -> bool {
        self.core.is_draining() || self.watcher.has_left()
    }

    /// Closes the connection in stages, once [`Supervisor::poll`] is ready: bytes that a client has on its way would
    /// reset a connection that is closed before they come, and the reset could take the last answer and the GOAWAY from
    /// a client that has not read them yet. The memory of the library is free meanwhile.
    pub(super) async fn close(&mut self) {
        self.connection.release();
        // One that is refused may be in the midst of a request; another one can only have further requests on their way.
        let linger = Linger::after(&self.limits, !self.connection.has_refused());
        linger.discard_stream(self.shared.stream(), &self.core, || self.is_leaving()).await;
    }
}
