//! One stream: its request, its walk, the head of its answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{Method, StatusCode};

use crate::config::InterimAnswers;
use crate::exchange::{Body, Error, ErrorKind, HeaderId, Interims, Response, grpc};
use crate::listener::linger::Linger;
use crate::listener::pace::{BodyBounds, Pace};
use crate::listener::streams::{Guard, Streams};
use crate::net::{Facts, Timer};
use crate::pipeline::{Arrived, Core, Walk};
use crate::runtime::{clock, task};
use crate::snapshot::{Pinned, Watcher};

use super::answer::Answer;
use super::body::{self, ClientBody, Upload};
use super::connect::{self, Connecting};
use super::stall::{Piece, until_stalled};
use super::{head, lines};

/// What the streams of one connection are served with.
pub(super) struct Streaming {
    pub(super) facts: Facts,
    pub(super) core: Rc<Core>,
    pub(super) watcher: Rc<Watcher>,
    pub(super) streams: Rc<Streams>,
    /// How long a client may take nothing of an answer.
    pub(super) idle: Duration,
}

impl Streaming {
    /// Starts the task of a stream on the core that owns the connection.
    pub(super) fn start(&self, request: http::Request<RecvStream>, mut reply: SendResponse<Piece>) {
        if self.streams.are_too_many() {
            reply.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        let mut guard = self.streams.enter();
        let Some(pinned) = self.watcher.pin() else {
            guard.complete();
            reply.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        let upload = Rc::new(Upload::default());
        let was_head = request.method() == Method::HEAD;
        // Boxed: an async function holds its arguments twice.
        let walk = Box::new(self.admit(request, pinned, &upload));
        let progress = Rc::clone(guard.progress());
        let serving = serve(walk, reply, upload, was_head, guard);
        task::spawn_local(until_stalled(serving, progress, self.idle));
    }

    fn admit(&self, request: http::Request<RecvStream>, pinned: Rc<Pinned>, upload: &Rc<Upload>) -> Walk {
        let (core, started) = (Rc::clone(&self.core), clock::now());
        let (mut head, body) = request.into_parts();
        let headers = head::lines(&head, &pinned.plan.limits);
        let (headers, connects) = match headers.and_then(|lines| connect::translate(&mut head, lines)) {
            Ok(translated) => translated,
            Err(error) => {
                let mut walk = Walk::refuse(core, pinned, &self.facts, started, error);
                let media = head.headers.get(CONTENT_TYPE);
                walk.exchange.grpc = media.is_some_and(|media| grpc::is_media(media.as_bytes()));
                return walk;
            }
        };
        let pinned =
            pinned.for_host(headers.get_id(HeaderId::Host).unwrap_or_default(), &self.facts, &headers);
        let limits = pinned.plan.limits;
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let body = if connects {
            upload.connecting.set(Some(Box::new(Connecting { body, core: Rc::clone(&core) })));
            Body::Empty
        } else if body.is_end_stream() || head.method == Method::CONNECT {
            Body::Empty
        } else {
            // Other expectations pass as lines, and the walk refuses them: no 100 is asked for then.
            let waits = head.headers.contains_key(EXPECT);
            upload.expects.set(waits);
            // The library holds the body to it.
            let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            upload.begin(body);
            let bounds = BodyBounds {
                max: limits.body,
                timeout: limits.body_timeout,
                rate: limits.body_rate,
                unpaced: grpc::is_call(&head.method, &headers),
            };
            Body::Stream(Box::new(ClientBody {
                left: length.and_then(|length| length.parse().ok()),
                bounds,
                upload: Rc::clone(upload),
                timer: Timer::new(),
                pace: Pace::default(),
                trailers: None,
            }))
        };
        let passes = pinned.plan.interim != InterimAnswers::None;
        let interims = passes.then(|| Rc::clone(upload) as Rc<dyn Interims>);
        let arrived = Arrived {
            connection: &self.facts,
            started,
            method: head.method.clone(),
            target: target.as_bytes(),
            version: head.version,
            headers,
            body,
            interims,
        };
        Walk::admit(core, pinned, arrived)
    }
}

/// What follows the head of an answer.
enum Rest {
    /// Nothing.
    Nothing(SendResponse<Piece>),
    /// Its content.
    Content(Box<Answer>, SendResponse<Piece>),
    /// A tunnel, until it ends.
    Tunnel(Pin<Box<dyn Future<Output = ()>>>),
    /// The stream could not be answered.
    Broken,
}

/// Serves one stream to the end of its answer, or until its client has left.
async fn serve(
    mut walk: Box<Walk>,
    mut reply: SendResponse<Piece>,
    upload: Rc<Upload>,
    was_head: bool,
    guard: Guard,
) {
    // The answer stays in this block: what is held across an await behind it is held by every stream.
    let (rest, linger) = {
        let answer = {
            // Boxed: its memory is free again while the answer waits for the client.
            let mut served = Box::pin(walk.serve());
            poll_fn(|cx| poll_answer(served.as_mut(), &mut reply, &upload, cx)).await
        };
        walk.received(upload.received.get());
        // A client that has left is owed nothing; its walk is recorded as it is dropped.
        let Some(answer) = answer else { return };
        let linger = Linger::within_request(walk.limits());
        (begin(answer, walk, reply, &upload, was_head, guard), linger)
    };
    let reply = match rest {
        Rest::Nothing(reply) => reply,
        Rest::Content(answer, reply) => {
            answer.send().await;
            reply
        }
        Rest::Tunnel(tunnel) => return tunnel.await,
        Rest::Broken => return,
    };
    if upload.is_unread() {
        Box::pin(body::discard(&upload, linger)).await;
    }
    // The stream is reset here, unless its client has ended it.
    drop(reply);
}

/// The answer, or none once the client has reset the stream. What the client is sent before is handed over.
fn poll_answer(
    served: Pin<&mut impl Future<Output = Response>>,
    reply: &mut SendResponse<Piece>,
    upload: &Upload,
    cx: &mut Context<'_>,
) -> Poll<Option<Response>> {
    let served = served.poll(cx);
    upload.say_interims(reply);
    if let Poll::Ready(answer) = served {
        return Poll::Ready(Some(answer));
    }
    // A body was asked for whose client waits for that (RFC 9110 section 10.1.1). Where it cannot be said, the stream has
    // ended, which shows next.
    if upload.owes_continue.take() {
        let _ = reply.send_informational(lines::head(StatusCode::CONTINUE, http::HeaderMap::new()));
    }
    reply.poll_reset(cx).map(|_| None)
}

/// Sends the head of an answer. No async function: nothing of this stays in the future of the stream.
fn begin(
    mut answer: Response,
    mut walk: Box<Walk>,
    mut reply: SendResponse<Piece>,
    upload: &Rc<Upload>,
    was_head: bool,
    mut guard: Guard,
) -> Rest {
    if let Some(connecting) = upload.connecting.take() {
        answer = match connect::outcome(&mut walk, answer) {
            Ok(switched) => return Rest::Tunnel(Box::pin(switched.serve(walk, reply, *connecting, guard))),
            Err(other) => *other,
        };
    }
    let Response { status, headers, body } = answer;
    let head = head_of(status, lines::lines(&headers), &body);
    let body = if was_head { Body::Empty } else { body };
    let ends = body.is_empty();
    match reply.send_response(head, ends) {
        Ok(_) if ends => {
            // Neither the record nor the end of the connection waits for what follows.
            walk.complete();
            guard.complete();
            Rest::Nothing(reply)
        }
        Ok(stream) => {
            let (left, upload) = (body.length(), Rc::clone(upload));
            let answer = Answer { body, stream, rest: Bytes::new(), left, ended: false, walk, upload, guard };
            Rest::Content(Box::new(answer), reply)
        }
        Err(error) => {
            // Only a stream that its client has left makes this the client's.
            let mut cx = Context::from_waker(Waker::noop());
            if reply.poll_reset(&mut cx).is_pending() {
                walk.broke(&Error::new(ErrorKind::Internal).reason("head").source(error));
                guard.complete();
            }
            reply.send_reset(Reason::INTERNAL_ERROR);
            Rest::Broken
        }
    }
}

fn head_of(status: StatusCode, lines: http::HeaderMap, body: &Body) -> http::Response<()> {
    let mut head = lines::head(status, lines);
    if let (false, Some(length @ 1..)) = (head.headers().contains_key(CONTENT_LENGTH), body.length()) {
        head.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_stream_takes_little_memory_while_its_answer_waits() {
        let task = size(|walk, reply: SendResponse<Piece>, upload: Rc<Upload>, was_head: bool, guard| {
            let progress = Rc::default();
            until_stalled(serve(walk, reply, upload, was_head, guard), progress, Duration::ZERO)
        });
        assert!(task <= 700, "{task} bytes");
    }
}
