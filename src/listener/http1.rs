//! HTTP/1 from a client: one connection, its requests one after the other (RFC 9112).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Method, Version};

use crate::config::InterimAnswers;
use crate::exchange::target::authority_of;
use crate::exchange::{Body, Error, ErrorKind, Frame, HeaderId, Headers, Interims, Response};
use crate::http1::{ConnectionLine, Framing, HeadError, RequestHead, encode, parse_request};
use crate::pipeline::{Arrived, Core, Walk};
use crate::runtime::clock;
use crate::snapshot::{Limits, Pinned, Watcher};

use super::body::ClientBody;
use super::linger::Linger;
use super::pace::BodyBounds;
use super::pump::{Peer, Pump, framing};
use super::switched::Switched;
use super::waits::{Awaited, Begun, Bounds, Rested, Served, Started};
use super::wire::{Lent, Wire};

/// A connection that was answered just now may have its next request on the way: when the gate ends, it is awaited
/// this long, and answered with `connection: close`.
const LAST_CALL: Duration = Duration::from_millis(500);

/// A connection that carried no request for so long is at rest, and gives its memory back.
const REST: Duration = Duration::from_millis(40);

/// How many bytes of an unwanted body are read to keep the connection.
const DRAIN_BYTES: usize = 64 * 1024;

/// Header lines of which proxies send at least one.
const PROXIES: [HeaderId; 4] =
    [HeaderId::XForwardedProto, HeaderId::XForwardedFor, HeaderId::Forwarded, HeaderId::Via];

/// What a connection ends with, or goes on to.
enum Next {
    Request,
    /// Close: the client has left, or is to see a reset.
    Close,
    /// Close, but let the client read the answer first.
    Linger(Linger),
    /// It carries HTTP no more: the 101, and the tunnel. Boxed, as the others are small.
    Switch(Box<Switched>),
}

/// A connection whose first bytes spoke HTTP/1.
pub(super) struct Connection {
    pub(super) wire: Rc<Wire>,
    pub(super) core: Rc<Core>,
    pub(super) watcher: Rc<Watcher>,
}

impl Connection {
    /// Serves requests until either side ends the connection. `head_by` is when the first head must be complete.
    pub(super) async fn serve(&self, head_by: Instant) {
        let mut started = Some(Started { first_byte: clock::now(), head_by });
        while let Some(times) = started {
            // Boxed, so that a connection at rest takes little memory; once for many requests.
            let answered = match Box::pin(self.serve_busy(times)).await {
                Served::Rests(answered) => answered,
                Served::Ended => return,
                // Nothing of the requests is held by a tunnel, which may last for hours.
                Served::Switched(switched, mut walk) => {
                    return Box::pin(switched.serve(&mut walk, &self.wire, &self.core)).await;
                }
            };
            self.wire.release();
            started = match self.rest(answered).await {
                Rested::Begun(times) => Some(times),
                Rested::Gone => None,
                Rested::Over => {
                    let Some(pinned) = self.watcher.pin() else { return };
                    let linger = Linger::behind_request(&pinned.plan.limits);
                    drop(pinned);
                    Box::pin(linger.discard(&self.wire, &self.core, || self.is_ending())).await;
                    None
                }
            };
        }
    }

    /// Serves requests as long as one follows the other.
    #[allow(clippy::await_holding_invalid_type, reason = "`admit` has used up what is lent before the wait")]
    async fn serve_busy(&self, started: Started) -> Served {
        let (mut answered, mut until) = (started.first_byte, started.first_byte);
        let mut started = Some(started);
        loop {
            let Some(bounds) = self.bounds() else { return Served::Ended };
            let idle = bounds.idle;
            let warm = self.core.keep_warm();
            if started.is_none() && warm.is_none() {
                return Served::Rests(answered);
            }
            let mut awaited = Awaited { bounds, answered, until, started };
            let begun = poll_fn(|cx| self.poll_head(&mut awaited, cx)).await;
            let first_byte = awaited.started.map_or(answered, |started| started.first_byte);
            drop(warm);
            let next = match begun {
                Begun::Head(head, lent) => {
                    // Only now: a reload may have come while nothing was asked, and a silent connection holds no snapshot.
                    let Some(pinned) = self.watcher.pin() else { return Served::Ended };
                    let pinned = self.chosen(pinned, &head, &lent);
                    let peer = Peer::of(&head);
                    // Made where it stays until its answer is out: it is too large to be moved.
                    let mut walk = self.admit(&pinned, head, lent, first_byte);
                    match self.exchange(&mut walk, peer, &pinned.plan.limits).await {
                        Next::Switch(switched) => return Served::Switched(switched, walk.take()),
                        next => next,
                    }
                }
                Begun::Broken(error) => {
                    let Some(pinned) = self.watcher.pin() else { return Served::Ended };
                    self.refuse(pinned, first_byte, error).await
                }
                Begun::Silence => return Served::Rests(answered),
                Begun::Gone => return Served::Ended,
            };
            match next {
                Next::Request => {}
                Next::Linger(bounds) => {
                    bounds.discard(&self.wire, &self.core, || self.is_ending()).await;
                    return Served::Ended;
                }
                Next::Close | Next::Switch(..) => return Served::Ended,
            }
            answered = clock::now();
            until = answered + REST.min(idle);
            started = None;
        }
    }

    /// The bounds in force.
    fn bounds(&self) -> Option<Bounds> {
        let pinned = self.watcher.pin()?;
        let Limits { head, head_timeout, idle, .. } = pinned.plan.limits;
        Some(Bounds { head, head_timeout, idle })
    }

    /// The listener that the request is for, where several share the address.
    fn chosen(&self, pinned: Rc<Pinned>, head: &RequestHead, lent: &Lent<'_>) -> Rc<Pinned> {
        if pinned.is_alone() {
            return pinned;
        }
        let host = authority_of(&lent.bytes()[head.target.clone()])
            .or(head.headers.get_id(HeaderId::Host))
            .unwrap_or_default();
        pinned.for_host(host, &self.wire.facts, &head.headers)
    }

    /// Whether no further request is to be taken.
    fn is_ending(&self) -> bool {
        self.core.is_draining() || self.watcher.has_left()
    }

    /// Waits for the first byte of the next request, without a buffer.
    async fn rest(&self, answered: Instant) -> Rested {
        let Some(bounds) = self.bounds() else { return Rested::Gone };
        if self.wire.buffer().is_empty() {
            let over = poll_fn(|cx| {
                let until = answered + if self.is_ending() { LAST_CALL } else { bounds.idle };
                match self.wire.poll_readable(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(None),
                    Poll::Ready(Err(_)) => return Poll::Ready(Some(Rested::Gone)),
                    Poll::Pending => {}
                }
                self.wire.poll_timer(until, cx).map(|()| Some(Rested::Over))
            })
            .await;
            if let Some(over) = over {
                return over;
            }
        }
        Rested::Begun(Started::now(&bounds))
    }

    /// The next head. It is read from bytes that are lent, and what came of one that is not whole yet is kept.
    fn poll_head<'a>(&'a self, awaited: &mut Awaited, cx: &mut Context<'_>) -> Poll<Begun<'a>> {
        let mut kept = false;
        loop {
            // Behind a part of a head, more of it; only the first look at what is kept needs no read.
            let read = if kept {
                match self.wire.poll_read_head(cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Begun::Gone),
                    Poll::Ready(Err(_)) => return Poll::Ready(Begun::Gone),
                    Poll::Ready(Ok(_)) => self.wire.poll_lent(&self.core.read_buffer, cx),
                    Poll::Pending => Poll::Pending,
                }
            } else {
                self.wire.poll_lent(&self.core.read_buffer, cx)
            };
            let lent = match read {
                Poll::Ready(Ok(lent)) if !lent.bytes().is_empty() => lent,
                Poll::Ready(_) => return Poll::Ready(Begun::Gone),
                Poll::Pending => return self.poll_silence(awaited, kept, cx),
            };
            // One empty line between two requests is none of them (RFC 9112 section 2.2): the next one has not begun.
            if matches!(lent.bytes(), [b'\r', ..]) && self.wire.blank.get() {
                let second = HeadError::Malformed("bad request line");
                return Poll::Ready(Begun::Broken(second.into()));
            }
            if lent.bytes().starts_with(b"\r\n") {
                lent.used(2);
                self.wire.blank.set(true);
                if self.wire.served.get() {
                    awaited.started = None;
                }
                kept = false;
                continue;
            }
            if awaited.started.is_none() {
                awaited.started = Some(Started::now(&awaited.bounds));
            }
            match parse_request(lent.bytes(), &awaited.bounds.head, Headers::new()) {
                Ok(Some(head)) => return Poll::Ready(Begun::Head(head, lent)),
                Ok(None) => lent.used(0),
                Err(error) => return Poll::Ready(Begun::Broken(error.into())),
            }
            kept = true;
        }
    }

    /// Nothing can be read now: the bounds of the wait. `begun` says whether a part of the head is there.
    fn poll_silence(&self, awaited: &Awaited, begun: bool, cx: &mut Context<'_>) -> Poll<Begun<'static>> {
        match &awaited.started {
            _ if begun => {}
            None => {
                let until = if self.is_ending() { awaited.answered + LAST_CALL } else { awaited.until };
                return self.wire.poll_timer(until, cx).map(|()| Begun::Silence);
            }
            Some(_) if self.is_ending() => return Poll::Ready(Begun::Gone),
            Some(_) => {}
        }
        let head_by = awaited.started.map_or(awaited.until, |started| started.head_by);
        ready!(self.wire.poll_timer(head_by, cx));
        let late = || Begun::Broken(Error::new(ErrorKind::RequestTimeout).reason("head"));
        Poll::Ready(if begun { late() } else { Begun::Gone })
    }

    /// Lets a request in, and uses up the bytes of its head.
    fn admit(&self, pinned: &Rc<Pinned>, head: RequestHead, lent: Lent<'_>, started: Instant) -> Walk {
        let limits = &pinned.plan.limits;
        self.wire.received.set(0);
        self.wire.begin(limits.half_closed);
        // A body of no bytes is none: nobody has to read it before the next request, and nothing is to be asked for.
        let framing = if head.framing == Framing::Length(0) { Framing::None } else { head.framing };
        // What a client sends behind a CONNECT was meant for the tunnel that it does not get: it is no request, but read
        // and thrown away (RFC 9110 section 9.3.6).
        self.wire.body_done.set(framing == Framing::None && head.method != Method::CONNECT);
        self.wire.owes_continue.set(head.expect_continue && framing != Framing::None);
        // Of this request: an earlier one of the connection says nothing of it.
        let through_proxy = framing != Framing::None && PROXIES.iter().any(|line| head.headers.has_id(*line));
        self.wire.through_proxy.set(through_proxy);
        let body = match framing {
            Framing::None => Body::Empty,
            framing => {
                let bounds = BodyBounds {
                    max: limits.body,
                    timeout: limits.body_timeout,
                    rate: limits.body_rate,
                    unpaced: false,
                };
                Body::Stream(Box::new(ClientBody::new(Rc::clone(&self.wire), framing, bounds)))
            }
        };
        // HTTP/1.0 knows none (RFC 9110 section 15.2).
        let interims = (pinned.plan.interim == InterimAnswers::All && head.version != Version::HTTP_10)
            .then(|| Rc::clone(&self.wire) as Rc<dyn Interims>);
        let arrived = Arrived {
            connection: &self.wire.facts,
            started,
            method: head.method,
            target: &lent.bytes()[head.target],
            version: head.version,
            headers: head.headers,
            body,
            interims,
        };
        let walk = Walk::admit(Rc::clone(&self.core), Rc::clone(pinned), arrived);
        lent.used(head.len);
        walk
    }

    async fn exchange(&self, walk: &mut Walk, peer: Peer, limits: &Limits) -> Next {
        let answer = {
            let mut serve = pin!(walk.serve());
            poll_fn(|cx| {
                if let Poll::Ready(answer) = serve.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                if self.wire.has_interim.get() {
                    self.wire.flush_interim(cx);
                }
                self.wire.poll_gone(cx).map(|()| None)
            })
            .await
        };
        walk.received(self.wire.received.get());
        // A client that has left is owed nothing; its walk is recorded as it is dropped.
        let Some(mut answer) = answer else { return Next::Close };
        if matches!(answer.body, Body::Tunnel(_))
            && let Body::Tunnel(tunnel) = answer.body.take()
        {
            return Next::Switch(Box::new(Switched { head: answer, tunnel }));
        }
        self.answer(walk, answer, peer, limits).await
    }

    /// Answers a head that could not be read, and ends the connection.
    async fn refuse(&self, pinned: Rc<Pinned>, started: Instant, error: Error) -> Next {
        let (core, facts) = (Rc::clone(&self.core), &self.wire.facts);
        let mut walk = Walk::refuse(core, pinned, facts, started, error.closing());
        let limits = *walk.limits();
        let answer = walk.serve().await;
        self.wire.body_done.set(false);
        self.wire.through_proxy.set(false);
        let peer = Peer { version: Version::HTTP_11, keep_alive: false, was_head: false };
        self.answer(&mut walk, answer, peer, &limits).await
    }

    async fn answer(&self, walk: &mut Walk, mut answer: Response, peer: Peer, limits: &Limits) -> Next {
        self.drain(walk).await;
        if !self.wire.body_done.get() && self.waits_for_body(walk) {
            walk.leave();
            let linger = Linger::within_request(limits);
            Box::pin(linger.read_rest(&self.wire, || self.is_ending())).await;
        }
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
        if framing == Framing::UntilClose {
            // Trailers need chunks (RFC 9110 section 6.5.1): none will come.
            answer.headers.remove_id(HeaderId::Trailer);
        }
        encode::response_head(self.wire.out().small(), answer.status, &answer.headers, framing, connection);
        let mut body =
            if peer.was_head || framing == Framing::None { Body::Empty } else { answer.body.take() };
        // Where the answer's end is that of the connection, anything but its whole end is a reset, also one that comes from
        // outside of this task (RFC 9112 section 8).
        let until_close = framing == Framing::UntilClose;
        if until_close {
            self.wire.reset_at_end(true);
        }
        let mut pump = Pump::new(&self.wire, framing);
        let sent = poll_fn(|cx| {
            let sent = pump.poll(&mut body, limits, cx);
            // Counted as it goes: the task may be dropped.
            walk.sent(std::mem::take(&mut pump.sent));
            sent
        })
        .await;
        walk.received(self.wire.received.get());
        match sent {
            Ok(()) => {
                if until_close {
                    self.wire.reset_at_end(false);
                }
                walk.complete();
            }
            Err(error) => {
                // The answer cannot be taken back: only a connection that ends early shows that it is not whole.
                walk.broke(&error);
                if until_close || error.kind() == ErrorKind::ClientClosed {
                    return Next::Close;
                }
                // What came before it broke is the client's to read.
                return Next::Linger(Linger::after(limits, whole));
            }
        }
        if keep { Next::Request } else { Next::Linger(Linger::after(limits, whole)) }
    }

    /// Whether an answer has to wait for the rest of the request: some proxies (Envoy) cannot pass on to a client that is
    /// still sending what comes before they have sent the whole request. A service's answer is never held up, as it may
    /// be one half of a conversation, and nothing is expected of a client that was late.
    fn waits_for_body(&self, walk: &Walk) -> bool {
        let record = &walk.exchange.record;
        let late = record.error == Some(ErrorKind::RequestTimeout);
        let own = record.error.is_some() || record.upstream.is_none();
        self.wire.through_proxy.get() && own && !late && !self.wire.owes_continue.get()
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
}
