//! Actions: what a matched rule does to get its answer.
//!
//! Start with [`Action`]; `proxy` and `aggregate` call upstreams, `redirect` and `respond` answer in place.

pub mod aggregate;
pub mod describe;
mod forward;
mod hops;
pub mod kinds;
pub mod miss;
pub mod proxy;
pub mod redirect;
pub mod respond;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::config::{Field, Target};
use crate::exchange::target::PathRules;
use crate::exchange::{Error, Exchange, Name, Response};
use crate::expression::Scope;
use crate::shaping::Shape;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstream;

use describe::Description;

/// A future that stays on its core.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a matched rule does.
pub trait Action: Send + Sync {
    /// Makes the answer.
    ///
    /// # Errors
    /// Whatever kept it from making one; the pipeline turns the error into a problem.
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>>;

    /// What it is, and what it would do with a request: nothing is called. Not for the way of a request.
    fn describe(&self, exchange: &mut Exchange) -> Description;
}

/// An upstream that an action calls.
pub struct Called {
    /// Its number in the snapshot.
    pub number: u32,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Whether its `response` timeout is written, so that a route's longer `timeout` does not lift it.
    pub response_is_written: bool,
}

/// What building an action needs.
pub struct Env<'a> {
    /// The names that expressions may use.
    pub scope: &'a Scope,
    /// The listener.
    pub listener: &'a Name,
    /// The route.
    pub route: &'a Name,
    /// The route's `timeout`.
    pub timeout: Duration,
    /// The numbers of the process.
    pub metrics: &'a Metrics,
    /// What a path may hold, for paths that the action makes.
    pub path_rules: PathRules,
    /// The shape that the route's policies ask for, where the action applies it itself.
    pub shape: Option<Arc<Shape>>,
    /// The store of answers.
    pub cache: &'a Arc<Cache>,
    /// Finds the upstream that is named; `None` after a dangling name was reported.
    pub called: &'a dyn Fn(&Target) -> Option<Called>,
}

/// Reads the body of an action and builds it.
pub type Build = for<'f, 'e> fn(Field<'f>, &Env<'e>) -> Option<Arc<dyn Action>>;
