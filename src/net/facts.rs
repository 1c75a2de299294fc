//! What is known of a connection before its first request.

use std::net::SocketAddr;
use std::sync::Arc;

use super::tls::serving::Terms;

/// The facts of one connection; they stay the same as long as it is open.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The address of the other end.
    pub peer: SocketAddr,
    /// The address of this end, where the system gives one.
    pub local: Option<SocketAddr>,
    /// What its handshake agreed on; nothing on a connection without TLS.
    pub tls: Option<Box<TlsFacts>>,
}

/// The facts of a TLS handshake.
#[derive(Clone, Default, Debug)]
pub struct TlsFacts {
    /// The name that the client asked for (SNI, RFC 6066 section 3), in lower case.
    pub server_name: Option<Box<str>>,
    /// Whether it agreed on TLS 1.3, and not on an older version.
    pub is_13: bool,
    /// The protocol that both ends chose (ALPN, RFC 7301).
    pub alpn: Option<Box<[u8]>>,
    /// The client's own certificate in DER, where it was asked for and verified.
    pub certificate: Option<Box<[u8]>>,
    /// The terms of the listener that the handshake was made for.
    pub terms: Option<Arc<Terms>>,
}

impl Facts {
    /// The facts of a connection without TLS, from an address.
    pub fn plain(peer: SocketAddr) -> Facts {
        Facts { peer, local: None, tls: None }
    }
}
