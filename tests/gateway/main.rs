//! The gateway as its users meet it: the real binary on real sockets, scripted upstreams behind it, raw bytes in
//! front of it. One file per feature; [`support`] holds what they share.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![allow(clippy::print_stderr, reason = "a failed test shows what the gateway said")]

mod admin;
mod aggregate;
mod aggregate_bodies;
mod aggregate_cache;
mod aggregate_checks;
mod aggregate_edges;
mod aggregate_graph;
mod aggregate_json;
mod aggregate_leave;
mod aggregate_order;
mod aggregate_table;
mod aggregate_told;
mod authorize;
mod cache;
mod cache_keys;
mod cache_stale;
mod cli;
mod clients;
mod connections;
mod cors;
mod edge;
mod explain;
mod finding;
mod frontends;
mod h2;
mod h2_stall;
mod headers;
mod hosts;
mod jwt;
mod limit;
mod limit_words;
mod log;
mod overload;
mod process;
mod redis;
mod redis_away;
mod reload;
mod resilience_breaker;
mod resilience_budget;
mod resilience_gate;
mod resilience_kept;
mod resilience_retry;
mod resilience_set;
mod resilience_time;
mod review_aggregates;
mod routing;
mod shape_model;
mod shape_table;
mod shutdown;
mod support;
mod upstream;
mod wire;
