//! What is served, as a document: every listener with its rules, what they do and what guards them.

use crate::runtime::hash::HashSet;

use serde_json::{Value, json};

use crate::config::{
    Action, Config, InForce, Listener, Node, Origin, Policies, Route, RouteBody, Target, duration_text,
    in_force,
};
use crate::policy::chain::Chain;
use crate::snapshot::{ListenerPlan, Snapshot};

/// Every listener of a snapshot with its rules in the order written, a listener's own before the shared ones.
pub fn listing(snapshot: &Snapshot) -> Value {
    let config = &*snapshot.sources.config;
    let listeners: Vec<Value> = snapshot
        .listeners
        .iter()
        .filter_map(|plan| {
            let listener = config.listeners.iter().find(|listener| listener.name.value == plan.name)?;
            Some(json!({
                "name": &*plan.name,
                "address": plan.address.to_string(),
                "routes": routes(config, listener, plan),
            }))
        })
        .collect();
    json!({ "version": snapshot.version, "listeners": listeners })
}

/// Of the listener, in the place of what the file has for the same pattern.
const OVER_SHARED: &str = "listener over file";

fn routes(config: &Config, listener: &Listener, plan: &ListenerPlan) -> Vec<Value> {
    let shapes = |routes: &[Route]| -> HashSet<String> {
        routes.iter().map(|route| route.key.pattern.shape()).collect()
    };
    let (own, shared) = (shapes(&listener.routes), shapes(&config.routes));
    let left = config.routes.iter().filter(|route| !own.contains(&route.key.pattern.shape()));
    let of_listener = listener.routes.iter().map(|route| {
        (route, if shared.contains(&route.key.pattern.shape()) { OVER_SHARED } else { "listener" })
    });
    let mut list = Vec::new();
    for (route, of) in of_listener.chain(left.map(|route| (route, "file"))) {
        for body in &route.alternatives {
            // Rules are made in this same order.
            let chain = plan.rules.get(list.len()).filter(|rule| rule.name == route.name.value);
            let chain = chain.map(|rule| &rule.policies);
            list.push(entry(config, listener, (route, of), body, chain));
        }
    }
    list
}

fn entry(
    config: &Config,
    listener: &Listener,
    (route, of): (&Route, &str),
    body: &RouteBody,
    chain: Option<&Chain>,
) -> Value {
    let (action, upstreams) = action(&body.action.value);
    json!({
        "route": &*route.name.value,
        "of": of,
        "pattern": &*route.key.pattern.text,
        "methods": route.methods(),
        "conditional": body.condition.is_some(),
        "action": action,
        "upstreams": upstreams,
        "timeout": duration_text(body.timeout.unwrap_or(RouteBody::TIMEOUT)),
        "policies": policies(&config.policies, &listener.policies, &body.policies, chain),
    })
}

fn action(action: &Action) -> (&'static str, Vec<String>) {
    match action {
        Action::Upstream(target) => ("upstream", vec![name(target)]),
        Action::Aggregate(node) => ("aggregate", sources(node)),
        Action::Redirect(_) => ("redirect", Vec::new()),
        Action::Respond(_) => ("respond", Vec::new()),
    }
}

fn name(target: &Target) -> String {
    match target {
        Target::Named(text) => text.as_str().to_owned(),
        Target::Url(url) => url.to_string(),
    }
}

/// The upstreams of an aggregate's sources, in the order written, each once.
fn sources(node: &Node) -> Vec<String> {
    let sources = node.get("sources").map(Node::entries).unwrap_or_default();
    let mut list: Vec<String> = Vec::new();
    for upstream in sources.iter().filter_map(|source| source.value.get("upstream")?.word()) {
        if !list.iter().any(|known| known == upstream) {
            list.push(upstream.to_owned());
        }
    }
    list
}

/// What guards a rule, in the order it runs, with the place where each was written.
fn policies(file: &Policies, listener: &Policies, route: &Policies, chain: Option<&Chain>) -> Vec<Value> {
    let mut list = in_force(file, listener, route);
    if let Some(chain) = chain {
        let place = |kind: &InForce<'_>| chain.policies().position(|policy| policy.kind() == kind.kind);
        list.sort_by_key(|kind| place(kind).unwrap_or(usize::MAX));
    }
    let one = |kind: &InForce<'_>| {
        let parts: Vec<Value> = kind
            .parts
            .iter()
            .map(|part| json!({ "is": part.body.word().unwrap_or("written in place"), "from": place(part.origin) }))
            .collect();
        json!({ "policy": kind.kind, "from": place(kind.origin), "parts": parts })
    };
    list.iter().map(one).collect()
}

fn place(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "file",
        Origin::Listener => "listener",
        Origin::Route => "route",
    }
}

#[cfg(test)]
mod tests;
