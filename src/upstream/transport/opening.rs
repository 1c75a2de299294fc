//! How a connection to an endpoint is opened.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::AnswerLimits;
use crate::exchange::CoreId;
use crate::net::Network;
use crate::net::Stream;
use crate::net::network::open;
use crate::net::tls::client::{Protocol, Secure};

/// What it takes to open a connection to an endpoint.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// What the endpoint is reached by.
    pub network: &'a Network,
    /// Its address.
    pub address: SocketAddr,
    /// How TLS is spoken there, if it is.
    pub secure: Option<&'a Secure>,
    /// How long the connection may be used again and again, where that has an end.
    pub lifetime: Option<Duration>,
    /// The core that opens it.
    pub core: CoreId,
    /// How large the heads of responses may be.
    pub limits: AnswerLimits,
    /// Whether it is for a request that offers other protocols, which HTTP/1.1 alone carries.
    pub upgrades: bool,
    /// Whether it is to be one that the service cannot have closed while it was at rest.
    pub proven: bool,
    /// When it is given up. Who waits for a place on what is there, and not for the service, says so just before.
    pub end: Instant,
}

impl Opening<'_> {
    /// Opens it, for a protocol.
    ///
    /// # Errors
    /// The system's own, or why the TLS handshake came to nothing.
    pub(super) async fn open(&self, protocol: Protocol) -> io::Result<Stream> {
        open(self.network, self.address, self.secure, protocol).await
    }
}
