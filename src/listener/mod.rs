//! Sockets in: binds, accepts, and hands every connection to the protocol that its first bytes speak.
//!
//! Start with `accept.rs`. A listener judges nothing itself: a codec reads the head, the pipeline does the rest.

pub mod accept;
pub mod bind;
mod body;
pub mod connections;
pub mod handoff;
mod http1;
mod http2;
mod linger;
mod pace;
pub mod ports;
mod pump;
pub mod secure;
mod streams;
mod switched;
mod waits;
mod wire;
