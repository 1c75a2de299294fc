//! TLS on a connection of the system's network (RFC 8446, RFC 5246), for both of its ends.
//!
//! Start with `session.rs`: it drives the engine, rustls, over a socket, and keeps what a [`super::Stream`] promises.
//! `handshake.rs` makes a session of a socket, `error.rs` says why it could not.

pub mod error;
pub(super) mod handshake;
pub(super) mod session;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use error::HandshakeError;

/// Where all cryptography comes from (`docs/decisions/0024`).
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
