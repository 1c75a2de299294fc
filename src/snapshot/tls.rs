//! How a listener speaks TLS, compiled: what it shows, and whom it serves.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::net::TlsFacts;
use crate::net::tls::{Pair, Terms, Tickets};

/// How a listener speaks TLS.
pub struct ListenerTls {
    /// As the engine takes it.
    pub config: Arc<ServerConfig>,
    /// What its connections are promised and have proven.
    pub terms: Arc<Terms>,
    /// Its certificates, in the order of the configuration.
    pub shown: Vec<Shown>,
    /// The file of the authorities of its clients.
    pub(super) client_ca: Option<PathBuf>,
    /// How clients come back. The next snapshot goes on with them, so that a reload costs no client a handshake.
    pub(super) tickets: Tickets,
}

/// A certificate and where it was read.
pub struct Shown {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// What they hold.
    pub pair: Arc<Pair>,
}

impl ListenerTls {
    /// Whether a request that came in over a TLS connection may be served here. It may not where the handshake was made
    /// for another listener of the address that shows other certificates, knows other clients, or agreed on a version that is
    /// too old here (RFC 9110 section 7.4). A client that has named no host has not been promised one: its certificates do not count.
    pub fn takes(&self, connection: &TlsFacts) -> bool {
        let (mine, Some(theirs)) = (&self.terms, &connection.terms) else { return true };
        mine.listener == theirs.listener
            || (mine.client == theirs.client
                && (connection.is_13 || !mine.only_13)
                && (connection.server_name.is_none() || mine.certificates == theirs.certificates))
    }
}
