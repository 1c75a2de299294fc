//! TLS on a connection of the system's network (RFC 8446, RFC 5246), for both of its ends.
//!
//! Start with `session.rs`: it drives the engine, rustls, over a socket, and keeps what a [`super::Stream`] promises.
//! `handshake.rs` makes a session of a socket, `error.rs` says why it could not. What a server shows is read in
//! `certificate.rs` and compiled in `serving.rs`. `client.rs` holds what services are spoken to with, `failure.rs` says
//! in words why one could not be.

pub mod certificate;
pub mod client;
pub mod error;
mod failure;
pub(super) mod handshake;
pub mod serving;
pub(super) mod session;
mod socket;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use certificate::{BadPair, Pair, Part};
pub use error::HandshakeError;
pub use serving::{ClientTerms, Serving, Terms, Tickets};

/// Where all cryptography comes from (`docs/decisions/0024`). Not for the path: at its first use the library collects
/// entropy, which takes a tenth of a second and no other thread notices. It does so here, while a configuration is
/// compiled, and not in the first handshake, which would hold up everything else on its core.
pub fn provider() -> Arc<CryptoProvider> {
    let provider = aws_lc_rs::default_provider();
    // A failure shows again where numbers are needed.
    let _ = provider.secure_random.fill(&mut [0; 32]);
    Arc::new(provider)
}

#[cfg(test)]
mod tests;
