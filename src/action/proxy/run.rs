//! One call: the head out, the answer back.

use crate::action::{Action, LocalBoxFuture};
use crate::exchange::{Error, Exchange, Response};
use crate::upstream::{Attempts, Deadline};

use super::{Proxy, request, response};

impl Proxy {
    async fn forward(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        exchange.record.upstream = Some(self.number);
        let (request, mapping) = request::outgoing(self, exchange)?;
        let deadline = Deadline { at: exchange.deadline, lifted: self.lifted };
        let mut attempts = Attempts::default();
        let answer = self.upstream.call(exchange.core, request, deadline, &mut attempts).await;
        exchange.record.endpoint = attempts.endpoint;
        exchange.record.attempts = attempts.count;
        exchange.record.upstream_time = attempts.time;
        let mut answer = answer?;
        response::hide(self, exchange, &mapping, attempts.endpoint, &mut answer);
        Ok(answer)
    }
}

impl Action for Proxy {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(self.forward(exchange))
    }
}
