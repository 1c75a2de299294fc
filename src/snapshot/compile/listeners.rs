//! Listeners: bounds, routes of their own and shared ones, and what answers a miss.

use crate::runtime::hash::HashSet;
use std::sync::Arc;

use crate::action::miss::Miss;
use crate::config::{Config, Diagnostic, Diagnostics, Listener, Policies, Route};
use crate::exchange::target::PathRules;
use crate::expression::Scope;
use crate::http1::HeadLimits;
use crate::route::{HostList, Layer, Methods, Pattern, TableBuilder};
use crate::snapshot::{Limits, ListenerPlan, Rule, RuleAction, Snapshot, Trust};

use super::environment::Environment;
use super::policies::Definitions;
use super::rules::{self, Rules};
use super::tls;
use super::upstreams::Upstreams;

pub(super) fn compile(
    config: &Config,
    previous: Option<&Snapshot>,
    upstreams: &mut Upstreams,
    definitions: &Definitions<'_>,
    environment: &Environment,
    out: &Diagnostics,
) -> Vec<Arc<ListenerPlan>> {
    let mut list = Vec::new();
    for listener in &config.listeners {
        let mut rules = Rules { listener, upstreams, definitions, environment, out, list: Vec::new() };
        let before = previous.and_then(|previous| previous.listener(&listener.name.value));
        let before = before.and_then(|before| before.tls.as_deref());
        let tls = tls::compile(listener, before, out);
        list.push(Arc::new(ListenerPlan { tls, ..plan(config, listener, &mut rules) }));
    }
    list
}

fn plan(config: &Config, listener: &Listener, rules: &mut Rules<'_, '_>) -> ListenerPlan {
    let mut table = TableBuilder::new();
    let own: HashSet<String> = listener.routes.iter().map(|route| route.key.pattern.shape()).collect();
    let shared = config.routes.iter().filter(|route| !own.contains(&route.key.pattern.shape()));
    let layers = listener.routes.iter().map(|route| (Layer::Listener, route));
    for (layer, route) in layers.chain(shared.map(|route| (Layer::Shared, route))) {
        add(&mut table, layer, route, rules);
    }
    let no_route = miss(rules, listener);
    let method_not_allowed = no_route;
    let widest = rules.list.iter().fold(PathRules::default(), |all, rule| all.or(rule.path_rules));
    ListenerPlan {
        name: Arc::clone(&listener.name.value),
        address: listener.listen.value,
        hosts: hosts(listener, rules.out),
        tls: None,
        limits: limits(listener),
        path_rules: widest,
        interim: listener.interim,
        trust: Trust { proxies: listener.trusted_proxies.clone(), headers: listener.trusted_headers },
        table: table.build(),
        rules: std::mem::take(&mut rules.list),
        no_route,
        method_not_allowed,
    }
}

fn add(
    table: &mut TableBuilder<Vec<crate::snapshot::Alternative>>,
    layer: Layer,
    route: &Route,
    rules: &mut Rules<'_, '_>,
) {
    let at = route.name.span;
    let pattern = match Pattern::parse(&route.key.pattern.text) {
        Ok(pattern) => pattern,
        Err(error) => return rules.out.add(Diagnostic::error(at, error.to_string())),
    };
    let written = match route.methods().as_slice() {
        [] => Ok(Methods::Any),
        methods => Methods::parse(&methods.join(",")),
    };
    let methods = match written {
        Ok(methods) => methods,
        Err(error) => return rules.out.add(Diagnostic::error(at, error.to_string())),
    };
    let owner = match layer {
        Layer::Shared => format!("route {}", route.name.value),
        Layer::Listener => format!("listener {} route {}", rules.listener.name.value, route.name.value),
    };
    let alternatives = rules::alternatives(&owner, route, rules);
    // A clash was reported when the whole was read; this is for one that only the table sees.
    if let Err(clash) = table.insert(layer, methods, &pattern, alternatives)
        && !rules.out.has_errors()
    {
        rules.out.add(Diagnostic::error(at, clash.to_string()).help("remove one of them"));
    }
}

/// The rule of a request that misses: the listener's policies still guard it, so nobody probes for routes.
fn miss(rules: &mut Rules<'_, '_>, listener: &Listener) -> u32 {
    let scope = Scope { identity: true, ..Scope::default() };
    let route = ("", &Policies::default());
    let (policies, guards, _) = rules.definitions.chain(listener, route, &scope, rules.out);
    rules.list.push(Rule {
        name: "".into(),
        print: 0,
        params: Arc::default(),
        policies,
        guards,
        at: None,
        action: RuleAction::Other(Arc::new(Miss)),
        timeout: crate::config::RouteBody::TIMEOUT,
        path_rules: PathRules::default(),
        metrics: rules.environment.metrics.route(&listener.name.value, ""),
    });
    (rules.list.len() - 1) as u32
}

fn hosts(listener: &Listener, out: &Diagnostics) -> Option<HostList> {
    if listener.hosts.is_empty() {
        return None;
    }
    let names: Vec<String> = listener.hosts.iter().map(|host| host.value.to_string()).collect();
    match HostList::parse(&names) {
        Ok(hosts) => Some(hosts),
        Err((at, error)) => {
            out.add(Diagnostic::error(listener.hosts[at].span, error.to_string()));
            None
        }
    }
}

fn limits(listener: &Listener) -> Limits {
    let written = &listener.limits;
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        head: HeadLimits {
            head: size(written.head),
            headers: size(written.headers),
            target: size(written.target),
        },
        body: written.body,
        head_timeout: written.head_timeout,
        body_timeout: written.body_timeout,
        body_rate: written.body_rate,
        idle: written.idle,
        half_closed: written.half_closed,
        linger: written.linger,
        linger_bytes: written.linger_bytes,
        streams: u32::try_from(written.streams).unwrap_or(u32::MAX),
        connections_per_client: written.connections_per_client,
        handshake_timeout: written.handshake_timeout,
        handshakes: written.handshakes,
    }
}
