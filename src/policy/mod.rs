//! Policies: what guards or changes an exchange on its way in and out.
//!
//! Start with [`Policy`]; `chain.rs` runs a rule's policies in the order of their [`Phase`]; `kinds.rs` is the list of
//! all kinds. A policy is built once, when a configuration is compiled, and shared by every core.

pub mod authenticate;
pub mod authorize;
pub mod cache;
pub mod chain;
pub mod guard;
pub mod kinds;
pub mod limit;
#[cfg(test)]
mod testing;
pub mod transform;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::cache::Cache;
use crate::config::Field;
use crate::exchange::{Error, Exchange, Name, Response};
use crate::expression::Scope;
use crate::store::Counters;
use crate::telemetry::metrics::Metrics;

/// A future that stays on its core.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a policy decides.
pub enum Step<'a> {
    /// Go on.
    Continue,
    /// Answer in place of the action.
    Respond(Response),
    /// Refuse.
    Fail(Error),
    /// The decision has to be waited for; only this form costs an allocation.
    Wait(LocalBoxFuture<'a, Result<Option<Response>, Error>>),
}

/// Where in the fixed order a policy stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Which web origins may ask; what it adds stands on every answer, so it comes before all that may refuse.
    Cors,
    /// Limits that need no identity, so that a flood of bad credentials is limited too.
    LimitBefore,
    /// Who is it.
    Authenticate,
    /// May they.
    Authorize,
    /// Limits that need the identity.
    LimitAfter,
    /// Answers that are given again: what is kept is what the client gets, shaped.
    Cache,
    /// What the answer looks like: nearest to the action, so the first to see what it gives.
    Shape,
}

/// What guards or changes an exchange.
pub trait Policy: Any + Send + Sync {
    /// Its place in the order.
    fn phase(&self) -> Phase;

    /// The name of its kind, as written in `policies`.
    fn kind(&self) -> &'static str;

    /// Whether it judges by who the client is, which nobody knows without `auth`.
    fn reads_identity(&self) -> bool {
        false
    }

    /// Looks at the request on its way in.
    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let _ = exchange;
        Step::Continue
    }

    /// Whether the action has to be run once more, since its answer is of no use; the policy has changed the request then.
    /// Asked of every policy of an exchange that noted something in `cached`, before the answer goes out.
    fn asks_anew(&self, exchange: &mut Exchange, answer: &Response) -> bool {
        let _ = (exchange, answer);
        false
    }

    /// Looks at the answer on its way out; runs for every policy that was entered, also when the answer is an error.
    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        let _ = (exchange, answer);
        Step::Continue
    }

    /// The client has left before there was an answer.
    fn on_abandon(&self, exchange: &mut Exchange) {
        let _ = exchange;
    }
}

/// What building a policy needs.
pub struct Env<'a> {
    /// The names that expressions may use.
    pub scope: &'a Scope,
    /// What is declared and used by name.
    pub named: &'a dyn Declared,
    /// Where limits count.
    pub counters: &'a dyn Counters,
    /// Whether the configuration names a Redis.
    pub redis: bool,
    /// The numbers of limits.
    pub metrics: &'a Metrics,
    /// The store of answers.
    pub cache: &'a Arc<Cache>,
    /// A name for a policy that is written in place: of the place, which no name in the configuration can be.
    pub place: &'a Name,
}

/// Policies that were declared under names.
pub trait Declared {
    /// The policy of a kind under a name; a dangling name has been reported already.
    fn find(&self, kind: &'static str, name: &str) -> Option<Arc<dyn Policy>>;
}

/// Reads the body of a policy and builds it.
pub type Build = for<'f, 'e> fn(Field<'f>, &Env<'e>) -> Option<Arc<dyn Policy>>;
