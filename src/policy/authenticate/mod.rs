//! Who is it: policies that verify a credential and write the exchange's identity.
//!
//! Each authenticator has its own folder; what it tells the upstream is decided in one place, `identity.rs`.

pub mod identity;
pub mod jwt;
mod read;

pub use identity::IdentityMap;
pub use read::{KIND, declare, schema};
