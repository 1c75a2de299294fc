//! The endpoints of an upstream: what is known of each, which of them gets the next attempt, and which are ejected.

pub mod balance;
pub mod endpoint;
mod handles;
pub mod liveness;
pub mod outlier;
pub mod reach;
pub mod set;

pub(in crate::upstream) use endpoint::Endpoint;
