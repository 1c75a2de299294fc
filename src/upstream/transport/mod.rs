//! How a request reaches an endpoint and its response comes back: one folder for each protocol.
//!
//! A [`Transport`] belongs to an endpoint. It lends a [`Lease`] for one exchange: an idle connection, or a new one. The
//! lease returns itself when the exchange is over and the connection can be used again; callers know neither
//! connections nor pools. A further protocol is one more variant of both.

pub(super) mod address;
pub mod connection;
pub mod either;
pub mod exchange;
pub mod http1;
pub mod http2;
mod late;
pub mod opening;
pub mod pool;
pub mod upload;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

use crate::config::HttpVersion;
use crate::exchange::{CoreId, Error, Interims, Request};
use crate::net::tls::client::Protocol;
use crate::runtime::clock;

pub use exchange::{Exchanged, Waits};
pub use opening::Opening;

use either::{Either, Lent};
use http1::Http1;
use http2::{Http2, Reached};
use upload::Upload;

/// The protocol that an endpoint speaks, with its idle connections.
pub enum Transport {
    /// HTTP/1.1 (RFC 9112).
    Http1(Http1),
    /// HTTP/2 (RFC 9113).
    Http2(Http2),
    /// HTTP/2 or HTTP/1.1, as each connection agrees on.
    Either(Box<Either>),
}

/// A connection that is lent for one exchange.
pub enum Lease<'t> {
    /// One of HTTP/1.1.
    Http1(http1::Lease<'t>),
    /// A place on one of HTTP/2. Boxed: exchanges over HTTP/1.1 do not carry its size.
    Http2(Box<http2::Lease>),
}

/// A lease that is to be had once its connection is there. It has no deadline of its own.
pub type Leasing<'t> = Pin<Box<dyn Future<Output = io::Result<Lease<'t>>> + 't>>;

impl Transport {
    /// What is spoken to an endpoint, for so many cores.
    pub fn new(version: HttpVersion, is_secure: bool, cores: usize) -> Transport {
        match version {
            HttpVersion::Auto if is_secure => Transport::Either(Box::new(Either::new(cores))),
            HttpVersion::Auto | HttpVersion::Http1 => Transport::Http1(Http1::new(cores)),
            HttpVersion::Http2 => Transport::Http2(Http2::new(is_secure, cores)),
        }
    }

    /// A connection of this core that can carry an exchange.
    pub fn idle(&self, core: CoreId, now: Instant) -> Option<Lease<'_>> {
        match self {
            Transport::Http1(http1) => http1.idle(core, now).map(Lease::Http1),
            Transport::Http2(http2) => http2.idle(core, now).map(|lease| Lease::Http2(Box::new(lease))),
            Transport::Either(either) => either.idle(core, now).map(Lease::from),
        }
    }

    /// Opens a connection, or finds a place on one that others have opened meanwhile.
    pub fn connect<'t>(&'t self, opening: Opening<'t>) -> Leasing<'t> {
        match self {
            Transport::Http1(http1) => Box::pin(async move {
                let stream = opening.open(Protocol::Http1).await?;
                let expires = opening.lifetime.map(|lifetime| clock::now() + lifetime);
                Ok(Lease::Http1(http1.over(stream, opening.address, expires, opening.core)))
            }),
            Transport::Http2(http2) => Box::pin(async move {
                match http2.connect(&opening, Protocol::Http2).await? {
                    Reached::Lease(lease) => Ok(Lease::Http2(Box::new(lease))),
                    Reached::Http1(_) => Err(io::ErrorKind::Unsupported.into()),
                }
            }),
            Transport::Either(either) => {
                Box::pin(async move { either.connect(&opening).await.map(Lease::from) })
            }
        }
    }

    /// How many sessions of HTTP/2 there are, and how many streams are open on them; `None` where it is not spoken.
    pub fn sessions(&self) -> Option<(usize, usize)> {
        match self {
            Transport::Http1(_) => None,
            Transport::Http2(http2) => Some(http2.count()),
            Transport::Either(either) => Some(either.http2.count()),
        }
    }

    /// Closes the idle connections of a core that cannot be used any more.
    pub fn sweep(&self, core: CoreId, now: Instant) {
        match self {
            Transport::Http1(http1) => http1.sweep(core, now),
            Transport::Either(either) => either.http1.sweep(core, now),
            // A session sees to itself.
            Transport::Http2(_) => {}
        }
    }
}

impl<'t> From<Lent<'t>> for Lease<'t> {
    fn from(lent: Lent<'t>) -> Lease<'t> {
        match lent {
            Lent::Http1(lease) => Lease::Http1(lease),
            Lent::Http2(lease) => Lease::Http2(Box::new(lease)),
        }
    }
}

impl Lease<'_> {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        match self {
            Lease::Http1(lease) => lease.peer(),
            Lease::Http2(lease) => lease.peer(),
        }
    }

    /// Whether it has carried an exchange before: the service may have closed it in this moment.
    pub fn is_reused(&self) -> bool {
        match self {
            Lease::Http1(lease) => lease.is_reused(),
            Lease::Http2(lease) => lease.is_reused(),
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
            Lease::Http2(lease) => Box::pin(lease.exchange(request, upload, waits, interims)).await,
        }
    }
}
