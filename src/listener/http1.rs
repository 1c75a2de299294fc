//! HTTP/1 from a client: one connection, its requests one after the other (RFC 9112).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf;
use http::{Method, StatusCode, Version};

use crate::exchange::target::authority_of;
use crate::exchange::{Body, Error, ErrorKind, Frame, HeaderId, Headers, Response};
use crate::http1::{ConnectionLine, Framing, RequestHead, encode, parse_request};
use crate::pipeline::{Arrived, Core, LINGER, Walk};
use crate::runtime::clock;
use crate::snapshot::{Limits, Pinned, Watcher};

use super::body::ClientBody;
use super::pace::BodyBounds;
use super::wire::Wire;

/// How many bytes of an unwanted body are read, so that the client can read the answer before the connection ends.
const LINGER_BYTES: usize = 256 * 1024;

/// A connection that was answered just now may have its next request on the way: when the gate ends, it is awaited
/// this long, and answered with `connection: close`.
const LAST_CALL: Duration = Duration::from_millis(500);

/// A connection that carried no request for so long is at rest, and gives its memory back.
const REST: Duration = Duration::from_millis(40);

/// How many bytes of an unwanted body are read to keep the connection.
const DRAIN_BYTES: usize = 64 * 1024;

/// What a connection ends with, or goes on to.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    Close,
    /// Close, but let the client read the answer first.
    Linger,
}

/// What a connection does between two requests.
#[derive(Clone, Copy)]
enum Pause {
    /// It reads at once what comes.
    Short,
    /// It holds no buffer meanwhile.
    Rest,
}

/// When a request began.
#[derive(Clone, Copy)]
struct Started {
    first_byte: Instant,
    /// When its head must be complete.
    head_by: Instant,
}

/// A connection whose first bytes spoke HTTP/1.
pub(super) struct Connection {
    pub(super) wire: Rc<Wire>,
    pub(super) peer: SocketAddr,
    pub(super) core: Rc<Core>,
    pub(super) watcher: Rc<Watcher>,
}

impl Connection {
    /// Serves requests until either side ends the connection. `head_by` is when the first head must be complete.
    pub(super) async fn serve(&self, head_by: Instant) {
        let mut started = Some(Started { first_byte: clock::now(), head_by });
        while let Some(times) = started {
            // Boxed, so that a connection at rest takes little memory; once for many requests.
            let Some(answered) = Box::pin(self.serve_busy(times)).await else { return };
            let Some(limits) = self.limits() else { return };
            self.wire.release();
            started = self.next_request(Pause::Rest, answered, answered + limits.idle, &limits).await;
        }
    }

    /// Serves requests as long as one follows the other. Gives the moment of the last answer where none came for a
    /// while, and nothing where the connection has ended.
    async fn serve_busy(&self, mut started: Started) -> Option<Instant> {
        loop {
            let limits = self.limits()?;
            let Started { first_byte, head_by } = started;
            let head = poll_fn(|cx| self.poll_head(&limits, head_by, cx)).await;
            // Only now: a reload may have come while nothing was asked, and a silent connection holds no snapshot.
            let pinned = self.watcher.pin()?;
            let next = match head {
                Ok(Some(head)) => self.exchange(self.chosen(pinned, &head), head, first_byte).await,
                Ok(None) => return None,
                Err(error) => {
                    let walk =
                        Walk::refuse(Rc::clone(&self.core), pinned, self.peer, first_byte, error.closing());
                    self.refuse(walk).await
                }
            };
            match next {
                Next::Request => {}
                Next::Close => return None,
                Next::Linger => {
                    self.linger().await;
                    return None;
                }
            }
            let answered = clock::now();
            let rests = answered + REST;
            let until = rests.min(answered + limits.idle);
            match self.next_request(Pause::Short, answered, until, &limits).await {
                Some(next) => started = next,
                // Either side may have ended it: then the next look finds that at once.
                None if clock::read() >= until => return Some(answered),
                None => return None,
            }
        }
    }

    /// The bounds in force.
    fn limits(&self) -> Option<Limits> {
        self.watcher.pin().map(|pinned| pinned.plan.limits)
    }

    /// The listener that the request is for, where several share the address.
    fn chosen(&self, pinned: Rc<Pinned>, head: &RequestHead) -> Rc<Pinned> {
        if pinned.is_alone() {
            return pinned;
        }
        let buffer = self.wire.buffer();
        let host = authority_of(&buffer[head.target.clone()]);
        pinned.for_host(host.or(head.headers.get_id(HeaderId::Host)).unwrap_or_default())
    }

    /// Whether no further request is to be taken.
    fn is_ending(&self) -> bool {
        self.core.is_draining() || self.watcher.has_left()
    }

    /// Waits for the first byte of the next request; `None` where none comes until then.
    async fn next_request(
        &self,
        pause: Pause,
        answered: Instant,
        until: Instant,
        limits: &Limits,
    ) -> Option<Started> {
        if self.wire.buffer().is_empty() {
            poll_fn(|cx| {
                let until = if self.is_ending() { answered + LAST_CALL } else { until };
                let begun = match pause {
                    Pause::Short => self.wire.poll_read_head(cx).map_ok(|read| read > 0),
                    Pause::Rest => self.wire.poll_readable(cx).map_ok(|()| true),
                };
                match begun {
                    Poll::Ready(Ok(true)) => return Poll::Ready(Some(())),
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
                self.wire.poll_timer(until, cx).map(|()| None)
            })
            .await?;
        }
        let first_byte = clock::now();
        Some(Started { first_byte, head_by: first_byte + limits.head_timeout })
    }

    /// The next head; `None` where the client closed before it began one.
    fn poll_head(
        &self,
        limits: &Limits,
        head_by: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestHead>, Error>> {
        loop {
            if !self.wire.buffer().is_empty() {
                match parse_request(&self.wire.buffer(), &limits.head, Headers::new()) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Some(head))),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            match self.wire.poll_read_head(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let begun = !self.wire.buffer().is_empty();
                    if self.is_ending() && !begun {
                        return Poll::Ready(Ok(None));
                    }
                    ready!(self.wire.poll_timer(head_by, cx));
                    let late = Error::new(ErrorKind::RequestTimeout).reason("head");
                    return Poll::Ready(if begun { Err(late) } else { Ok(None) });
                }
            }
        }
    }

    async fn exchange(&self, pinned: Rc<Pinned>, head: RequestHead, started: Instant) -> Next {
        let limits = pinned.plan.limits;
        self.wire.received.set(0);
        // A body of no bytes is none: nobody has to read it before the next request, and nothing is to be asked for.
        let framing = if head.framing == Framing::Length(0) { Framing::None } else { head.framing };
        self.wire.body_done.set(framing == Framing::None);
        self.wire.owes_continue.set(head.expect_continue && framing != Framing::None);
        let body = match framing {
            Framing::None => Body::Empty,
            framing => {
                let bounds =
                    BodyBounds { max: limits.body, timeout: limits.body_timeout, rate: limits.body_rate };
                Body::Stream(Box::new(ClientBody::new(Rc::clone(&self.wire), framing, bounds)))
            }
        };
        let peer = Peer {
            version: head.version,
            keep_alive: head.keep_alive,
            was_head: head.method == Method::HEAD,
        };
        let mut walk = {
            let mut buffer = self.wire.buffer();
            let arrived = Arrived {
                peer: self.peer,
                started,
                method: head.method,
                target: &buffer[head.target],
                version: head.version,
                headers: head.headers,
                body,
            };
            let walk = Walk::admit(Rc::clone(&self.core), pinned, arrived);
            // Only stepped over: taking the head out would share the buffer between two owners.
            buffer.advance(head.len);
            walk
        };
        let answer = {
            let mut serve = pin!(walk.serve());
            poll_fn(|cx| {
                if let Poll::Ready(answer) = serve.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                self.wire.poll_gone(cx).map(|()| None)
            })
            .await
        };
        walk.received(self.wire.received.get());
        // A client that has left is owed nothing; its walk is recorded as it is dropped.
        let Some(answer) = answer else { return Next::Close };
        self.answer(&mut walk, answer, peer, &limits).await
    }

    /// Answers a head that could not be read, and ends the connection.
    async fn refuse(&self, mut walk: Walk) -> Next {
        let limits = *walk.limits();
        let answer = walk.serve().await;
        self.wire.body_done.set(false);
        let peer = Peer { version: Version::HTTP_11, keep_alive: false, was_head: false };
        self.answer(&mut walk, answer, peer, &limits).await
    }

    async fn answer(&self, walk: &mut Walk, mut answer: Response, peer: Peer, limits: &Limits) -> Next {
        self.drain(walk).await;
        let framing = framing(&answer, peer);
        let whole = self.wire.body_done.get();
        // Said as early as possible: a client that is not told sends its next request into a closing connection.
        let ending = self.is_ending() || self.watcher.is_closing();
        let keep = peer.keep_alive && whole && framing != Framing::UntilClose && !ending;
        let connection = match (keep, peer.version) {
            (false, _) => ConnectionLine::Close,
            (true, Version::HTTP_10) => ConnectionLine::KeepAlive,
            (true, _) => ConnectionLine::None,
        };
        encode::response_head(self.wire.out().small(), answer.status, &answer.headers, framing, connection);
        let mut body =
            if peer.was_head || framing == Framing::None { Body::Empty } else { answer.body.take() };
        let mut pump = Pump { wire: &self.wire, framing, ended: false, broken: None, sent: 0, stalled: None };
        let sent = poll_fn(|cx| pump.poll(&mut body, limits, cx)).await;
        walk.sent(pump.sent);
        walk.received(self.wire.received.get());
        match sent {
            Ok(()) => walk.complete(),
            Err(error) => {
                // The answer cannot be taken back: only a connection that ends early tells that it is not whole.
                walk.broke(&error);
                return Next::Close;
            }
        }
        match (keep, whole) {
            (true, _) => Next::Request,
            (false, true) => Next::Close,
            (false, false) => Next::Linger,
        }
    }

    /// Reads what is left of a body that nobody wanted, as far as it is there already: the connection then goes on.
    async fn drain(&self, walk: &mut Walk) {
        if self.wire.body_done.get() || self.wire.owes_continue.get() {
            return;
        }
        let body = &mut walk.exchange.request.body;
        poll_fn(|cx| {
            let mut left = DRAIN_BYTES;
            while let (1.., Poll::Ready(Some(Ok(Frame::Data(data))))) = (left, body.poll_frame(cx)) {
                left = left.saturating_sub(data.len());
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Ends the connection so that the client can still read the answer: closing with unread bytes would reset it.
    async fn linger(&self) {
        self.wire.finish_writing();
        let until = clock::now() + LINGER;
        let mut read = 0;
        poll_fn(|cx| {
            loop {
                self.wire.buffer().clear();
                match self.wire.poll_read_body(None, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(more)) => read += more,
                    Poll::Pending => return self.wire.poll_timer(until, cx),
                }
                if read > LINGER_BYTES || clock::now() >= until {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}

/// What the answer must know of the one who asked.
#[derive(Clone, Copy)]
struct Peer {
    version: Version,
    keep_alive: bool,
    was_head: bool,
}

/// How the answer's end is told (RFC 9112 section 6.3).
fn framing(answer: &Response, peer: Peer) -> Framing {
    let none = answer.status.is_informational()
        || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || (peer.was_head && answer.headers.has_id(HeaderId::ContentLength));
    match answer.body.length() {
        _ if none => Framing::None,
        Some(0) | None if peer.was_head => Framing::None,
        Some(length) => Framing::Length(length),
        None if peer.version == Version::HTTP_10 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}

/// Moves an answer's body into the socket, at the pace of the slower side.
struct Pump<'a> {
    wire: &'a Wire,
    framing: Framing,
    ended: bool,
    broken: Option<Error>,
    sent: u64,
    /// How much had been written when the client stopped taking more, and when that was.
    stalled: Option<(u64, Instant)>,
}

impl Pump<'_> {
    fn poll(&mut self, body: &mut Body, limits: &Limits, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            while !self.ended && self.wire.out().has_room() {
                match body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.push(frame),
                    // What came before it broke is still passed on; that it is not whole shows in its missing end.
                    Poll::Ready(Some(Err(error))) => {
                        self.broken = Some(error);
                        self.ended = true;
                    }
                    Poll::Ready(None) => self.end(None),
                    Poll::Pending if self.wire.out().is_empty() => {
                        // The service is silent: it has a limit of its own; a client that leaves ends it at once.
                        ready!(self.wire.poll_gone(cx));
                        return Poll::Ready(Err(Error::new(ErrorKind::ClientClosed)));
                    }
                    Poll::Pending => break,
                }
            }
            match self.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.ended => {
                    return Poll::Ready(self.broken.take().map_or(Ok(()), Err));
                }
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(error))),
                Poll::Pending => {
                    let written = self.wire.out().written();
                    let (at, since) = self.stalled.unwrap_or_else(|| (written, clock::now()));
                    let since = if at == written { since } else { clock::now() };
                    self.stalled = Some((written, since));
                    ready!(self.wire.poll_timer(since + limits.idle, cx));
                    return Poll::Ready(Err(Error::new(ErrorKind::ClientClosed).reason("stalled")));
                }
            }
        }
    }

    fn push(&mut self, frame: Frame) {
        let mut out = self.wire.out();
        match frame {
            // A chunk of no bytes would be the end.
            Frame::Data(data) if data.is_empty() => {}
            Frame::Data(data) => {
                self.sent += data.len() as u64;
                if self.framing == Framing::Chunked {
                    encode::chunk_head(out.small(), data.len());
                    out.push(data, b"\r\n");
                } else {
                    out.push(data, b"");
                }
            }
            Frame::Trailers(trailers) => {
                drop(out);
                self.end(Some(&trailers));
            }
        }
    }

    fn end(&mut self, trailers: Option<&Headers>) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            encode::last_chunk(self.wire.out().small(), trailers);
        }
    }
}

fn gone(error: io::Error) -> Error {
    Error::new(ErrorKind::ClientClosed).reason("write").source(error)
}
