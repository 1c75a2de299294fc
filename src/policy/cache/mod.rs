//! The policy `cache`: answers that are given again without asking the service.
//!
//! [`Cached`] is the policy. `visit.rs` is what it remembers of a request until the answer comes; `key.rs` says which
//! requests have one answer, `request.rs` looks for it, `judge.rs` says what may be kept and for how long (RFC 9111
//! section 3), `response.rs` keeps it, `freshen.rs` renews it (section 4.3.4), `tee.rs` copies a body on its way, `serve.rs`
//! gives what is kept. The rules stand in `docs/caching.md`, whose tables the tests play.

mod freshen;
mod judge;
mod key;
mod read;
mod request;
mod response;
mod serve;
mod tee;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::exchange::{Exchange, Response};
use crate::expression::Expression;

use super::{Phase, Policy, Step};

pub use read::KIND;

/// What a [`Cached`] is made of.
pub struct Settings {
    /// The store.
    pub cache: Arc<Cache>,
    /// For how long an answer is fresh that says nothing of it; without it such answers are not kept.
    pub ttl: Option<Duration>,
    /// What tells requests apart, in place of host, path and query.
    pub key: Option<Expression>,
    /// Whether a `HEAD` is answered too.
    pub head: bool,
    /// For how long a stale answer stands in for an error of the service, where the answer does not say itself.
    pub stale_if_error: Duration,
    /// For how long a stale answer is given while somebody else fetches a new one, where the answer does not say itself.
    pub stale_while_revalidate: Duration,
    /// Whether clients share answers whoever they are.
    pub shared: bool,
}

/// Keeps answers and gives them again.
pub struct Cached {
    settings: Settings,
    /// Whether the configured key tells cookies apart.
    key_has_cookies: bool,
}

impl Policy for Cached {
    fn phase(&self) -> Phase {
        Phase::Cache
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn reads_identity(&self) -> bool {
        self.settings.key.as_ref().is_some_and(Expression::needs_identity)
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.look(exchange)
    }

    fn asks_anew(&self, exchange: &mut Exchange, answer: &Response) -> bool {
        self.ask_anew(exchange, answer)
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        self.settle(exchange, answer);
        Step::Continue
    }
}

#[cfg(test)]
mod tests;
