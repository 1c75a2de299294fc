//! The walk of one request: admitted, routed, guarded, answered, recorded.
//!
//! Start with [`Walk::serve`]: the whole walk is that one function. `admit.rs` stands before it, `finish.rs` after it;
//! `find.rs` chooses the rule, `grpc.rs` has what calls of gRPC need.

pub mod admit;
pub mod core;
mod find;
pub mod finish;
mod grpc;
pub mod shed;

use std::rc::Rc;

use crate::exchange::problem::problem;
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Response, Term};
use crate::policy::Phase;
use crate::snapshot::{Pinned, Rule};

pub use self::core::Core;
pub use admit::Arrived;
use shed::InFlight;

/// One request on its way. Dropping it writes its record: a walk that ends early was left by its client, or
/// cut off as the process ended.
pub struct Walk {
    /// What is known of the request.
    pub exchange: Exchange,
    core: Rc<Core>,
    pinned: Rc<Pinned>,
    /// Why it was not admitted, if so.
    refused: Option<Error>,
    complete: bool,
    /// Whether it has become a tunnel, and the request as such has been counted.
    switched: bool,
    /// Whether the walk has been taken from here ([`Walk::take`]).
    taken: bool,
    /// Its place among the requests under way, where they are counted.
    place: Option<InFlight>,
}

impl Walk {
    /// Takes the request through the gate and gives the answer, ready to be framed.
    pub async fn serve(&mut self) -> Response {
        let pinned = Rc::clone(&self.pinned);
        let exchange = &mut self.exchange;
        let (rule, miss) = match self.refused.take() {
            // What cannot be read is not asked any further: it has neither path nor identity.
            // Boxed: an idle connection need not hold room for it.
            Some(refused) => return Box::pin(self.decline(refused)).await,
            None => find::find(&pinned, exchange),
        };
        exchange.rule = Some(rule);
        let Some(rule) = pinned.rule(rule) else { return self.answer_error(ErrorKind::Internal.into()) };
        rule.metrics.started(exchange.core);
        exchange.deadline = exchange.record.started + rule.timeout;
        if exchange.grpc {
            exchange.term = if grpc::shorten(exchange) { Term::Client } else { Term::Stream };
        }

        let (entered, early) = rule.policies.inward(exchange).await; // policies in
        let answer = match (early, miss) {
            (Ok(Some(answer)), _) => Ok(answer),
            (Ok(None), Some(miss)) => Err(miss),
            (Ok(None), None) => {
                // Once, and once more where what was kept and asked about turns out to be of no use. A loop, because the
                // compiler keeps the action's future in its place only where there is one call of it.
                let mut kept = exchange.cached.is_some();
                loop {
                    let answer = rule.action.run(exchange).await;
                    let anew = std::mem::take(&mut kept)
                        && matches!(&answer, Ok(answer) if rule.policies.asks_anew(exchange, answer));
                    if !anew {
                        break answer;
                    }
                }
            }
            (Err(error), _) => Err(error),
        };
        let mut answer = answer.unwrap_or_else(|error| told(exchange, &error));
        rule.policies.outward(entered, exchange, &mut answer).await; // policies out, in reverse, also for errors
        self.sign(answer)
    }

    /// Finds what would answer, and goes no further: the rule, and the error that stands in for its action where the
    /// request missed. For those who ask, in the place of [`Walk::serve`].
    ///
    /// # Errors
    /// The request is refused before anything looks for a route.
    pub fn find(&mut self) -> Result<(u32, Option<Error>), Error> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let found = find::find(&self.pinned, &mut self.exchange);
        self.exchange.rule = Some(found.0);
        Ok(found)
    }

    /// What is refused before it is routed passes no policy, but a page that may read the answer is told so.
    async fn decline(&mut self, error: Error) -> Response {
        let pinned = Rc::clone(&self.pinned);
        let exchange = &mut self.exchange;
        let mut answer = told(exchange, &error);
        if let Some(rule) = pinned.rule(find::find(&pinned, exchange).0)
            && rule.policies.has(Phase::Cors)
        {
            rule.policies.outward(rule.policies.through(Phase::Cors), exchange, &mut answer).await;
        }
        find::forget(exchange);
        self.missed();
        self.sign(answer)
    }

    /// The answer to give in the place of one that cannot be given.
    pub fn instead(&mut self, error: Error) -> Response {
        self.answer_error(error)
    }

    fn answer_error(&mut self, error: Error) -> Response {
        let answer = told(&mut self.exchange, &error);
        self.missed();
        self.sign(answer)
    }

    /// A request that was refused before routing is counted with those that no route matched.
    fn missed(&mut self) {
        if self.exchange.rule.is_none() {
            self.exchange.rule = Some(self.pinned.plan.no_route);
            if let Some(rule) = self.pinned.rule(self.pinned.plan.no_route) {
                rule.metrics.started(self.exchange.core);
            }
        }
    }

    /// What stands on every answer.
    fn sign(&mut self, mut answer: Response) -> Response {
        if self.exchange.grpc {
            grpc::speak(&mut self.exchange, &mut answer);
        }
        answer.headers.remove_id(HeaderId::XRequestId);
        answer.headers.push_id(HeaderId::XRequestId, self.exchange.id.as_bytes());
        if !answer.headers.has_id(HeaderId::Date) {
            let now = self.exchange.record.started;
            self.core.with_date(now, |date| answer.headers.push_id(HeaderId::Date, date));
        }
        self.exchange.record.status = answer.status.as_u16();
        answer
    }

    /// The bounds of the listener this walk belongs to.
    pub fn limits(&self) -> &crate::snapshot::Limits {
        &self.pinned.plan.limits
    }

    /// Gives up its place among the requests under way: all that is left to do is to read the rest of its body away.
    pub fn leave(&mut self) {
        self.place = None;
    }

    fn rule(&self) -> Option<&Rule> {
        self.exchange.rule.and_then(|rule| self.pinned.rule(rule))
    }
}

/// Notes an error and puts it into words.
fn told(exchange: &mut Exchange, error: &Error) -> Response {
    exchange.record.note(error);
    problem(error, exchange.id.as_str())
}

#[cfg(test)]
mod tests;
