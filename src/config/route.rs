//! Routes as written: what matches, and what is done.

use std::time::Duration;

use super::condition::{self, Match};
use super::diagnostic::Diagnostic;
use super::document::{Entry, Node};
use super::field::Field;
use super::names::Name;
use super::path_rules::{self, PathRules};
use super::pattern::{self, RouteKey};
use super::policies::{Policies, Vocabulary};
use super::rewrites::{self, Rewrites};
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::Spanned;
use super::text::{Text, quoted};
use super::url::Url;

/// A key of `routes` and what stands there.
#[derive(Clone, Debug)]
pub struct Route {
    /// The key as written: the route's name.
    pub name: Name,
    /// The key, taken apart.
    pub key: RouteKey,
    /// What answers, in order; the first whose `match` holds.
    pub alternatives: Vec<RouteBody>,
}

impl Route {
    /// The methods the route answers, `HEAD` with `GET` understood; none means all. An aggregate without a list
    /// answers GET alone: it reads, and what a client sends to it would reach nobody.
    pub fn methods(&self) -> Vec<&str> {
        let aggregates =
            self.alternatives.iter().all(|body| matches!(body.action.value, Action::Aggregate(_)));
        match self.key.methods.as_slice() {
            [] if aggregates => vec!["GET"],
            written => written.iter().map(|method| &**method).collect(),
        }
    }
}

/// One alternative of a route.
#[derive(Clone, Debug)]
pub struct RouteBody {
    /// Where it stands.
    pub at: super::span::Span,
    /// A number made of everything that it says, wherever it stands.
    pub print: u64,
    /// What else must hold.
    pub condition: Option<Match>,
    /// What is done.
    pub action: Spanned<Action>,
    /// The new path: a template, or in a `*` route what replaces the matched prefix.
    pub rewrite: Option<Text>,
    /// What of the service's answer is rewritten.
    pub rewrites: Rewrites,
    /// The trailer fields of requests that go on to the service, as they are written.
    pub trailers: Vec<Text>,
    /// How long the answer may take, where it is written; else [`RouteBody::TIMEOUT`].
    pub timeout: Option<Duration>,
    /// The Host that the upstream sees.
    pub host: HostHeader,
    /// How the path is read, where it is written; else as the listener says.
    pub path: Option<PathRules>,
    /// Its policies.
    pub policies: Policies,
}

impl RouteBody {
    /// `timeout` where nothing is written.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
}

/// What a route does. Bodies are nodes: the kinds of actions read them.
#[derive(Clone, Debug)]
pub enum Action {
    /// Forward to a service.
    Upstream(Target),
    /// Call several sources and answer once.
    Aggregate(Node),
    /// Answer with a redirect.
    Redirect(Node),
    /// Answer in place.
    Respond(Node),
}

/// Which service is meant.
#[derive(Clone, Debug)]
pub enum Target {
    /// One of `upstreams`.
    Named(Text),
    /// An anonymous one.
    Url(Url),
}

/// The Host that the upstream sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream's own.
    Upstream,
    /// The client's.
    Client,
    /// This one.
    Literal(Text),
}

const ACTIONS: [&str; 4] = ["upstream", "aggregate", "redirect", "respond"];

const ROUTE: &[Key] = &[
    Key::optional("match", condition::schema, "What else must hold"),
    Key::optional("upstream", shape::text, "Action: forward to this upstream, a name or a URL"),
    Key::optional("aggregate", || shape::defined("aggregate"), "Action: call several sources, answer once"),
    Key::optional("redirect", || shape::defined("redirect"), "Action: answer with a redirect"),
    Key::optional("respond", || shape::defined("respond"), "Action: answer in place"),
    Key::optional("rewrite", shape::text, "The new path; in a `*` route what replaces the matched prefix"),
    Key::optional("rewrite_location", shape::boolean, rewrites::LOCATION),
    Key::optional("rewrite_cookies", rewrites::cookies_schema, rewrites::COOKIE),
    Key::optional(
        "timeout",
        shape::duration,
        "Until the head of the answer, or a whole aggregate (default 30s)",
    ),
    Key::optional(
        "trailers",
        shape::texts,
        "Trailer fields of requests that pass to the service (default: none, but all of gRPC calls)",
    ),
    Key::optional("host", shape::text, "The Host sent: `upstream` (default), `client`, or a literal"),
    Key::optional("path", path_rules::schema, "How the path is read"),
    Key::optional("policies", || shape::defined("policies"), "Policies of this route"),
    Key::later("retry"),
    Key::later("tls"),
    Key::later("compress"),
    Key::later("mirror"),
    Key::later("sticky"),
];

/// The schema of `routes`.
pub(super) fn schema() -> Schema {
    let route = shape::object(ROUTE);
    shape::map(shape::any(vec![route.clone(), shape::list(route)]))
}

/// Reads `routes`.
pub(super) fn read(field: Field<'_>, vocabulary: Vocabulary<'_>) -> Vec<Route> {
    if !field.is_map() {
        field.mismatch("a map");
    }
    field.node().entries().iter().filter_map(|entry| route(entry, field, vocabulary)).collect()
}

fn route(entry: &Entry, routes: Field<'_>, vocabulary: Vocabulary<'_>) -> Option<Route> {
    let out = routes.out();
    let key = pattern::parse(&entry.key.value)
        .map_err(|bad| {
            let what = format!("{} is no route: {}", quoted(&entry.key.value), bad.what);
            out.add(Diagnostic::error(entry.key_text.part(bad.range), what).help(bad.help));
        })
        .ok();
    for doubt in key.iter().flat_map(RouteKey::doubts) {
        let span = entry.key_text.part(doubt.range);
        out.add(Diagnostic::warning(span, doubt.what).help(doubt.help));
    }
    let field = Field::new(&entry.key.value, entry.key.span, &entry.value, out);
    if field.is_list() && entry.value.items().is_empty() {
        field.error("a route without an action", "write `{ upstream: NAME }`");
    }
    let alternatives: Vec<RouteBody> =
        field.one_or_many().into_iter().filter_map(|item| body(item, vocabulary)).collect();
    unreachable(&alternatives, out);
    let name = Spanned::new(entry.key.value.as_str().into(), entry.key.span);
    Some(Route { name, key: key?, alternatives })
}

/// An alternative without `match` answers everything: none after it is ever asked.
fn unreachable(alternatives: &[RouteBody], out: &super::diagnostic::Diagnostics) {
    let mut open: Option<&RouteBody> = None;
    for body in alternatives {
        if let Some(first) = open {
            let problem =
                Diagnostic::error(body.at, "unreachable: an earlier alternative answers everything");
            let problem = problem.help("put the alternative without `match` last");
            out.add(problem.note(first.at, "this one has no `match`"));
        } else if body.condition.is_none() {
            open = Some(body);
        }
    }
}

fn body(field: Field<'_>, vocabulary: Vocabulary<'_>) -> Option<RouteBody> {
    let section = Section::open(field, ROUTE)?;
    let chosen = section.exactly_one(&ACTIONS);
    let action = chosen.and_then(|field| {
        let action = match field.name() {
            "upstream" => Action::Upstream(target(field)?),
            "aggregate" => Action::Aggregate(map(field)?),
            "redirect" => Action::Redirect(map(field)?),
            _ => Action::Respond(map(field)?),
        };
        Some(Spanned::new(action, field.label()))
    });
    if let Some(chosen) = chosen {
        let proxying = &ACTIONS[..1];
        for (key, actions) in [
            ("rewrite", proxying),
            ("rewrite_location", proxying),
            ("rewrite_cookies", proxying),
            ("host", proxying),
            ("trailers", proxying),
            ("timeout", &ACTIONS[..2]),
        ] {
            if let Some(idle) = section.get(key).filter(|_| !actions.contains(&chosen.name())) {
                let what = format!("{} does nothing beside {}", quoted(key), quoted(chosen.name()));
                field.out().add(Diagnostic::error(idle.label(), what).help("remove it"));
            }
        }
    }
    let condition = section.get("match").map(|f| condition::read(f).unwrap_or_default());
    let rewrite = section.get("rewrite").and_then(rewrite);
    let rewrites = rewrites::read(&section);
    let trailers = section.read("trailers", Vec::new(), |f| f.list_of(|item| item.text()));
    let timeout = section.get("timeout").and_then(|f| f.positive_duration());
    let host = section.read("host", HostHeader::Upstream, host);
    let path = section.get("path").and_then(path_rules::read);
    let policies = section.read("policies", Policies::default(), |f| Policies::read(f, vocabulary, false));
    let mut print = std::hash::DefaultHasher::new();
    field.node().feed(&mut print);
    let print = std::hash::Hasher::finish(&print);
    Some(RouteBody {
        at: field.label(),
        print,
        condition,
        action: action?,
        rewrite,
        rewrites,
        trailers,
        timeout,
        host,
        path,
        policies,
    })
}

fn map(field: Field<'_>) -> Option<Node> {
    if !field.is_map() {
        field.mismatch("a map");
        return None;
    }
    Some(field.node().clone())
}

/// Reads the upstream of a route or of a source: a name, or a URL in place.
pub fn target(field: Field<'_>) -> Option<Target> {
    if field.is_list() {
        let what = "a list of upstreams is part of the language but not supported by this version";
        field.error(what, "name one upstream");
        return None;
    }
    let text = field.filled()?;
    if text.as_str().contains("://") { field.url().map(Target::Url) } else { Some(Target::Named(text)) }
}

fn rewrite(field: Field<'_>) -> Option<Text> {
    let text = field.text()?;
    if !text.as_str().starts_with(['/', '{']) {
        field.error(
            format!("{} is a path: it starts with `/`", quoted("rewrite")),
            "write `rewrite: /` to strip the prefix",
        );
        return None;
    }
    Some(text)
}

fn host(field: Field<'_>) -> Option<HostHeader> {
    let text = field.header_value()?;
    match text.as_str() {
        "upstream" => return Some(HostHeader::Upstream),
        "client" => return Some(HostHeader::Client),
        _ => {}
    }
    // A host and maybe a port (RFC 9110 section 7.2); that it is well formed is the operator's word.
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if text.as_str().is_empty() || !text.as_str().bytes().all(good) {
        field.error(
            format!("{} is not a host", text.shown()),
            "write `upstream`, `client`, or a host such as `shop.example.com`",
        );
        return None;
    }
    Some(HostHeader::Literal(text))
}
