//! Why a request meets what it meets, as data: which route and why no other, what guards it and where that is
//! written, and what its action would do. Nothing is called and no policy is asked.
//!
//! Start with [`explain`]; `routes.rs` judges the other routes, `conditions.rs` the alternatives of the one.

mod conditions;
mod routes;
mod written;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::action::describe::Description;
use crate::config::{self, Config, Origin, Route, RouteBody, Target, Url};
use crate::exchange::target::percent_decode;
use crate::exchange::{Error, Exchange};
use crate::policy::Phase;
use crate::policy::guard::cors;

use super::{Guard, Pinned, Rule};
use written::{Written, place};

pub use conditions::Tried;
pub use routes::{Considered, Verdict};

/// What a request that is admitted meets.
pub struct Explanation {
    /// The route that answers; `None` where none does.
    pub route: Option<Chosen>,
    /// What is answered in the place of an action, where nothing but the policies of the listener is met.
    pub miss: Option<Miss>,
    /// Whether the listener answers for the host at all.
    pub host_is_served: bool,
    /// The method that a CORS preflight asks for, where it is answered as one.
    pub preflight: Option<String>,
    /// The routes whose pattern matches the path, and what became of them.
    pub considered: Vec<Considered>,
    /// How many routes do not match the path.
    pub others: usize,
    /// The alternatives of the route in the order they are tried.
    pub tried: Vec<Tried>,
    /// The policies in the order they run.
    pub policies: Vec<PolicyLine>,
    /// What is done.
    pub action: Description,
    /// Header lines that the service is told of the client, once `auth` knows them.
    pub identity: Vec<String>,
    /// Where the shape in place of an aggregate is written.
    pub shape: Option<String>,
}

/// An answer in the place of an action.
pub struct Miss {
    /// The status.
    pub status: u16,
    /// What is wrong.
    pub phrase: String,
    /// The methods that the path takes, where it does not take this one.
    pub allow: Option<String>,
}

impl Miss {
    fn new(error: &Error) -> Miss {
        let allow = error.headers().iter().find(|(name, _)| *name == "allow");
        Miss {
            status: error.status().as_u16(),
            phrase: error.kind().phrase(),
            allow: allow.map(|(_, value)| value.clone()),
        }
    }
}

/// The route that answers.
pub struct Chosen {
    /// Its key as written.
    pub name: String,
    /// Where it is written.
    pub at: String,
    /// Whether it is the listener's own.
    pub own: bool,
    /// The path parameters, decoded.
    pub params: Vec<(String, String)>,
    /// What `*` matched.
    pub rest: Option<String>,
    /// Until the head of the answer, or a whole aggregate.
    pub timeout: Duration,
}

/// A policy, and where it comes from.
pub struct PolicyLine {
    /// The kind.
    pub kind: &'static str,
    /// What is written: a name, names, or a condition; `None` for a body in place.
    pub says: Option<String>,
    /// `route`, `listener` or `file`.
    pub from: &'static str,
    /// Where it is written.
    pub at: String,
    /// Where what it names is declared.
    pub declared: Vec<String>,
}

/// Explains a request that has been admitted, and for which `rule` was found, or that error in the place of its
/// action.
pub fn explain(pinned: &Pinned, exchange: &mut Exchange, rule: u32, miss: Option<&Error>) -> Explanation {
    let snapshot = &pinned.snapshot;
    let config = &*snapshot.sources.config;
    let plan = &pinned.plan;
    let preflight = cors::asked(&exchange.request)
        .filter(|_| plan.rules.get(rule as usize).is_some_and(|rule| rule.policies.has(Phase::Cors)));
    let mut explanation = Explanation {
        route: None,
        miss: miss.map(Miss::new),
        host_is_served: plan.hosts.as_ref().is_none_or(|hosts| hosts.matches(exchange.request.host())),
        preflight: preflight.as_ref().map(ToString::to_string),
        considered: Vec::new(),
        others: 0,
        tried: Vec::new(),
        policies: Vec::new(),
        action: Description::new(""),
        identity: Vec::new(),
        shape: None,
    };
    let method = preflight.unwrap_or_else(|| exchange.request.method.clone());
    if let Some(listener) = config.listeners.iter().find(|listener| listener.name.value == plan.name)
        && explanation.host_is_served
    {
        let written = Written { config, listener };
        (explanation.considered, explanation.others) = routes::considered(&written, plan, exchange, &method);
        explanation.tried = conditions::tried(&written, plan, exchange, (&method, rule));
        if let Some(rule) = plan.rules.get(rule as usize)
            && let Some((route, body, own)) = written.of(rule)
        {
            explanation.route = Some(chosen(config, route, exchange, (rule, own)));
            if explanation.miss.is_none() {
                explanation.action = concealed(config, body, rule.action.describe(exchange));
            }
            if let config::Action::Aggregate(node) = &body.action.value {
                explanation.shape = node.get("shape").map(|shape| place(config, shape.span));
            }
        }
    }
    if let Some(rule) = plan.rules.get(rule as usize) {
        explanation.policies = rule.guards.iter().map(|guard| policy(config, guard)).collect();
        explanation.identity = identity(pinned, rule);
    }
    explanation
}

fn chosen(config: &Config, route: &Route, exchange: &Exchange, (rule, own): (&Rule, bool)) -> Chosen {
    let decoded = |raw: &str| String::from_utf8_lossy(&percent_decode(raw)).into_owned();
    let value = |at: usize| exchange.param_at(at).map(decoded).unwrap_or_default();
    Chosen {
        name: rule.name.to_string(),
        at: place(config, route.name.span),
        own,
        params: rule.params.iter().enumerate().map(|(at, name)| (name.to_string(), value(at))).collect(),
        rest: route.key.pattern.has_rest().then(|| exchange.rest().to_owned()),
        timeout: rule.timeout,
    }
}

fn policy(config: &Config, guard: &Guard) -> PolicyLine {
    let declared = match guard.kind {
        "auth" => config.auth.as_slice(),
        "rate_limit" => config.rate_limits.as_slice(),
        _ => &[],
    };
    let names = guard.says.iter().flat_map(|says| says.split(", "));
    let of = |name: &str| {
        let definition = declared.iter().find(|definition| *definition.name.value == *name)?;
        Some(place(config, definition.name.span))
    };
    PolicyLine {
        kind: guard.kind,
        says: guard.says.clone(),
        from: match guard.origin {
            Origin::File => "file",
            Origin::Listener => "listener",
            Origin::Route => "route",
        },
        at: place(config, guard.at),
        declared: names.filter_map(of).collect(),
    }
}

/// The header lines that the authenticators of a rule add.
fn identity(pinned: &Pinned, rule: &Rule) -> Vec<String> {
    let auth =
        rule.guards.iter().filter(|guard| guard.kind == "auth").filter_map(|guard| guard.says.as_ref());
    let named = auth.flat_map(|says| says.split(", "));
    let known = named.filter_map(|name| pinned.snapshot.sources.auth.get(name));
    let names: BTreeSet<String> =
        known.flat_map(|jwt| jwt.identity_header_names().map(str::to_owned).collect::<Vec<_>>()).collect();
    names.into_iter().collect()
}

/// The description without what references brought in: that may be a secret.
fn concealed(config: &Config, body: &RouteBody, mut description: Description) -> Description {
    let mut secrets: Vec<&str> = Vec::new();
    // A URL that a reference brought in tells its host; what stands behind that may be a key.
    let mut urls: Vec<&Url> =
        config.upstreams.iter().flat_map(|upstream| upstream.settings.endpoints.urls()).collect();
    if let config::Action::Upstream(Target::Url(url)) = &body.action.value {
        urls.push(url);
    }
    secrets.extend(urls.iter().filter(|url| url.referred).map(|url| &*url.base));
    let mut keep = |text| secrets.push(text);
    match &body.action.value {
        config::Action::Upstream(_) => {}
        config::Action::Aggregate(node) | config::Action::Redirect(node) | config::Action::Respond(node) => {
            node.referred(&mut keep);
        }
    }
    if let Some(rewrite) = &body.rewrite {
        rewrite.referred(&mut keep);
    }
    if let config::HostHeader::Literal(text) = &body.host {
        text.referred(&mut keep);
    }
    // The URL of a source in place: its path alone is at the head of a target.
    let paths: Vec<&str> = secrets.iter().copied().filter_map(path_of).collect();
    secrets.extend(paths);
    // A `$${` of the same text is kept as a piece of its own; it says nothing.
    secrets.retain(|secret| !secret.is_empty() && *secret != "${");
    let hide = |text: &mut String| {
        for secret in &secrets {
            if text.contains(secret) {
                *text = text.replace(secret, "${...}");
            }
        }
    };
    description.facts.iter_mut().for_each(|(_, is)| hide(is));
    description.headers.iter_mut().for_each(|(_, value)| hide(value));
    for source in &mut description.sources {
        hide(&mut source.upstream);
        hide(&mut source.path);
        match &mut source.target {
            Ok(target) | Err(target) => hide(target),
        }
        source.notes.iter_mut().for_each(hide);
    }
    description
}

/// What stands behind the host of a URL.
fn path_of(url: &str) -> Option<&str> {
    let (_, path) = url.split_once("://")?.1.split_once('/')?;
    Some(path.trim_end_matches('/'))
}
