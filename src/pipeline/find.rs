//! Which rule answers a request.

use http::Method;

use crate::exchange::{Error, ErrorKind, Exchange, Param};
use crate::policy::Phase;
use crate::policy::guard::cors;
use crate::route::Found;
use crate::snapshot::{Alternative, ListenerPlan, Pinned};

/// The rule that answers, and the error that stands in for its action where the request missed.
///
/// A preflight speaks for the request that its browser wants to send, so it is answered where that one would be, if
/// origins are judged there; else it is an `OPTIONS` like any other.
pub(super) fn find(pinned: &Pinned, exchange: &mut Exchange) -> (u32, Option<Error>) {
    if let Some(method) = cors::asked(&exchange.request) {
        let found = look(pinned, exchange, Some(&method));
        if judges_origins(&pinned.plan, found.0) {
            return found;
        }
        forget(exchange);
    }
    look(pinned, exchange, None)
}

/// Takes back what finding a rule noted.
pub(super) fn forget(exchange: &mut Exchange) {
    exchange.rule = None;
    exchange.params.clear();
    exchange.rest = exchange.request.target.path().len() as u32;
}

fn judges_origins(plan: &ListenerPlan, rule: u32) -> bool {
    plan.rules.get(rule as usize).is_some_and(|rule| rule.policies.has(Phase::Cors))
}

/// The rule for a method, which is the request's own where none is named.
fn look(pinned: &Pinned, exchange: &mut Exchange, named: Option<&Method>) -> (u32, Option<Error>) {
    let plan = &pinned.plan;
    if plan.hosts.as_ref().is_some_and(|hosts| !hosts.matches(exchange.request.host())) {
        return missed(plan, exchange);
    }
    match plan.table.find(exchange.request.target.path(), named.unwrap_or(&exchange.request.method)) {
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
            // A preflight has neither the header fields nor the cookies of the request it speaks for, so a condition may
            // fail that will hold then.
            let may_hold = || {
                let judging = |alternative: &&Alternative| judges_origins(plan, alternative.rule);
                named.and_then(|_| found.rule.iter().find(judging))
            };
            match found.rule.iter().find(holds).or_else(may_hold) {
                Some(alternative) => (alternative.rule, judge(plan, alternative.rule, exchange)),
                None => missed(plan, exchange),
            }
        }
        Found::MethodNotAllowed { allow, .. } => {
            let error = Error::new(ErrorKind::MethodNotAllowed).header("allow", allow);
            (plan.method_not_allowed, Some(error))
        }
        // `OPTIONS *` asks the gate itself, and the action of a miss answers it.
        Found::NotFound if exchange.request.target.is_asterisk() => (plan.no_route, None),
        Found::NotFound => missed(plan, exchange),
    }
}

/// Nothing answers. A tunnel is asked of the gateway itself, which opens none, whatever is routed.
fn missed(plan: &ListenerPlan, exchange: &Exchange) -> (u32, Option<Error>) {
    if exchange.request.method == Method::CONNECT {
        let allow = plan.table.allow(exchange.request.target.path());
        return (
            plan.method_not_allowed,
            Some(Error::new(ErrorKind::MethodNotAllowed).header("allow", allow)),
        );
    }
    (plan.no_route, Some(ErrorKind::NoRoute.into()))
}

/// Targets are read before a route is known; what only other routes keep in a path is refused here.
fn judge(plan: &ListenerPlan, rule: u32, exchange: &Exchange) -> Option<Error> {
    let rules = plan.rules.get(rule as usize).map(|rule| rule.path_rules).unwrap_or_default();
    exchange.request.target.check(rules).err().map(Error::from)
}
