//! The walk of one request: admitted, routed, guarded, answered, recorded.
//!
//! Start with [`Walk::serve`]: the whole walk is that one function. `admit.rs` stands before it, `finish.rs` after it.

pub mod admit;
pub mod core;
pub mod finish;

use std::rc::Rc;
use std::time::Duration;

use crate::exchange::problem::problem;
use crate::exchange::target::TargetError;
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Param, Response};
use crate::route::Found;
use crate::snapshot::{Alternative, ListenerPlan, Pinned, Rule};

pub use self::core::Core;
pub use admit::Arrived;

/// One request on its way. Dropping it writes its record: a walk that ends early was left by its client.
pub struct Walk {
    /// What is known of the request.
    pub exchange: Exchange,
    core: Rc<Core>,
    pinned: Rc<Pinned>,
    /// Why it was not admitted, if so.
    refused: Option<Error>,
    complete: bool,
}

impl Walk {
    /// Takes the request through the gate and gives the answer, ready to be framed.
    pub async fn serve(&mut self) -> Response {
        let pinned = Rc::clone(&self.pinned);
        let exchange = &mut self.exchange;
        let (rule, miss) = match self.refused.take() {
            // What cannot be read is not asked any further: it has neither path nor identity.
            Some(refused) => return self.answer_error(refused),
            None => find(&pinned, exchange),
        };
        exchange.rule = Some(rule);
        let Some(rule) = pinned.rule(rule) else { return self.answer_error(ErrorKind::Internal.into()) };
        rule.metrics.started(exchange.core);
        exchange.deadline = exchange.record.started + rule.timeout;

        let (entered, early) = rule.policies.inward(exchange).await; // policies in
        let answer = match (early, miss) {
            (Ok(Some(answer)), _) => Ok(answer),
            (Ok(None), Some(miss)) => Err(miss),
            (Ok(None), None) => rule.action.run(exchange).await,
            (Err(error), _) => Err(error),
        };
        let mut answer = answer.unwrap_or_else(|error| told(exchange, &error));
        rule.policies.outward(entered, exchange, &mut answer).await; // policies out, in reverse, also for errors
        self.sign(answer)
    }

    fn answer_error(&mut self, error: Error) -> Response {
        if self.exchange.rule.is_none() {
            // Refused before routing: counted with the requests that no route matched.
            self.exchange.rule = Some(self.pinned.plan.no_route);
            if let Some(rule) = self.pinned.rule(self.pinned.plan.no_route) {
                rule.metrics.started(self.exchange.core);
            }
        }
        let answer = told(&mut self.exchange, &error);
        self.sign(answer)
    }

    /// What stands on every answer.
    fn sign(&mut self, mut answer: Response) -> Response {
        answer.headers.remove_id(HeaderId::XRequestId);
        answer.headers.push_id(HeaderId::XRequestId, self.exchange.id.as_str().as_bytes());
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

    fn rule(&self) -> Option<&Rule> {
        self.exchange.rule.and_then(|rule| self.pinned.rule(rule))
    }
}

/// The rule that answers, and the error that stands in for its action where the request missed.
fn find(pinned: &Pinned, exchange: &mut Exchange) -> (u32, Option<Error>) {
    let plan = &pinned.plan;
    if plan.hosts.as_ref().is_some_and(|hosts| !hosts.matches(exchange.request.host())) {
        return (plan.no_route, Some(ErrorKind::NoRoute.into()));
    }
    match plan.table.find(exchange.request.target.path(), &exchange.request.method) {
        Found::Matched(found) => {
            for span in &found.spans {
                exchange.params.push(Param { start: span.start as u32, end: span.end as u32 });
            }
            if let Some(rest) = found.rest_start {
                exchange.rest = rest as u32;
            }
            // The rules of one pattern have the same names, which the conditions may use.
            exchange.rule = found.rule.first().map(|alternative| alternative.rule);
            let holds = |alternative: &&Alternative| {
                alternative.when.as_ref().is_none_or(|when| when.holds(exchange))
            };
            match found.rule.iter().find(holds) {
                Some(alternative) => (alternative.rule, slash(plan, alternative.rule, exchange)),
                None => (plan.no_route, Some(ErrorKind::NoRoute.into())),
            }
        }
        Found::MethodNotAllowed { allow, .. } => {
            let error = Error::new(ErrorKind::MethodNotAllowed).header("allow", allow);
            (plan.method_not_allowed, Some(error))
        }
        Found::NotFound => (plan.no_route, Some(ErrorKind::NoRoute.into())),
    }
}

/// Targets are read before a route is known; an encoded slash that only other routes take is refused here.
fn slash(plan: &ListenerPlan, rule: u32, exchange: &Exchange) -> Option<Error> {
    if !plan.path_rules.encoded_slash_keep || !exchange.request.target.has_encoded_slash() {
        return None;
    }
    let keeps = plan.rules.get(rule as usize).is_some_and(|rule| rule.keeps_encoded_slash);
    (!keeps).then(|| TargetError::EncodedSlash.into())
}

/// Notes an error and puts it into words.
fn told(exchange: &mut Exchange, error: &Error) -> Response {
    exchange.record.note(error);
    problem(error, exchange.id.as_str())
}

/// How long a refused connection is still read from, so that the client can read why.
pub const LINGER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
