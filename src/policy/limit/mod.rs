//! Limits on how often a client may ask. Start with [`Limits`], the policy; [`RateLimit`] is one of the limits in it.

pub mod clash;
pub mod headers;
pub mod key;
mod partition;
pub mod plan;
pub mod rate_limit;
mod read;
mod words;

pub use clash::{Clash, clash};
pub use headers::{Conflict, HeaderStyle};
pub use key::ClientIp;
pub use plan::{Limits, combine};
pub use rate_limit::RateLimit;
pub use read::{KIND, declare, schema};
