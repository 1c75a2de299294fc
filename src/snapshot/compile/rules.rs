//! Routes into rules: what must hold, what guards, what is done.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::action;
use crate::action::miss::Miss;
use crate::action::proxy::{HostRule, Proxy, Rewrite};
use crate::config::{
    self, Diagnostic, Diagnostics, Field, HostHeader, Listener, Match, Named, Route, RouteBody, Test,
};
use crate::exchange::Exchange;
use crate::exchange::target::PathRules;
use crate::expression::{Expression, Place, Scope, load};
use crate::policy::Phase;
use crate::policy::chain::Chain;
use crate::policy::transform::shape::ShapeAnswer;
use crate::route::{Condition, Expect, HostList, Predicate};
use crate::shaping::Shape;
use crate::snapshot::{Alternative, Rule, RuleAction};
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;

use super::environment::Environment;
use super::policies::Definitions;
use super::trailers;
use super::upstreams::Upstreams;

/// The rules of one listener while they are made.
pub(super) struct Rules<'a, 'd> {
    pub(super) listener: &'a Listener,
    pub(super) upstreams: &'a mut Upstreams,
    pub(super) definitions: &'a Definitions<'d>,
    pub(super) environment: &'a Environment,
    pub(super) out: &'a Diagnostics,
    pub(super) list: Vec<Rule>,
}

/// The rules of a route, in the order in which they are tried. `owner` names the route among all that are written.
pub(super) fn alternatives(owner: &str, route: &Route, rules: &mut Rules<'_, '_>) -> Vec<Alternative> {
    let pattern = &route.key.pattern;
    let scope = Scope {
        identity: true,
        params: pattern.params().map(str::to_owned).collect(),
        rest: pattern.has_rest(),
        ..Scope::default()
    };
    route
        .alternatives
        .iter()
        .enumerate()
        .map(|(index, body)| {
            let owner = if index == 0 { owner.to_owned() } else { format!("{owner} alternative {index}") };
            let when = body.condition.as_ref().and_then(|condition| predicate(condition, &scope, rules));
            let rule = rule(&owner, route, body, &scope, rules);
            rules.list.push(rule);
            Alternative { when, rule: (rules.list.len() - 1) as u32 }
        })
        .collect()
}

fn rule(owner: &str, route: &Route, body: &RouteBody, scope: &Scope, rules: &mut Rules<'_, '_>) -> Rule {
    let written = body.path.unwrap_or(rules.listener.path);
    let keeps =
        PathRules { encoded_slash_keep: written.keep_encoded_slash, semicolon_keep: written.keep_semicolon };
    let (mut policies, guards, kept_as) =
        rules.definitions.chain(rules.listener, (owner, &body.policies), scope, rules.out);
    let shape = match &body.action.value {
        config::Action::Aggregate(_) => own_shape(&mut policies),
        _ => None,
    };
    let action = action(route, body, scope, (keeps, shape), rules)
        .unwrap_or_else(|| RuleAction::Other(Arc::new(Miss)));
    Rule {
        name: Arc::clone(&route.name.value),
        print: print(body, kept_as),
        params: scope.params.iter().map(|name| name.as_str().into()).collect(),
        policies,
        guards,
        at: Some(body.at),
        action,
        timeout: body.timeout.unwrap_or(RouteBody::TIMEOUT),
        path_rules: keeps,
        metrics: rules.environment.metrics.route(&rules.listener.name.value, &route.name.value),
    }
}

/// What tells the rule from what it was before a reload, for those who kept something of it.
fn print(body: &RouteBody, kept_as: u64) -> u64 {
    let mut print = DefaultHasher::new();
    (body.print, kept_as).hash(&mut print);
    print.finish()
}

/// The shape among the policies of an aggregate, which applies it itself.
fn own_shape(policies: &mut Chain) -> Option<Arc<Shape>> {
    let taken = policies.take(Phase::Shape);
    taken.iter().find_map(|policy| {
        let policy: &dyn std::any::Any = &**policy;
        policy.downcast_ref::<ShapeAnswer>().map(|policy| Arc::clone(&policy.shape))
    })
}

fn action(
    route: &Route,
    body: &RouteBody,
    scope: &Scope,
    (keeps, shape): (PathRules, Option<Arc<Shape>>),
    rules: &mut Rules<'_, '_>,
) -> Option<RuleAction> {
    let out = rules.out;
    let (name, node) = match &body.action.value {
        config::Action::Upstream(target) => {
            let called = rules.upstreams.called(target, out)?;
            let lifted = body.timeout.filter(|timeout| {
                !called.response_is_written && *timeout > called.upstream.settings().timeouts.response
            });
            let rewrite = match &body.rewrite {
                None => None,
                Some(text) => {
                    let template = load::template(text, scope, Place::PathOrUrl, out)?;
                    let prefix = route.key.pattern.has_rest();
                    Some(if prefix { Rewrite::Prefix(template) } else { Rewrite::Whole(template) })
                }
            };
            let host = match &body.host {
                HostHeader::Upstream => HostRule::Upstream,
                HostHeader::Client => HostRule::Client,
                HostHeader::Literal(text) => HostRule::Literal(text.as_str().into()),
            };
            return Some(RuleAction::Proxy(Box::new(Proxy {
                number: called.number,
                upstream: called.upstream,
                host,
                rewrite,
                rewrites: body.rewrites,
                path_rules: keeps,
                trailers: trailers::listed(body, rules.definitions.identity(), out),
                lifted,
            })));
        }
        config::Action::Aggregate(node) => ("aggregate", node),
        config::Action::Redirect(node) => ("redirect", node),
        config::Action::Respond(node) => ("respond", node),
    };
    let field = Field::new(name, body.action.span, node, out);
    let upstreams = std::cell::RefCell::new(&mut *rules.upstreams);
    let called = |target: &config::Target| upstreams.borrow_mut().called(target, out);
    let env = action::Env {
        scope,
        listener: &rules.listener.name.value,
        route: &route.name.value,
        timeout: body.timeout.unwrap_or(RouteBody::TIMEOUT),
        metrics: &rules.environment.metrics,
        path_rules: keeps,
        shape,
        cache: &rules.environment.cache,
        called: &called,
    };
    let kind = config::Kind::find(action::kinds::KINDS, name)?;
    (kind.build)(field, &env).map(RuleAction::Other)
}

fn predicate(condition: &Match, scope: &Scope, rules: &Rules<'_, '_>) -> Option<Predicate<Exchange>> {
    let out = rules.out;
    let mut predicate = Predicate::default();
    for Named { name, test } in &condition.headers {
        predicate = predicate.header(&name.value.to_ascii_lowercase(), expect(test, out)?);
    }
    for Named { name, test } in &condition.query {
        predicate = predicate.query(&name.value, expect(test, out)?);
    }
    for Named { name, test } in &condition.cookies {
        predicate = predicate.cookie(&name.value, expect(test, out)?);
    }
    if !condition.hosts.is_empty() {
        let names: Vec<String> = condition.hosts.iter().map(|host| host.value.to_string()).collect();
        match HostList::parse(&names) {
            Ok(hosts) => predicate = predicate.hosts(hosts),
            Err((at, error)) => out.add(Diagnostic::error(condition.hosts[at].span, error.to_string())),
        }
    }
    if !condition.client_ip.is_empty() {
        predicate = predicate.client_ip(condition.client_ip.clone());
    }
    if let Some(when) = &condition.when {
        let scope = Scope { identity: false, ..scope.clone() };
        let log = rules.environment.log.clone().filter(|log| log.tells(Level::Debug));
        predicate = predicate.when(Box::new(When { expression: load::expression(when, &scope, out)?, log }));
    }
    Some(predicate)
}

/// A condition that cannot be judged does not hold.
struct When {
    expression: Expression,
    /// Where it is told why, if somebody wants to know.
    log: Option<Arc<OperatorLog>>,
}

impl Condition<Exchange> for When {
    fn holds(&self, exchange: &Exchange) -> bool {
        let Some(log) = &self.log else { return self.expression.holds(exchange) };
        self.expression.bool(exchange).unwrap_or_else(|error| {
            let (now, place) = (exchange.record.started, self.expression.place());
            let message = format_args!("`match` does not hold: {error}");
            let fields = [("id", &exchange.id.as_str() as &dyn std::fmt::Display)];
            log.write_seldom(now, Level::Debug, ("match", &place), message, &fields);
            false
        })
    }
}

fn expect(test: &Test, out: &Diagnostics) -> Option<Expect> {
    Some(match test {
        Test::Equals(text) => Expect::Value(text.as_str().into()),
        Test::Present(true) => Expect::Present,
        Test::Present(false) => Expect::Absent,
        Test::Regex(text) => match config::bytes_regex(text.as_str()) {
            Ok(regex) => Expect::Regex(regex),
            Err(error) => {
                out.add(Diagnostic::error(text.span(), error.what));
                return None;
            }
        },
    })
}
