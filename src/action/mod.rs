//! Actions: what a matched rule does to get its answer.
//!
//! Start with [`Action`]; `proxy` and `aggregate` call upstreams, `redirect` and `respond` answer in place.

use std::future::Future;
use std::pin::Pin;

use crate::exchange::{Error, Exchange, Response};

/// A future that stays on its core.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a matched rule does.
pub trait Action: Send + Sync {
    /// Makes the answer.
    ///
    /// # Errors
    /// Whatever kept it from making one; the pipeline turns the error into a problem.
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>>;
}
