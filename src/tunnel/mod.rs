//! Tunnels: what passes between a client and a service that have left HTTP.
//!
//! Start with [`Relay`], which moves bytes both ways until the tunnel has ended. `lane.rs` is one direction, at the pace of
//! the slower side; `frames.rs` follows the frames of WebSocket, so that something can be said between two of them.

pub mod frames;
mod lane;
pub mod relay;

pub use relay::{Bounds, Moment, Relay};
