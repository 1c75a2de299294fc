//! The action of a request that no route takes: it has none, the pipeline answers in its place.

use crate::exchange::{Error, ErrorKind, Exchange, Response};

use super::describe::Description;
use super::{Action, LocalBoxFuture};

/// Stands where a rule needs an action and there is none.
pub struct Miss;

impl Action for Miss {
    fn run<'a>(&'a self, _: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(std::future::ready(Err(ErrorKind::NoRoute.into())))
    }

    fn describe(&self, _: &mut Exchange) -> Description {
        Description::new("")
    }
}
