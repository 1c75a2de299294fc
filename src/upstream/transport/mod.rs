//! How a request reaches an endpoint and its response comes back: one folder for each protocol.
//!
//! A [`Transport`] belongs to an endpoint. It lends a [`Lease`] for one exchange: an idle connection, or a new one. The
//! lease returns itself when the exchange is over and the connection can be used again; callers know neither
//! connections nor pools. A further protocol is one more variant of both.

pub(super) mod address;
pub mod connection;
pub mod exchange;
pub mod http1;
pub mod pool;
pub mod upload;

use std::net::SocketAddr;
use std::time::Instant;

use crate::exchange::{CoreId, Error, Interims, Request};
use crate::net::Stream;

pub use exchange::{Exchanged, Waits};

use http1::Http1;
use upload::Upload;

/// The protocol that an endpoint speaks, with its idle connections.
pub enum Transport {
    /// HTTP/1.1 (RFC 9112).
    Http1(Http1),
}

/// A connection that is lent for one exchange.
pub enum Lease<'t> {
    /// One of HTTP/1.1.
    Http1(http1::Lease<'t>),
}

impl Transport {
    /// HTTP/1.1, for so many cores.
    pub fn http1(cores: usize) -> Transport {
        Transport::Http1(Http1::new(cores))
    }

    /// A connection that is at rest on this core.
    pub fn idle(&self, core: CoreId, now: Instant) -> Option<Lease<'_>> {
        match self {
            Transport::Http1(http1) => http1.idle(core, now).map(Lease::Http1),
        }
    }

    /// A new connection over a socket, to be used no longer than until `expires`.
    pub fn over(
        &self,
        stream: Stream,
        peer: SocketAddr,
        expires: Option<Instant>,
        core: CoreId,
    ) -> Lease<'_> {
        match self {
            Transport::Http1(http1) => Lease::Http1(http1.over(stream, peer, expires, core)),
        }
    }

    /// Closes the idle connections of a core that cannot be used any more.
    pub fn sweep(&self, core: CoreId, now: Instant) {
        match self {
            Transport::Http1(http1) => http1.sweep(core, now),
        }
    }
}

impl Lease<'_> {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        match self {
            Lease::Http1(lease) => lease.peer(),
        }
    }

    /// Whether it has carried an exchange before: the service may have closed it in this moment.
    pub fn is_reused(&self) -> bool {
        match self {
            Lease::Http1(lease) => lease.is_reused(),
        }
    }

    /// Sends a request and waits for the head of the response. The connection goes back by itself. Interim answers but 100
    /// go where `interims` says.
    ///
    /// # Errors
    /// An error with its [`Failure`](crate::exchange::Failure).
    pub async fn exchange(
        self,
        request: &Request,
        upload: &mut Upload,
        waits: Waits,
        interims: Option<&dyn Interims>,
    ) -> Result<Exchanged, Error> {
        match self {
            Lease::Http1(lease) => lease.exchange(request, upload, waits, interims).await,
        }
    }
}
