//! The alternatives of a route: what their `match` asks for, and which of them holds.

use http::Method;

use crate::config::{Match, Named, Test};
use crate::exchange::Exchange;
use crate::route::{Failing, Found};
use crate::snapshot::ListenerPlan;

use super::written::{Written, place};

/// One alternative of a route.
pub struct Tried {
    /// Where it is written.
    pub at: String,
    /// What its `match` asks for; nothing where it has none.
    pub asks: Vec<String>,
    /// What does not hold of it; `None` where all of it does.
    pub fails: Option<String>,
    /// Whether it is the one that answers.
    pub answers: bool,
}

/// The alternatives in the order they are tried; none where the route has one alone and that asks for nothing.
pub(super) fn tried(
    written: &Written<'_>,
    plan: &ListenerPlan,
    exchange: &mut Exchange,
    (method, rule): (&Method, u32),
) -> Vec<Tried> {
    let Found::Matched(found) = plan.table.find(exchange.request.target.path(), method) else {
        return Vec::new();
    };
    if let [only] = found.rule.as_slice()
        && only.when.is_none()
    {
        return Vec::new();
    }
    // Conditions read path parameters by the names of their own route.
    let before = std::mem::replace(&mut exchange.rule, found.rule.first().map(|first| first.rule));
    let mut list = Vec::new();
    for alternative in found.rule {
        let body = plan.rules.get(alternative.rule as usize).and_then(|rule| written.of(rule));
        let Some((_, body, _)) = body else { continue };
        let failing = alternative.when.as_ref().and_then(|when| when.failing(exchange));
        list.push(Tried {
            at: place(written.config, body.at),
            asks: body.condition.as_ref().map(asks).unwrap_or_default(),
            fails: failing.map(fails),
            answers: alternative.rule == rule,
        });
    }
    exchange.rule = before;
    list
}

fn fails(failing: Failing<'_>) -> String {
    match failing {
        Failing::Hosts => "hosts".to_owned(),
        Failing::ClientIp => "client_ip".to_owned(),
        Failing::Header(name) => format!("header {name}"),
        Failing::Query(name) => format!("query {name}"),
        Failing::Cookie(name) => format!("cookie {name}"),
        Failing::When => "when".to_owned(),
    }
}

/// What a `match` asks for, in the order it is judged.
fn asks(condition: &Match) -> Vec<String> {
    let mut list = Vec::new();
    if !condition.hosts.is_empty() {
        let names: Vec<String> = condition.hosts.iter().map(|host| host.value.to_string()).collect();
        list.push(format!("host in {}", names.join(", ")));
    }
    if !condition.client_ip.is_empty() {
        let networks: Vec<String> = condition.client_ip.iter().map(ToString::to_string).collect();
        list.push(format!("client in {}", networks.join(", ")));
    }
    let tests = [("header", &condition.headers), ("query", &condition.query), ("cookie", &condition.cookies)];
    for (what, tests) in tests {
        list.extend(tests.iter().map(|named| test(what, named)));
    }
    list.extend(condition.when.as_ref().map(|when| format!("when {}", when.shown())));
    list
}

fn test(what: &str, Named { name, test }: &Named) -> String {
    let name = &name.value;
    match test {
        Test::Equals(text) => format!("{what} {name} is {}", text.shown()),
        Test::Present(true) => format!("{what} {name} is there"),
        Test::Present(false) => format!("{what} {name} is not there"),
        Test::Regex(text) => format!("{what} {name} matches {}", text.shown()),
    }
}
