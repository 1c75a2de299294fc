//! What bounds the calls of an upstream: the circuit breaker, the concurrency limit, and the latencies they go by.

pub mod breaker;
pub mod concurrency;
pub mod hedge;
pub mod latency;
