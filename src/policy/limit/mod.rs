//! Limits on how often a client may ask. Start with [`RateLimit`].

pub mod headers;
pub mod key;
pub mod rate_limit;
mod read;

pub use headers::HeaderStyle;
pub use key::{ClientIp, Key, KeyOutcome};
pub use rate_limit::RateLimit;
pub use read::{KIND, declare, schema};
