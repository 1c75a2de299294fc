//! The action of a request that no route takes. The pipeline answers in its place, but for `OPTIONS *`, which asks the gate
//! itself.

use crate::exchange::{Error, ErrorKind, Exchange, Response};

use super::describe::Description;
use super::{Action, LocalBoxFuture, hops};

/// Stands where a rule needs an action and there is none.
pub struct Miss;

impl Action for Miss {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        let answer = if exchange.request.target.is_asterisk() {
            Ok(hops::allow(exchange))
        } else {
            Err(ErrorKind::NoRoute.into())
        };
        Box::pin(std::future::ready(answer))
    }

    fn describe(&self, exchange: &mut Exchange) -> Description {
        Description::new(if exchange.request.target.is_asterisk() { "options" } else { "" })
    }
}
