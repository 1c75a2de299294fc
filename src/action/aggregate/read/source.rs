//! Reads one source.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::action::Env;
use crate::config::{Diagnostic, Field, Key, Section, Span, shape, target};
use crate::exchange::headers::valid_name;
use crate::exchange::target::PathRules;
use crate::exchange::{HeaderId, Name};
use crate::expression::{Reference, Scope, load};

use super::super::graph;
use super::super::source::{Caching, ForEach, Source};
use super::super::written::WrittenSource;
use super::ask;

/// The keys of a source.
pub(super) const SOURCE: &[Key] = &[
    Key::needed("upstream", shape::text, "Who answers: an upstream or a URL"),
    Key::needed("path", shape::text, "The path there: a template"),
    Key::optional("method", shape::text, "The method (default GET)"),
    Key::optional(
        "query",
        || shape::map(shape::text()),
        "Names and values of its query; values are templates",
    ),
    Key::optional("headers", || shape::map(shape::text()), "Header lines it is sent; values are templates"),
    Key::optional(
        "body",
        ask::any,
        "What it is sent: text as it stands, or JSON whose strings are templates",
    ),
    Key::optional("forward_headers", || shape::list(shape::text()), "Lines of the client's that pass"),
    Key::optional("deadline_header", shape::text, "The line that tells it the milliseconds that are left"),
    Key::optional("timeout", shape::duration, "For the whole answer of this source"),
    Key::optional("max_body", shape::size, "The largest answer (default 1MiB)"),
    Key::optional(
        "accept",
        || shape::list(shape::integer()),
        "Statuses beside 200 to 299 that are no failure",
    ),
    Key::optional(
        "required",
        shape::boolean,
        "Whether the whole call fails where it does, in mode `partial`",
    ),
    Key::optional("fallback", ask::any, "JSON that stands in for it where it fails, in mode `partial`"),
    Key::optional("when", shape::cel, "A CEL condition: where it does not hold, the source is not called"),
    Key::optional("for_each", shape::cel, "A CEL list: the source is called once for every `item`"),
    Key::optional("concurrency", shape::integer, "Calls of `for_each` at a time (default 5)"),
    Key::optional("max_items", shape::integer, "Items of `for_each` at most (default 20)"),
    Key::optional("merge", shape::boolean, "Whether its members are lifted to the top"),
    Key::optional("expose", || shape::list(shape::text()), "Lines of its answer that the client gets"),
    Key::optional("cache", shape::duration, "How long its answer is kept; for GET"),
    Key::optional("stale_if_error", shape::duration, "How much longer what is kept stands in where it fails"),
    Key::optional("shared", shape::boolean, "Whether what is kept for one client is given to others"),
];

/// A source's largest answer where nothing is written.
const MAX_BODY: u64 = 1024 * 1024;

/// Names of lines that a client never gets of a source: they speak of the source's own answer, or of the house.
const NEVER_EXPOSED: &[&str] = &[
    "accept-ranges",
    "age",
    "aggregate-status",
    "cache-control",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "digest",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "refresh",
    "repr-digest",
    "server",
    "vary",
    "via",
    "x-powered-by",
    "x-request-id",
];

/// How the names begin that only policies of the gateway set: what a source says would contradict them.
const GATEWAYS_OWN: [&str; 3] = ["access-control-", "ratelimit", "x-ratelimit-"];

/// Reads a source; `None` after what is wrong was reported.
pub(super) fn read(
    name: Name,
    span: Span,
    field: Field<'_>,
    scope: &Scope,
    env: &Env<'_>,
) -> Option<WrittenSource> {
    let section = Section::open(field, SOURCE)?;
    let called = section.get("upstream").and_then(target).and_then(|target| (env.called)(&target));
    let scope = Scope { item: section.has("for_each"), ..scope.clone() };
    let out = section.out();
    let ask = ask::ask(&section, &scope);
    let condition = |key: &str, scope: &Scope| match section.get(key) {
        None => Some(None),
        Some(field) => Some(Some(load::expression(&field.cel()?, scope, out)?)),
    };
    // The list is made before there is an item, and so is the decision to call at all.
    let outside = Scope { item: false, ..scope.clone() };
    let (when, list) = (condition("when", &outside), condition("for_each", &outside));
    let for_each = each(&section, list);
    let timeout = section.get("timeout").and_then(|timeout| timeout.positive_duration());
    let max_body = section.read("max_body", MAX_BODY, |size| size.size());
    let accept = section.read("accept", Vec::new(), |list| list.list_of(status));
    let flag = |key: &str| section.read(key, false, |field| field.boolean());
    let (required, merge) = (flag("required"), flag("merge"));
    if let Some(field) = section.get("for_each").filter(|_| merge) {
        out.add(
            Diagnostic::error(field.label(), "a list has no members that `merge` could lift")
                .help("remove one of them"),
        );
        return None;
    }
    let fallback = fallback(&section);
    let expose = section.read("expose", Vec::new(), |list| list.list_of(exposed));
    let ask = ask?;
    let cache = cache(&section, ask.method == http::Method::GET, env);
    let (called, when, for_each) = (called?, when?, for_each?);
    let mut references: Vec<&Reference> = ask.references();
    references
        .extend(when.iter().chain(for_each.iter().map(|each| &each.list)).flat_map(|one| one.references()));
    let needs = graph::needs(&scope.sources, references);
    let response = called.upstream.settings().timeouts.response;
    let lifted = timeout.filter(|timeout| !called.response_is_written && *timeout > response);
    let at = |key: &str| section.get(key).map(|field| field.span());
    Some(WrittenSource {
        span,
        required_at: at("required").filter(|_| required),
        fallback_at: at("fallback"),
        timeout_at: at("timeout"),
        source: Source {
            metrics: env.metrics.source(env.listener, env.route, &name),
            name,
            number: called.number,
            upstream: called.upstream,
            ask,
            // A `;` here is the configuration's own, or came in a path that the route keeps it in.
            path_rules: PathRules { semicolon_keep: true, ..env.path_rules },
            needs,
            is_read: false,
            when,
            for_each,
            timeout,
            lifted,
            max_body,
            accept,
            required,
            fallback: fallback?,
            merge,
            expose,
            cache: cache?,
        },
    })
}

fn each(
    section: &Section<'_>,
    list: Option<Option<crate::expression::Expression>>,
) -> Option<Option<ForEach>> {
    let list = list?;
    for key in ["concurrency", "max_items"] {
        if let Some(field) = section.get(key).filter(|_| list.is_none()) {
            field.error(format!("`{key}` belongs to `for_each`"), "write `for_each`, or remove it");
            return None;
        }
    }
    let number = |key: &str, default: usize, most: u64| {
        section.read(key, default, |field| usize::try_from(field.integer(1..=most)?).ok())
    };
    Some(list.map(|list| ForEach {
        list,
        concurrency: number("concurrency", 5, 64),
        max_items: number("max_items", 20, 1000),
    }))
}

fn status(field: Field<'_>) -> Option<StatusCode> {
    let number = u16::try_from(field.integer(200..=599)?).ok()?;
    StatusCode::from_u16(number).ok()
}

/// `Some(None)` where none is written.
fn fallback(section: &Section<'_>) -> Option<Option<bytes::Bytes>> {
    let Some(field) = section.get("fallback") else { return Some(None) };
    let mut text = String::new();
    field.json()?.write(&mut text);
    Some(Some(text.into()))
}

fn exposed(field: Field<'_>) -> Option<String> {
    let name = field.filled()?.into_string().to_ascii_lowercase();
    let id = HeaderId::of(name.as_bytes());
    if GATEWAYS_OWN.iter().any(|own| name.starts_with(own)) {
        let what = format!("`{name}` of a source never reaches the client");
        field.error(what, "only `cors` and `rate_limit` of the gateway set such headers: remove it");
        return None;
    }
    if !valid_name(name.as_bytes()) || id.hop_by_hop() || NEVER_EXPOSED.contains(&name.as_str()) {
        let what = format!("`{name}` of a source never reaches the client");
        field.error(what, "it speaks of the source's own answer, which the client does not get: remove it");
        return None;
    }
    Some(name)
}

/// `Some(None)` where nothing is kept.
fn cache(section: &Section<'_>, is_get: bool, env: &Env<'_>) -> Option<Option<Caching>> {
    let Some(field) = section.get("cache") else {
        for key in ["stale_if_error", "shared"] {
            if let Some(field) = section.get(key) {
                field.error(format!("`{key}` belongs to `cache`"), "write `cache: 30s`, or remove it");
                return None;
            }
        }
        return Some(None);
    };
    if !is_get {
        field.out().add(
            Diagnostic::error(field.label(), "only what GET gives is kept")
                .help("remove `cache`, or ask by GET"),
        );
        return None;
    }
    let stale = section.read("stale_if_error", Duration::ZERO, |field| field.positive_duration());
    let shared = section.read("shared", false, |field| field.boolean());
    Some(Some(Caching {
        store: Arc::clone(env.cache),
        ttl: field.positive_duration()?,
        stale_if_error: stale,
        shared,
    }))
}
