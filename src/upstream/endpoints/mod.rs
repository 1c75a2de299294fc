//! The endpoints of an upstream: what is known of each, which of them gets the next attempt, and which are ejected.

pub mod balance;
pub mod endpoint;
mod handles;
pub mod outlier;
mod refusals;
pub mod set;

pub(in crate::upstream) use endpoint::{Active, Endpoint};
