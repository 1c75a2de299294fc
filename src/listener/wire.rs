//! A client's connection as the two sides of an exchange share it: one reads the request's body, the other watches
//! for the client and writes the answer. Both are polled by the same task, so the borrows never meet.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::net::{Outbox, Stream, Timer};
use crate::runtime::clock;

/// Room for the head of a request; most fit into one read of it.
const HEAD_ROOM: usize = 4 * 1024;

/// Room for a piece of a large body.
const BODY_ROOM: usize = 128 * 1024;

/// A client that has only ended its own side may still wait for the answer (`nc -N`, old scripts); one that has left
/// looks the same until something is sent. So the end of its side alone cancels the exchange, but only after this.
const HALF_CLOSED: Duration = Duration::from_millis(250);

/// While nothing is read from a client, this often it is asked whether its connection has failed.
const PROBE: Duration = Duration::from_millis(500);

/// How much of the next request is read while this one is answered.
const READ_AHEAD: usize = 16 * 1024;

/// A client's connection.
pub(super) struct Wire {
    stream: RefCell<Stream>,
    read: RefCell<BytesMut>,
    out: RefCell<Outbox>,
    timer: RefCell<Timer>,
    probe: RefCell<Timer>,
    probe_at: Cell<Option<Instant>>,
    /// When the client ended its side.
    ended: Cell<Option<Instant>>,
    /// Bytes of the current body that have been read.
    pub(super) received: Cell<u64>,
    /// Whether the current body has been read to its end.
    pub(super) body_done: Cell<bool>,
    /// Whether `100 Continue` is still owed before the body is asked for.
    pub(super) owes_continue: Cell<bool>,
}

impl Wire {
    pub(super) fn new(stream: Stream, read: BytesMut) -> Wire {
        Wire {
            stream: RefCell::new(stream),
            read: RefCell::new(read),
            out: RefCell::new(Outbox::new()),
            timer: RefCell::new(Timer::new()),
            probe: RefCell::new(Timer::new()),
            probe_at: Cell::new(None),
            ended: Cell::new(None),
            received: Cell::new(0),
            body_done: Cell::new(true),
            owes_continue: Cell::new(false),
        }
    }

    pub(super) fn buffer(&self) -> RefMut<'_, BytesMut> {
        self.read.borrow_mut()
    }

    pub(super) fn out(&self) -> RefMut<'_, Outbox> {
        self.out.borrow_mut()
    }

    pub(super) fn poll_timer(&self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.borrow_mut().poll(deadline, cx)
    }

    /// Gives every buffer back while nothing is going on: most connections of a gate are idle.
    pub(super) fn release(&self) {
        let mut read = self.read.borrow_mut();
        if read.is_empty() {
            *read = BytesMut::new();
        }
        self.out.borrow_mut().release();
        self.probe.borrow_mut().release();
        self.probe_at.set(None);
    }

    /// Waits for something to read without holding a buffer for it.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow().poll_readable(cx)
    }

    /// Reads a piece of a head.
    pub(super) fn poll_read_head(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(HEAD_ROOM, cx)
    }

    /// Reads a piece of a body of which so much is expected.
    pub(super) fn poll_read_body(
        &self,
        expected: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let small = expected.is_some_and(|expected| expected <= HEAD_ROOM as u64);
        self.poll_read(if small { HEAD_ROOM } else { BODY_ROOM }, cx)
    }

    fn poll_read(&self, room: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut read = self.read.borrow_mut();
        // An empty one is made with its room: growing it costs more.
        if read.capacity() == 0 {
            *read = BytesMut::with_capacity(room);
        }
        read.reserve(room);
        self.stream.borrow_mut().poll_read_buffer(&mut read, cx)
    }

    /// Ready once the client has left. What it sends ahead, of its body or of a next request, is kept, up to a bound.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.read.borrow().len() >= READ_AHEAD {
                return self.poll_failed(cx);
            }
            if let Some(ended) = self.ended.get() {
                return self.poll_timer(ended + HALF_CLOSED, cx);
            }
            if ready!(self.poll_readable(cx)).is_err() {
                return Poll::Ready(());
            }
            match ready!(self.poll_read_head(cx)) {
                Ok(0) => self.ended.set(Some(clock::now())),
                // A body's reader may be waiting for just these bytes: it shares this task and its buffer.
                Ok(_) if !self.body_done.get() => cx.waker().wake_by_ref(),
                Ok(_) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Ready once the connection has failed (the client reset it), found without reading from it.
    fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let at = self.probe_at.get().unwrap_or_else(|| clock::now() + PROBE);
            self.probe_at.set(Some(at));
            ready!(self.probe.borrow_mut().poll(at, cx));
            self.probe_at.set(None);
            if self.stream.borrow().has_failed() {
                return Poll::Ready(());
            }
        }
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.borrow_mut().poll_flush(&mut self.stream.borrow_mut(), cx)
    }

    /// Says that nothing more will be sent, so that the client can read the last answer to its end.
    pub(super) fn finish_writing(&self) {
        self.stream.borrow().finish_writing();
    }

    /// Takes the connection apart, for a protocol that reads it in its own way.
    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream.into_inner(), self.read.into_inner())
    }
}
