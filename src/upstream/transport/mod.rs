//! How a request reaches an endpoint and its answer comes back, one file a protocol.

pub(super) mod address;
pub mod connection;
pub mod http1;
pub mod pool;
pub mod upload;
