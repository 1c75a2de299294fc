//! HTTP/2 from a client, read by hyper (RFC 9113): every stream is a walk of its own.
//!
//! Start with [`serve`]; `head.rs` judges a request's lines, `body.rs` reads its body, `answer.rs` sends what came of it.
//! `stall.rs` resets a stream whose client takes nothing of its answer.

mod answer;
mod body;
mod head;
mod io;
mod stall;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;

use crate::exchange::{Body, HeaderId, Response};
use crate::net::{Facts, Stream, Timer};
use crate::pipeline::{Arrived, Core, Walk};
use crate::runtime::clock;
use crate::snapshot::Watcher;

use super::pace::{BodyBounds, Pace};
use super::streams::{Guard, Streams};
use answer::{Answer, Gone, SEND_BUFFER, Serving};
use body::ClientBody;
use head::lines;
use io::Io;
use stall::StreamTasks;

/// Flow-control windows: large enough for an upload at full speed, small enough for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A head this many times over the limit is not even read to its end.
const HARD_STOP: u32 = 4;

/// How long a client that has been told to go may take to acknowledge it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How many streams a client may open and reset before the gate has taken them up; beyond, it is told to calm down.
const PENDING_RESETS: usize = 20;

/// Serves one connection until either side ends it. `read` holds what has been read of it, the preface first.
pub(super) async fn serve(
    stream: Stream,
    read: BytesMut,
    facts: Facts,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
) {
    let Some(pinned) = watcher.pin() else { return };
    let limits = pinned.plan.limits;
    drop(pinned);
    let streams = Rc::new(Streams::new(limits.streams));
    let service = service_fn({
        let (core, watcher, streams) = (Rc::clone(&core), Rc::clone(&watcher), Rc::clone(&streams));
        let facts = Rc::new(facts);
        move |request| {
            let guard = streams.enter();
            stream_of(request, Rc::clone(&facts), Rc::clone(&core), Rc::clone(&watcher), guard)
        }
    });
    let tasks = StreamTasks { streams: Rc::clone(&streams), idle: limits.idle };
    let mut builder = http2::Builder::new(tasks);
    builder
        .max_concurrent_streams(limits.streams)
        // The library's own answer to a larger head has no words: `lines` judges first.
        .max_header_list_size((limits.head.head as u32).saturating_mul(HARD_STOP))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let mut connection = pin!(builder.serve_connection(Io::new(stream, read), service));
    let mut timer = Timer::new();
    let started = clock::now();
    let mut ending = None;
    poll_fn(|cx| {
        streams.watch(cx.waker());
        if connection.as_mut().poll(cx).is_ready() {
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
            // A client that took nothing of its last answers may not even read what is said at the end.
            let idle =
                streams.is_empty() && (streams.ended_stalled() || timer.poll(since + limit, cx).is_ready());
            if !(idle || core.is_draining() || watcher.has_left()) {
                return Poll::Pending;
            }
            ending = Some(clock::now());
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
    facts: Rc<Facts>,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
    guard: Guard,
) -> Result<http::Response<Answer>, Gone> {
    let Some(pinned) = watcher.pin() else { return Err(Gone) };
    let limits = pinned.plan.limits;
    let started = clock::now();
    let received = Rc::new(Cell::new(0));
    let (head, body) = request.into_parts();
    let walk = match lines(&head, &limits) {
        Err(error) => Walk::refuse(core, pinned, &facts, started, error),
        Ok(headers) => {
            let pinned =
                pinned.for_host(headers.get_id(HeaderId::Host).unwrap_or_default(), &facts, &headers);
            let limits = pinned.plan.limits;
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
                connection: &facts,
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
    answer(Serving { walk, received }, head.method == http::Method::HEAD, guard).await
}

async fn answer(mut serving: Serving, was_head: bool, guard: Guard) -> Result<http::Response<Answer>, Gone> {
    let Response { status, headers, body } = serving.walk.serve().await;
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
    parts.body(Answer { body, rest: Bytes::new(), left, serving, guard }).map_err(|_| Gone)
}
