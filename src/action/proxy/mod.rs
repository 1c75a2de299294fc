//! Forwards a request to a service and its answer back, body by body.
//!
//! `run.rs` is the call; `request.rs` builds the outgoing head, `response.rs` hides the inside of the house in the
//! answer, with `public.rs` for what points there. `connection.rs` has what a request says of its connection,
//! `interim.rs` passes interim answers on.

mod connection;
mod interim;
pub mod public;
mod request;
mod response;
mod run;

pub(super) use response::public_cookie;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Rewrites;
use crate::exchange::Name;
use crate::expression::Template;
use crate::upstream::Upstream;

/// Which Host the service sees.
#[derive(Debug)]
pub enum HostRule {
    /// The upstream's own name.
    Upstream,
    /// What the client asked for.
    Client,
    /// This one.
    Literal(Box<str>),
}

/// What becomes of the path.
pub enum Rewrite {
    /// Replaces what stands before the part that `*` matched.
    Prefix(Template),
    /// Is the whole new path, with its own query if it has one.
    Whole(Template),
}

/// Forwards to one upstream.
pub struct Proxy {
    /// The upstream's number in the snapshot.
    pub number: u32,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Which Host it sees.
    pub host: HostRule,
    /// What becomes of the path, if anything.
    pub rewrite: Option<Rewrite>,
    /// What of an answer is rewritten where it names the service.
    pub rewrites: Rewrites,
    /// Whether an encoded slash passes.
    pub path_rules: crate::exchange::target::PathRules,
    /// The trailer fields of requests that pass, in lower case; in calls of gRPC all pass.
    pub trailers: Option<Arc<[Name]>>,
    /// The route's own timeout, where it lifts the upstream's default.
    pub lifted: Option<Duration>,
}
