//! HTTP/1.1 towards an endpoint: one request and one response at a time on a connection (RFC 9112).
//!
//! `head.rs` sends the request and waits for the head of the response, `body.rs` reads what did not come with it,
//! `lease.rs` gives the connection back, `switched.rs` is one that has left HTTP.

mod body;
mod head;
mod lease;
mod switched;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use crate::exchange::{Body, CoreId, Error, Interims, Request, Response};
use crate::http1::{Framing, encode};
use crate::net::Stream;
use crate::runtime::clock;

use super::connection::{Connection, Size};
use super::exchange::{Exchanged, Waits};
use super::pool::Pool;
use super::upload::Upload;
use body::AnswerBody;
use head::Exchanging;
use lease::{Connections, Lent};

/// The idle connections of an endpoint that speaks HTTP/1.1.
pub struct Http1 {
    pool: Arc<Connections>,
}

/// A connection that is lent for one exchange.
pub struct Lease<'t> {
    lent: Lent<&'t Arc<Connections>>,
    peer: SocketAddr,
    reused: bool,
}

impl Http1 {
    pub(super) fn new(cores: usize) -> Http1 {
        Http1 { pool: Pool::new(cores) }
    }

    // In place, for every call: handing a lease over costs more than finding it.
    #[inline(always)]
    pub(super) fn idle(&self, core: CoreId, now: Instant) -> Option<Lease<'_>> {
        let connection = self.pool.take(core, now)?;
        Some(Lease::new(connection, &self.pool, core, true))
    }

    pub(super) fn over(
        &self,
        stream: Stream,
        peer: SocketAddr,
        expires: Option<Instant>,
        core: CoreId,
    ) -> Lease<'_> {
        Lease::new(Box::new(Connection::new(stream, peer, expires)), &self.pool, core, false)
    }

    pub(super) fn sweep(&self, core: CoreId, now: Instant) {
        self.pool.sweep(core, now);
    }
}

impl<'t> Lease<'t> {
    fn new(connection: Box<Connection>, pool: &'t Arc<Connections>, core: CoreId, reused: bool) -> Lease<'t> {
        Lease { peer: connection.peer(), lent: Lent::new(connection, pool, core), reused }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) async fn exchange(
        self,
        request: &Request,
        upload: &mut Upload,
        waits: Waits,
        interims: Option<&dyn Interims>,
    ) -> Result<Exchanged, Error> {
        let mut lent = self.lent;
        let Some(connection) = lent.connection() else { return Err(head::broken().into()) };
        connection.out.clear();
        encode::request_head(
            connection.out.small(),
            &request.method,
            request.target.as_str(),
            &request.headers,
            upload.framing(),
        );
        let mut exchanging = Exchanging::new(connection, upload, waits, (request, interims));
        let head = poll_fn(|cx| exchanging.poll_head(cx)).await?;
        let now = clock::now();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return switched::exchanged(lent.take(), head).ok_or_else(|| head::broken().into());
        }
        let (client_stalled, uploaded) = (upload.holds_up(now, waits), upload.moved());
        let whole = match head.framing {
            Framing::None => Some(0),
            Framing::Length(length) if length <= connection.read.len() as u64 => Some(length as usize),
            _ => None,
        };
        connection.last = match head.framing {
            Framing::None => Size::Small,
            Framing::Length(length) => Size::of(length),
            Framing::Chunked | Framing::UntilClose => connection.last,
        };
        let reusable = head.keep_alive && !waits.upgrades;
        let mut response = Response { status: head.status, headers: head.headers, body: Body::Empty };
        // A piece of the request that still waits to be written belongs to this connection: without it the service
        // would read the next request as the rest of this one.
        let is_sent = upload.is_done() && connection.out.is_empty();
        match whole {
            Some(length) if is_sent => {
                if length > 0 {
                    response.body = Body::Bytes(connection.read.split_to(length).freeze());
                }
                if reusable && connection.read.is_empty() {
                    lent.settle(now);
                }
            }
            _ => {
                // What is left of the request goes on while the response is read, and cannot be sent again.
                let upload = if is_sent {
                    // The response may wait for its client for long.
                    connection.out.release();
                    Upload::finished()
                } else {
                    std::mem::replace(upload, Upload::gone())
                };
                let ends = (head.framing, reusable);
                let body = AnswerBody::new(lent.shared(), ends, upload, waits, now);
                response.body = Body::Stream(Box::new(body));
            }
        }
        Ok(Exchanged { response, uploaded, client_stalled })
    }
}

#[cfg(test)]
mod tests;
