//! Why a handshake came to nothing.

use std::fmt;
use std::io;

use rustls::Error;

/// Why a handshake came to nothing.
#[derive(Debug)]
pub enum HandshakeError {
    /// The other end closed or reset the connection before it was over, or nobody takes it any more.
    Left,
    /// What it sent is no TLS.
    NotTls,
    /// TLS failed on this end or on the other.
    Tls(Error),
    /// The socket's own.
    Socket(io::Error),
}

impl HandshakeError {
    /// What it is, in one word, for those who count.
    pub fn kind(&self) -> &'static str {
        match self {
            HandshakeError::Left => "left",
            HandshakeError::NotTls => "not_tls",
            HandshakeError::Socket(_) => "socket",
            // The other end says that something does not suit it: mostly the certificate.
            HandshakeError::Tls(Error::AlertReceived(_)) => "alert",
            HandshakeError::Tls(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => "no_agreement",
            HandshakeError::Tls(
                Error::InvalidCertificate(_)
                | Error::NoCertificatesPresented
                | Error::InvalidCertRevocationList(_),
            ) => "certificate",
            HandshakeError::Tls(_) => "protocol",
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> HandshakeError {
        HandshakeError::Tls(error)
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => HandshakeError::Left,
            _ => HandshakeError::Socket(error),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Left => f.write_str("the other end closed the connection"),
            HandshakeError::NotTls => f.write_str("the other end does not speak TLS"),
            HandshakeError::Tls(error) => error.fmt(f),
            HandshakeError::Socket(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {}
