//! HTTP/1.1 towards an endpoint: one request, one answer, and the connection back on its shelf (RFC 9112).

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use http::{Method, StatusCode};

use super::pool::Pools;
use crate::exchange::{Body, BodyStream, CoreId, Error, ErrorKind, Frame, Headers, Request, Response};
use crate::http1::{Decoder, Framing, HeadLimits, Piece, ResponseHead, encode, parse_response};
use crate::runtime::clock;

use super::connection::{Connection, SMALL_READ};
use super::upload::{Broken, Upload};

/// Heads of answers are larger than those of requests (many cookies), yet bounded.
const HEAD: HeadLimits = HeadLimits { head: 64 * 1024, headers: 256, target: 0 };

/// Interim answers before the final one, at most: they must not keep a call alive for ever.
const MAX_INTERIM: u32 = 16;

/// What one attempt may wait for.
#[derive(Clone, Copy)]
pub(in crate::upstream) struct Waits {
    pub(in crate::upstream) deadline: Instant,
    pub(in crate::upstream) response: Duration,
    pub(in crate::upstream) idle: Duration,
    pub(in crate::upstream) started: Instant,
}

/// An attempt that failed, and how much of it can have been seen by the service.
pub(in crate::upstream) struct Failure {
    pub(in crate::upstream) error: Error,
    /// Not one byte of an answer came, and the connection was closed rather than slow.
    pub(in crate::upstream) nothing_came: bool,
    /// Not one byte of the request left.
    pub(in crate::upstream) nothing_sent: bool,
}

/// Sends the request and waits for the head of the answer.
pub(in crate::upstream) async fn round_trip(
    mut connection: Box<Connection>,
    request: &Request,
    upload: &mut Upload,
    waits: Waits,
    pools: &Arc<Pools>,
    core: CoreId,
) -> Result<Response, Failure> {
    connection.out.clear();
    let framing = upload.framing();
    encode::request_head(
        connection.out.small(),
        &request.method,
        request.target.as_str(),
        &request.headers,
        framing,
    );
    let was_head = request.method == Method::HEAD;
    let mut attempt =
        Attempt { connection: &mut connection, upload, waits, was_head, broken: None, interim: 0 };
    let head = poll_fn(|cx| attempt.poll_head(cx)).await?;
    let whole = match head.framing {
        Framing::None => Some(0),
        Framing::Length(length) if length <= connection.read.len() as u64 => Some(length as usize),
        _ => None,
    };
    connection.large = match head.framing {
        Framing::None => false,
        Framing::Length(length) => length > SMALL_READ as u64,
        Framing::Chunked | Framing::UntilClose => connection.large,
    };
    let mut response = Response { status: head.status, headers: head.headers, body: Body::Empty };
    match whole {
        // A piece of the request that still waits to be written belongs to this connection: without it the service
        // would read the next request as the rest of this one.
        Some(length) if upload.is_done() && connection.out.is_empty() => {
            if length > 0 {
                response.body = Body::Bytes(connection.read.split_to(length).freeze());
            }
            if head.keep_alive && connection.read.is_empty() {
                pools.put(core, connection, waits.started);
            }
        }
        _ => {
            // What is left of the request goes on beside the answer, and is then nobody's to send again.
            let under_way = !(upload.is_done() && connection.out.is_empty());
            let upload =
                if under_way { std::mem::replace(upload, Upload::gone()) } else { Upload::finished() };
            response.body = Body::Stream(Box::new(AnswerBody {
                decoder: Decoder::new(head.framing),
                connection: Some(connection),
                upload,
                reusable: head.keep_alive,
                idle: waits.idle,
                last: clock::now(),
                pools: Arc::clone(pools),
                core,
            }));
        }
    }
    Ok(response)
}

struct Attempt<'a> {
    connection: &'a mut Connection,
    upload: &'a mut Upload,
    waits: Waits,
    was_head: bool,
    broken: Option<io::Error>,
    interim: u32,
}

impl Attempt<'_> {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        if self.broken.is_none() {
            match self.upload.poll_drive(self.connection, cx) {
                Poll::Ready(Err(Broken::Client(error))) => {
                    return Poll::Ready(Err(Failure { error, nothing_came: false, nothing_sent: false }));
                }
                // A service may answer before it has read everything and close: what it said is still to be read.
                Poll::Ready(Err(Broken::Endpoint(error))) => self.broken = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.connection.poll_read(None, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed(None))),
                Poll::Ready(Ok(_)) => match self.parse() {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(error) => {
                        return Poll::Ready(Err(Failure { error, nothing_came: false, nothing_sent: false }));
                    }
                },
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.closed(Some(error)))),
                Poll::Pending => return self.poll_late(cx),
            }
        }
    }

    /// The final head, if it is there; interim answers are read and dropped (RFC 9110 section 15.2).
    fn parse(&mut self) -> Result<Option<ResponseHead>, Error> {
        loop {
            let parsed = parse_response(&self.connection.read, &HEAD, Headers::new(), self.was_head);
            let head = match parsed {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let what = Error::from(error);
                    let source = what.public_detail().unwrap_or("the answer's head is too large").to_owned();
                    return Err(Error::new(ErrorKind::UpstreamFailure).reason("protocol").source(source));
                }
            };
            self.connection.read.advance(head.len);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                let error = Error::new(ErrorKind::UpstreamFailure).reason("protocol");
                return Err(error.source("the service switched protocols without being asked"));
            }
            if !head.status.is_informational() {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                let error = Error::new(ErrorKind::UpstreamFailure).reason("protocol");
                return Err(error.source("interim answers without end"));
            }
            if self.connection.read.is_empty() {
                return Ok(None);
            }
        }
    }

    fn closed(&mut self, error: Option<io::Error>) -> Failure {
        let nothing_came = self.connection.read.is_empty() && self.interim == 0;
        let source = match (self.broken.take(), error) {
            (Some(error), _) | (None, Some(error)) => error.to_string(),
            (None, None) => "closed before an answer".to_owned(),
        };
        Failure {
            error: Error::new(ErrorKind::UpstreamFailure).reason("reset").source(source),
            nothing_came,
            nothing_sent: self.connection.out.written() == 0,
        }
    }

    /// The waits of this phase: the exchange's deadline rests while an upload moves, and the time for an answer
    /// begins when the request has been sent.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        let started = self.waits.started;
        let moved = self.upload.moved.unwrap_or(started);
        let deadline = self.waits.deadline + moved.saturating_duration_since(started);
        let sent = self.upload.is_done() && self.connection.out.is_empty();
        let own = moved + if sent { self.waits.response } else { self.waits.idle };
        if self.connection.timer.poll(own.min(deadline), cx).is_pending() {
            return Poll::Pending;
        }
        let kind = if own < deadline { ErrorKind::UpstreamTimeout } else { ErrorKind::DeadlineExceeded };
        let error = Error::new(kind).reason(if sent { "response" } else { "upload" });
        Poll::Ready(Err(Failure { error, nothing_came: false, nothing_sent: false }))
    }
}

/// The body of an answer that did not come in one piece with its head.
struct AnswerBody {
    decoder: Decoder,
    connection: Option<Box<Connection>>,
    upload: Upload,
    reusable: bool,
    idle: Duration,
    last: Instant,
    pools: Arc<Pools>,
    core: CoreId,
}

impl AnswerBody {
    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.reusable && self.upload.is_done() && connection.out.is_empty() && connection.read.is_empty() {
            self.pools.put(self.core, connection, self.last);
        }
    }

    fn fail(
        &mut self,
        kind: ErrorKind,
        reason: &'static str,
        source: &str,
    ) -> Poll<Option<Result<Frame, Error>>> {
        self.connection = None;
        Poll::Ready(Some(Err(Error::new(kind).reason(reason).source(source))))
    }
}

impl BodyStream for AnswerBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        if !self.upload.is_done() || !connection.out.is_empty() {
            match self.upload.poll_drive(connection, cx) {
                Poll::Ready(Err(Broken::Client(error))) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Err(Broken::Endpoint(_))) => {
                    self.reusable = false;
                    self.upload = Upload::finished();
                    connection.out.clear();
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.decoder.decode(&mut connection.read) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Ok(Piece::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::Trailers(trailers))));
                }
                Ok(Piece::End) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Ok(Piece::More) => {}
                Err(reason) => return self.fail(ErrorKind::UpstreamFailure, "protocol", reason),
            }
            let expected = self.decoder.length().or(Some(u64::MAX));
            match connection.poll_read(expected, cx) {
                Poll::Ready(Ok(0)) => {
                    return match self.decoder.eof() {
                        Ok(_) => {
                            self.connection = None;
                            Poll::Ready(None)
                        }
                        Err(reason) => self.fail(ErrorKind::UpstreamFailure, "incomplete", reason),
                    };
                }
                Poll::Ready(Ok(_)) => self.last = clock::now(),
                Poll::Ready(Err(error)) => {
                    return self.fail(ErrorKind::UpstreamFailure, "reset", &error.to_string());
                }
                Poll::Pending => {
                    // A service that answers while it reads is busy as long as either side moves.
                    let end = self.upload.moved.map_or(self.last, |moved| moved.max(self.last)) + self.idle;
                    if connection.timer.poll(end, cx).is_pending() {
                        return Poll::Pending;
                    }
                    return self.fail(ErrorKind::UpstreamTimeout, "idle", "no byte of the body in time");
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.length()
    }

    fn ends_surely(&self) -> bool {
        !self.decoder.is_until_close()
    }
}

#[cfg(test)]
mod tests;
