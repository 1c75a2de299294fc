//! An endpoint that speaks HTTP/2 or HTTP/1.1, as each connection agrees on (ALPN, RFC 7301).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::exchange::CoreId;
use crate::net::Stream;
use crate::net::tls::client::Protocol;
use crate::runtime::clock;

use super::http1::{self, Http1};
use super::http2::{self, Http2, Reached};
use super::opening::Opening;

/// The idle connections and the sessions of such an endpoint.
pub struct Either {
    pub(super) http1: Http1,
    pub(super) http2: Http2,
    /// Whether the last connection has agreed on HTTP/1.1: then no connection is waited for that another call opens.
    speaks_http1: AtomicBool,
}

/// A connection of either kind.
pub(super) enum Lent<'t> {
    Http1(http1::Lease<'t>),
    Http2(http2::Lease),
}

impl Either {
    pub(super) fn new(cores: usize) -> Either {
        Either {
            http1: Http1::new(cores),
            http2: Http2::new(true, cores),
            speaks_http1: AtomicBool::new(false),
        }
    }

    pub(super) fn idle(&self, core: CoreId, now: Instant) -> Option<Lent<'_>> {
        let http1 = || self.http1.idle(core, now).map(Lent::Http1);
        if self.speaks_http1.load(Ordering::Relaxed) {
            return http1();
        }
        self.http2.idle(core, now).map(Lent::Http2).or_else(http1)
    }

    pub(super) async fn connect(&self, opening: &Opening<'_>) -> io::Result<Lent<'_>> {
        if opening.upgrades {
            let stream = opening.open(Protocol::Http1).await?;
            return Ok(self.over(stream, opening));
        }
        let reached = if self.speaks_http1.load(Ordering::Relaxed) {
            let stream = opening.open(Protocol::Any).await?;
            self.http2.over(stream, opening, Protocol::Any).await?
        } else {
            self.http2.connect(opening, Protocol::Any).await?
        };
        let speaks_http1 = matches!(reached, Reached::Http1(_));
        if self.speaks_http1.load(Ordering::Relaxed) != speaks_http1 {
            self.speaks_http1.store(speaks_http1, Ordering::Relaxed);
        }
        Ok(match reached {
            Reached::Lease(lease) => Lent::Http2(lease),
            Reached::Http1(stream) => self.over(stream, opening),
        })
    }

    fn over(&self, stream: Stream, opening: &Opening<'_>) -> Lent<'_> {
        let expires = opening.lifetime.map(|lifetime| clock::now() + lifetime);
        Lent::Http1(self.http1.over(stream, opening.address, expires, opening.core))
    }
}
