//! HTTP/2 from a client, read by hyper (RFC 9113): every stream is a walk of its own.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::exchange::{Body, BodyStream, Error, ErrorKind, Frame, HeaderId, Headers, Response};
use crate::net::Timer;
use crate::pipeline::{Arrived, Core, Walk};
use crate::snapshot::{Limits, Watcher};

use super::pace::{BodyBounds, Pace};
use super::streams::{Guard, Streams};

/// Flow-control windows: large enough for an upload at full speed, small enough for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A head this many times over the limit is not even read to its end.
const HARD_STOP: u32 = 4;

/// How long a client that has been told to go may take to acknowledge it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How much is read from a socket at once.
const READ_SPACE: usize = 16 * 1024;

/// What is kept of an answer that its client does not take, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How many streams a client may open and reset before the gate has taken them up; beyond, it is told to calm down.
const PENDING_RESETS: usize = 20;

/// Serves one connection until either side ends it. `read` holds what has been read of it, the preface first.
pub(super) async fn serve(
    stream: TcpStream,
    read: BytesMut,
    peer: SocketAddr,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
) {
    let Some(pinned) = watcher.pin() else { return };
    let limits = pinned.plan.limits;
    drop(pinned);
    let streams = Rc::new(Streams::default());
    let service = service_fn({
        let (core, watcher, streams) = (Rc::clone(&core), Rc::clone(&watcher), Rc::clone(&streams));
        move |request| {
            let guard = streams.enter();
            stream_of(request, peer, Rc::clone(&core), Rc::clone(&watcher), guard)
        }
    });
    let mut builder = http2::Builder::new(OnThisCore);
    builder
        .max_concurrent_streams(limits.streams)
        // The library's own answer to a larger head has no words: `lines` judges first.
        .max_header_list_size((limits.head.head as u32).saturating_mul(HARD_STOP))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let mut connection =
        pin!(builder.serve_connection(Io { stream, read, space: vec![0; READ_SPACE].into() }, service));
    let mut timer = Timer::new();
    let mut stall = Timer::new();
    let started = Instant::now();
    let mut ending = None;
    poll_fn(|cx| {
        streams.watch(cx.waker());
        if connection.as_mut().poll(cx).is_ready() || streams.is_stalled(limits.idle, &mut stall, cx) {
            return Poll::Ready(());
        }
        if streams.is_flood() {
            // A last word, as far as it can be said at once.
            connection.as_mut().graceful_shutdown();
            let _ = connection.as_mut().poll(cx);
            return Poll::Ready(());
        }
        if ending.is_none() {
            // A client that has not asked for anything yet has as long as one whose head is awaited.
            let (since, limit) =
                streams.idle_since().map_or((started, limits.head_timeout), |since| (since, limits.idle));
            let idle = streams.is_empty() && timer.poll(since + limit, cx).is_ready();
            if !(idle || core.is_draining() || watcher.has_left()) {
                return Poll::Pending;
            }
            ending = Some(Instant::now());
            connection.as_mut().graceful_shutdown();
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        // Once told, a client without streams has only to close: one that does not is not waited for.
        let Some(told) = ending.filter(|_| streams.is_empty()) else { return Poll::Pending };
        let since = streams.idle_since().map_or(told, |since| told.max(since));
        timer.poll(since + LAST_WORD, cx)
    })
    .await;
}

async fn stream_of(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
    guard: Guard,
) -> Result<http::Response<Answer>, Gone> {
    let Some(pinned) = watcher.pin() else { return Err(Gone) };
    let limits = pinned.plan.limits;
    let started = Instant::now();
    let received = Rc::new(Cell::new(0));
    let (head, body) = request.into_parts();
    let walk = match lines(&head, &limits) {
        Err(error) => Walk::refuse(core, pinned, peer, started, error),
        Ok(headers) => {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let body = if body.is_end_stream() {
                Body::Empty
            } else {
                let length = body.size_hint().exact();
                let bounds =
                    BodyBounds { max: limits.body, timeout: limits.body_timeout, rate: limits.body_rate };
                Body::Stream(Box::new(ClientBody {
                    body,
                    length,
                    bounds,
                    received: Rc::clone(&received),
                    timer: Timer::new(),
                    pace: Pace::default(),
                }))
            };
            let arrived = Arrived {
                peer,
                started,
                method: head.method.clone(),
                target: target.as_bytes(),
                version: head.version,
                headers,
                body,
            };
            Walk::admit(core, pinned, arrived)
        }
    };
    answer(walk, received, head.method == http::Method::HEAD, guard).await
}

async fn answer(
    mut walk: Walk,
    received: Rc<Cell<u64>>,
    was_head: bool,
    guard: Guard,
) -> Result<http::Response<Answer>, Gone> {
    let Response { status, headers, body } = walk.serve().await;
    let mut parts = http::Response::builder().status(status);
    if let Some(lines) = parts.headers_mut() {
        for (_, name, value) in headers.iter() {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
            {
                lines.append(name, value);
            }
        }
        let told = lines.contains_key(http::header::CONTENT_LENGTH);
        if let (false, Some(length @ 1..)) = (told, body.length()) {
            lines.insert(http::header::CONTENT_LENGTH, length.into());
        }
    }
    let body = if was_head { Body::Empty } else { body };
    let left = body.length();
    parts.body(Answer { body, left, walk, received, guard }).map_err(|_| Gone)
}

/// The lines of a head, judged as HTTP/1's are where the protocol does not judge them itself.
fn lines(head: &http::request::Parts, limits: &Limits) -> Result<Headers, Error> {
    let bad = |detail: &'static str| Error::new(ErrorKind::MalformedRequest).reason("head").detail(detail);
    let count = head.headers.len();
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if count > limits.head.headers || size > limits.head.head {
        return Err(Error::new(ErrorKind::HeadersTooLarge));
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.head.target) {
        return Err(Error::new(ErrorKind::UriTooLong));
    }
    let mut lines = Headers::with_capacity(count + 1, 512);
    let hosts = head.headers.get_all(http::header::HOST).iter().count();
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let host = match (authority, hosts) {
        (Some(authority), 0) => authority.as_bytes(),
        (None, 1) => head.headers[http::header::HOST].as_bytes(),
        (Some(authority), 1) if head.headers[http::header::HOST] == authority => authority.as_bytes(),
        (None, 0) => return Err(bad("no host")),
        _ => return Err(bad("more than one host")),
    };
    if !crate::http1::valid_host(host) {
        return Err(bad("not a valid host"));
    }
    lines.push_id(HeaderId::Host, host);
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        match HeaderId::of(name.as_str().as_bytes()) {
            // One line again for services that speak HTTP/1 (RFC 9113 section 8.2.3).
            HeaderId::Cookie => {
                if !cookies.is_empty() && !value.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
            }
            HeaderId::Host | HeaderId::ContentLength => {}
            HeaderId::Expect if value.eq_ignore_ascii_case(b"100-continue") => {}
            id if id.hop_by_hop() => {}
            _ if !crate::exchange::headers::valid_value(value) || value.trim_ascii() != value => {
                return Err(bad("a header value is not valid"));
            }
            _ => {
                lines.push_judged(name.as_str().as_bytes(), value);
            }
        }
    }
    if !cookies.is_empty() {
        lines.push_id(HeaderId::Cookie, &cookies);
    }
    Ok(lines)
}

/// The request's body.
struct ClientBody {
    body: Incoming,
    length: Option<u64>,
    bounds: BodyBounds,
    received: Rc<Cell<u64>>,
    timer: Timer,
    pace: Pace,
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let frame = loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                // A last frame without bytes is how most clients end a body of unknown length: it is no piece.
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                Poll::Ready(frame) => break frame,
                Poll::Pending => {
                    let now = Instant::now();
                    let late = self.pace.deadline(now, self.bounds);
                    if late <= now {
                        let late = Error::new(ErrorKind::RequestTimeout).reason("body");
                        return Poll::Ready(Some(Err(late)));
                    }
                    ready!(self.timer.poll(late, cx));
                }
            }
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(Error::new(ErrorKind::ClientClosed).source(error)))),
        };
        match frame.into_data() {
            Ok(data) => {
                self.pace.moved(data.len() as u64, self.bounds);
                self.received.set(self.received.get() + data.len() as u64);
                if self.received.get() > self.bounds.max {
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::BodyTooLarge))));
                }
                Poll::Ready(Some(Ok(Frame::Data(data))))
            }
            // Trailers of requests end here, as in HTTP/1.
            Err(_) => Poll::Ready(None),
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.length
    }
}

/// The answer's body; it carries the walk, whose record is written when the body has ended.
struct Answer {
    body: Body,
    left: Option<u64>,
    walk: Walk,
    received: Rc<Cell<u64>>,
    guard: Guard,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Gone>>> {
        let this = &mut *self;
        this.guard.handed(false);
        let frame = match ready!(this.body.poll_frame(cx)) {
            None => {
                this.walk.complete();
                this.guard.complete();
                return Poll::Ready(None);
            }
            Some(Ok(Frame::Data(data))) => {
                this.walk.sent(data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                if this.left == Some(0) {
                    this.walk.complete();
                    this.guard.complete();
                }
                http_body::Frame::data(data)
            }
            Some(Ok(Frame::Trailers(trailers))) => {
                let mut lines = http::HeaderMap::new();
                for (_, name, value) in trailers.iter() {
                    if let (Ok(name), Ok(value)) =
                        (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
                    {
                        lines.append(name, value);
                    }
                }
                http_body::Frame::trailers(lines)
            }
            Some(Err(error)) => {
                this.walk.broke(&error);
                this.guard.complete();
                return Poll::Ready(Some(Err(Gone)));
            }
        };
        this.guard.handed(true);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.length().map(http_body::SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.walk.received(self.received.get());
        if self.body.is_empty() {
            self.walk.complete();
            self.guard.complete();
        }
    }
}

/// The stream is reset: nothing can be answered, or the answer broke off.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream ends here")
    }
}

impl std::error::Error for Gone {}

/// Starts hyper's tasks on the core that owns the connection.
#[derive(Clone, Copy)]
struct OnThisCore;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A socket as hyper reads it, with what was read before.
struct Io {
    stream: TcpStream,
    /// What was read before the protocol was clear.
    read: BytesMut,
    space: Box<[u8]>,
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let take = self.read.len().min(room.remaining());
            room.put_slice(&self.read[..take]);
            self.read.advance(take);
            return Poll::Ready(Ok(()));
        }
        // hyper's cursor can only be filled by copying without unsafe code: one copy of a frame's bytes.
        let this = &mut *self;
        let take = this.space.len().min(room.remaining());
        let mut buffer = ReadBuf::new(&mut this.space[..take]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
        room.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.body)
    }
}
