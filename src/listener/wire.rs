//! A client's connection as the two sides of an exchange share it: one reads the request's body, the other watches
//! for the client and writes the answer. Both are polled by the same task, so the borrows never meet.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use http::StatusCode;

use crate::exchange::{Headers, Interims};
use crate::http1::{ConnectionLine, Decoder, Framing, Piece, encode};
use crate::net::{Facts, Outbox, ReadBuffer, Stream, Timer};
use crate::runtime::clock;

/// Room for the head of a request; most fit into one read of it.
const HEAD_ROOM: usize = 4 * 1024;

/// Room for a piece of a large body.
const BODY_ROOM: usize = 128 * 1024;

/// A client that has ended its own side while it was answered is waited for this long at least when the service pauses: what
/// it has of the answer is lost otherwise.
const HALF_ANSWERED: Duration = Duration::from_secs(5);

/// While nothing is read from a client, this often it is asked whether its connection has failed.
const PROBE: Duration = Duration::from_millis(500);

/// How much of the next request is read while this one is answered.
const READ_AHEAD: usize = 16 * 1024;

/// A client's connection.
pub(super) struct Wire {
    /// What is known of the connection.
    pub(super) facts: Facts,
    stream: RefCell<Stream>,
    /// What was read and is not used yet.
    read: RefCell<BytesMut>,
    out: RefCell<Outbox>,
    timer: RefCell<Timer>,
    /// When a client that is not read from is asked next; most never are.
    probe: RefCell<Option<Box<(Instant, Timer)>>>,
    /// When the client ended its side; later, where something was done for it since.
    ended: Cell<Option<Instant>>,
    /// How long its exchange goes on then. A client that has only ended its own side may still wait for the answer (`nc -N`,
    /// old scripts); one that has left looks the same until something is sent.
    half_closed: Cell<Duration>,
    /// Whether a request has been read.
    pub(super) served: Cell<bool>,
    /// Whether an empty line has been read since the last request.
    pub(super) blank: Cell<bool>,
    /// Reads the current body. It stays here when nobody asks for the body any more: what is left of it may have to be read
    /// away.
    pub(super) decoder: RefCell<Decoder>,
    /// Whether a proxy has passed the current request on.
    pub(super) through_proxy: Cell<bool>,
    /// Bytes of the current body that have been read.
    pub(super) received: Cell<u64>,
    /// Whether the current body has been read to its end.
    pub(super) body_done: Cell<bool>,
    /// Whether `100 Continue` is still owed before the body is asked for.
    pub(super) owes_continue: Cell<bool>,
    /// Whether an interim answer of the service waits to be written.
    pub(super) has_interim: Cell<bool>,
}

impl Wire {
    pub(super) fn new(stream: Stream, facts: Facts, read: BytesMut) -> Wire {
        Wire {
            facts,
            stream: RefCell::new(stream),
            read: RefCell::new(read),
            out: RefCell::new(Outbox::new()),
            timer: RefCell::new(Timer::new()),
            probe: RefCell::new(None),
            ended: Cell::new(None),
            half_closed: Cell::new(Duration::ZERO),
            served: Cell::new(false),
            blank: Cell::new(false),
            decoder: RefCell::new(Decoder::new(Framing::None)),
            through_proxy: Cell::new(false),
            received: Cell::new(0),
            body_done: Cell::new(true),
            owes_continue: Cell::new(false),
            has_interim: Cell::new(false),
        }
    }

    /// A request has been read. A client that has sent several and ended its side is waited for anew with each of them.
    pub(super) fn begin(&self, half_closed: Duration) {
        self.served.set(true);
        self.blank.set(false);
        self.half_closed.set(half_closed);
        self.moved();
    }

    /// The answer begins.
    pub(super) fn begin_answer(&self) {
        self.half_closed.set(self.half_closed.get().max(HALF_ANSWERED));
    }

    /// Something was done for the client.
    pub(super) fn moved(&self) {
        if self.ended.get().is_some() {
            self.ended.set(Some(clock::now()));
        }
    }

    pub(super) fn buffer(&self) -> RefMut<'_, BytesMut> {
        self.read.borrow_mut()
    }

    /// Takes the next piece of the current body from what has been read.
    pub(super) fn decode(&self) -> Result<Piece, &'static str> {
        self.decoder.borrow_mut().decode(&mut self.read.borrow_mut())
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
        *self.probe.borrow_mut() = None;
    }

    /// Waits for something to read without holding a buffer for it.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow().poll_readable(cx)
    }

    /// The bytes at hand: those that are kept, or a read into a buffer that other connections use too. No bytes are the
    /// end of the stream.
    pub(super) fn poll_lent<'a>(
        &'a self,
        buffer: &'a RefCell<ReadBuffer>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Lent<'a>>> {
        let kept = self.read.borrow_mut();
        if !kept.is_empty() {
            return Poll::Ready(Ok(Lent { kept, read: None }));
        }
        ready!(self.stream.borrow_mut().poll_read_lent(&mut buffer.borrow_mut(), cx))?;
        Poll::Ready(Ok(Lent { kept, read: Some(buffer.borrow()) }))
    }

    /// Reads a piece of a head behind what is kept of it.
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
                return self.poll_timer(ended + self.half_closed.get(), cx);
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
            let mut probe = self.probe.borrow_mut();
            let (at, timer) =
                &mut **probe.get_or_insert_with(|| Box::new((clock::now() + PROBE, Timer::new())));
            ready!(timer.poll(*at, cx));
            *at = clock::now() + PROBE;
            if self.stream.borrow().has_failed() {
                return Poll::Ready(());
            }
        }
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.borrow_mut().poll_flush(&mut self.stream.borrow_mut(), cx)
    }

    /// Writes interim answers; a connection that fails is noticed by those who read from it.
    #[cold]
    pub(super) fn flush_interim(&self, cx: &mut Context<'_>) {
        self.has_interim.set(self.poll_flush(cx).is_pending());
    }

    /// The connection itself, where nothing of HTTP passes any more.
    pub(super) fn stream(&self) -> RefMut<'_, Stream> {
        self.stream.borrow_mut()
    }

    /// Whether the end of the connection is to be a reset.
    pub(super) fn reset_at_end(&self, reset: bool) {
        self.stream.borrow().reset_at_end(reset);
    }

    /// Says that nothing more will be sent, so that the client can read the last answer to its end. What it still sends is
    /// thrown away by those who read it.
    pub(super) fn finish_writing(&self) {
        let stream = self.stream.borrow();
        stream.finish_writing();
        stream.discard_rest();
    }

    /// Takes the connection apart, for a protocol that reads it in its own way.
    pub(super) fn into_parts(self) -> (Stream, Facts, BytesMut) {
        (self.stream.into_inner(), self.facts, self.read.into_inner())
    }
}

impl Interims for Wire {
    fn pass(&self, status: StatusCode, headers: Headers) {
        encode::response_head(self.out().small(), status, &headers, Framing::None, ConnectionLine::None);
        self.has_interim.set(true);
    }
}

/// Bytes of a client that are used at once, or kept for later. Not held across a wait: others need the buffer.
pub(super) struct Lent<'a> {
    kept: RefMut<'a, BytesMut>,
    /// The buffer they were read into, where they are not kept.
    read: Option<Ref<'a, ReadBuffer>>,
}

impl Lent<'_> {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.read {
            Some(buffer) => buffer.bytes(),
            None => &self.kept,
        }
    }

    /// Keeps all but the first bytes, which have been used.
    pub(super) fn used(mut self, len: usize) {
        match &self.read {
            Some(buffer) => {
                if let rest @ [_, ..] = &buffer.bytes()[len..] {
                    self.kept.extend_from_slice(rest);
                }
            }
            // Nothing is left: the memory goes back, and the next head is lent.
            None if len == self.kept.len() => *self.kept = BytesMut::new(),
            // Only stepped over: taking them out would share the buffer between two owners.
            None => self.kept.advance(len),
        }
    }
}

#[cfg(test)]
#[allow(clippy::await_holding_invalid_type, reason = "there is one task alone")]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use crate::net::Detached;

    use super::*;

    fn pair() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let stream = Detached::new(accepted).unwrap().attach().unwrap();
        let facts = stream.facts(peer);
        (client, Wire::new(stream, facts, BytesMut::new()))
    }

    async fn lent<'a>(wire: &'a Wire, buffer: &'a RefCell<ReadBuffer>) -> Lent<'a> {
        std::future::poll_fn(|cx| wire.poll_lent(buffer, cx)).await.unwrap()
    }

    #[test]
    fn what_is_not_used_is_kept_while_others_read_into_the_same_buffer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let buffer = RefCell::default();
            let ((mut one, first), (mut two, second)) = (pair(), pair());
            one.write_all(b"one and more").unwrap();
            let bytes = lent(&first, &buffer).await;
            assert_eq!(bytes.bytes(), b"one and more");
            bytes.used(4);
            two.write_all(b"TWO").unwrap();
            let bytes = lent(&second, &buffer).await;
            assert_eq!(bytes.bytes(), b"TWO");
            bytes.used(3);
            assert!(second.buffer().is_empty() && second.buffer().capacity() == 0, "nothing is kept");
            let bytes = lent(&first, &buffer).await;
            assert_eq!(bytes.bytes(), b"and more", "kept by its connection");
            bytes.used(4);
            lent(&first, &buffer).await.used(4);
            assert_eq!(first.buffer().capacity(), 0, "the memory of a part goes back with its end");
            drop(one);
            assert!(lent(&first, &buffer).await.bytes().is_empty(), "the end of the stream");
        });
    }

    #[test]
    fn the_facts_of_a_connection_are_both_addresses() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let (client, wire) = pair();
        assert_eq!(wire.facts.peer, client.local_addr().unwrap());
        assert_eq!(wire.facts.local, client.peer_addr().ok());
        assert!(wire.facts.tls.is_none());
    }
}
