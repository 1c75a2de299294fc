//! Reads a rate limit from the configuration, declared or in place.

use std::sync::Arc;

use http::StatusCode;

use crate::config::{Diagnostic, Field, Key as ConfigKey, Kind, Schema, Section, Value, shape};
use crate::exchange::Name;
use crate::expression::{Expression, Scope};
use crate::policy::{Build, Env, Phase, Policy};
use crate::store::memory::DEFAULT_MAX_KEYS;
use crate::store::{Algorithm, Limit, Wanted};

use super::headers::{Conflict, FieldParts, HeaderStyle, Styles};
use super::key::ClientIp;
use super::plan::Limits;
use super::rate_limit::{Count, Missing, RateLimit, Settings};
use super::words;

/// The policy `rate_limit`.
pub const KIND: Kind<Build> = Kind {
    name: "rate_limit",
    summary: "Limits how many requests a client may send: the name of a limit, or a limit in place",
    schema: || shape::any(vec![shape::text(), schema()]),
    build,
};

const ALGORITHMS: &[&str] = &["sliding_window", "fixed_window", "token_bucket"];
const STYLES: &[&str] = &["draft-8", "draft-7", "draft-6", "legacy"];
const MOST_KEYS: u64 = 16_000_000;

const LIMIT: &[ConfigKey] = &[
    ConfigKey::needed(
        "limit",
        || shape::any(vec![shape::integer(), shape::list(words::tier_schema())]),
        "Permits per window, or tiers of them",
    ),
    ConfigKey::needed("window", shape::duration, "The length of the window"),
    ConfigKey::optional("key", shape::cel, "Whose budget is spent (default client.ip): a CEL expression"),
    ConfigKey::optional(
        "algorithm",
        || shape::choice(ALGORITHMS),
        "How permits are counted (default sliding_window)",
    ),
    ConfigKey::optional("burst", shape::integer, "token_bucket: the size of the bucket (default: the limit)"),
    ConfigKey::optional("cost", shape::cel, "What a request takes (default 1): a CEL expression"),
    ConfigKey::optional("skip", shape::cel, "Requests that are not limited: a CEL condition"),
    ConfigKey::optional(
        "count",
        || shape::choice(&["all", "failed", "successful"]),
        "Which requests count (default all)",
    ),
    ConfigKey::optional(
        "missing",
        || shape::choice(&["client_ip", "shared", "deny", "skip"]),
        "What an absent key means (default client_ip)",
    ),
    ConfigKey::optional(
        "headers",
        || shape::list(shape::choice(STYLES)),
        "How the client learns of it (default [draft-8], where that goes with the other limits)",
    ),
    ConfigKey::optional("status", shape::integer, "The status of a refusal (default 429)"),
    ConfigKey::optional(
        "ipv6_prefix",
        shape::integer,
        "The bits of an IPv6 client's address that count: 32 to 64, or 128 (default 56)",
    ),
    ConfigKey::optional("max_keys", shape::integer, "The most keys that the process keeps (default 1000000)"),
    ConfigKey::optional("store", || shape::choice(&["memory", "redis"]), "Where it counts (default memory)"),
    ConfigKey::optional(
        "when_store_fails",
        || shape::choice(&["local", "allow", "deny"]),
        "store: redis: what happens while Redis is away (default local)",
    ),
    ConfigKey::optional(
        "lease",
        || shape::any(vec![shape::choice(&["none"]), shape::percentage()]),
        "store: redis: the share of the limit that a replica may take ahead (default 5%)",
    ),
];

/// What a limit looks like.
pub fn schema() -> Schema {
    shape::object(LIMIT)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    if field.is_map() {
        return declare(field, env.scope, in_place(field, env.place), None, env);
    }
    env.named.find("rate_limit", field.text()?.as_str())
}

/// The name of a limit that is written in place: its place and what it counts by. An edit that changes the numbers, the
/// window or the algorithm leaves the name, and with it what is spent; one that counts by another key begins anew.
fn in_place(field: Field<'_>, place: &str) -> Name {
    let written = |key: &str| match field.node().get(key).map(|node| &node.value) {
        Some(Value::Scalar(scalar)) => scalar.raw().escape_debug().to_string(),
        _ => String::new(),
    };
    format!("{place} ({})", written("key")).into()
}

/// Reads a limit whose budgets are kept under `name`, and which is told under `declared` where it has a name of its own.
pub fn declare(
    field: Field<'_>,
    scope: &Scope,
    name: Name,
    declared: Option<&str>,
    env: &Env<'_>,
) -> Option<Arc<dyn Policy>> {
    let section = Section::open(field, LIMIT)?;
    let tiers = section.get("limit").and_then(|limit| words::tiers(limit, scope));
    let window = section.get("window").and_then(|window| window.positive_duration());
    let algorithm = [
        ("sliding_window", Algorithm::SlidingWindow),
        ("fixed_window", Algorithm::FixedWindow),
        ("token_bucket", Algorithm::TokenBucket),
    ];
    let algorithm = section.read("algorithm", Algorithm::default(), |f| f.choice(&algorithm, &[]));
    let burst = burst(&section, algorithm);
    let count = [("all", Count::All), ("failed", Count::Failed), ("successful", Count::Successful)];
    let count = section.read("count", Count::default(), |f| f.choice(&count, &[]));
    let missing = [
        ("client_ip", Missing::ClientIp),
        ("shared", Missing::Shared),
        ("deny", Missing::Deny),
        ("skip", Missing::Skip),
    ];
    let missing = section.read("missing", Missing::default(), |f| f.choice(&missing, &[]));
    let status = section.read("status", 429, |f| f.integer(400..=599));
    let max_keys = section.read("max_keys", DEFAULT_MAX_KEYS as u64, |f| f.integer(1..=MOST_KEYS));
    let styles = section.get("headers").and_then(styles);
    let cost = words::optional(&section, "cost", scope);
    let skip = words::optional(&section, "skip", scope);
    let key = match section.get("key") {
        None => Some(None),
        Some(key) => expression_key(key, scope),
    };
    let address = address(&section, missing, key.as_ref());
    let place = words::place(&section, env.redis);

    let window_us = u64::try_from(window?.as_micros()).unwrap_or(u64::MAX >> 16).clamp(1000, u64::MAX >> 16);
    let tiers = tiers?;
    let slowest = tiers.iter().map(|(_, limit)| *limit).filter(|limit| *limit > 0).min().unwrap_or(0);
    let of = |limit: u64| Limit { algorithm, limit, window_us, burst: burst.unwrap_or(limit), slowest };
    let tiers: Vec<_> = tiers.into_iter().map(|(when, limit)| (when, of(limit))).collect();
    let (key, cost, skip, (place, when_store_fails, lease)) = (key?, cost?, skip?, place?);
    let read = tiers.iter().filter_map(|(when, _)| when.as_ref()).chain(&key).chain(&cost).chain(&skip);
    let needs_identity = read.into_iter().any(Expression::needs_identity);
    let max_keys = usize::try_from(max_keys).unwrap_or(DEFAULT_MAX_KEYS);
    let wanted = Wanted { name: Name::clone(&name), place, max_keys, when_store_fails, lease };
    Some(Arc::new(Limits::one(RateLimit::new(Settings {
        parts: FieldParts::new(declared, window_us),
        styles,
        told_at: section.get("headers").map(|headers| headers.span()),
        tiers,
        cost,
        skip,
        count,
        key,
        address,
        missing,
        status: StatusCode::from_u16(u16::try_from(status).ok()?).ok()?,
        store: env.counters.of(&wanted),
        metrics: env.metrics.limit(&name),
        phase: if needs_identity { Phase::LimitAfter } else { Phase::LimitBefore },
        name,
    }))))
}

fn styles(field: Field<'_>) -> Option<Styles> {
    let all = [HeaderStyle::Draft8, HeaderStyle::Draft7, HeaderStyle::Draft6, HeaderStyle::Legacy];
    let words = all.map(|style| (style.word(), style));
    let mut before = Styles::of(&[]);
    field.list_of(|item| {
        let style = item.choice(&words, &[])?;
        let this = Styles::of(&[style]);
        if let Some(Conflict { mine, theirs, field }) = this.conflict(before) {
            let (mine, theirs) = (mine.word(), theirs.word());
            item.error(
                format!(
                    "`{mine}` and `{theirs}` cannot stand together: both write `{field}`, in two grammars"
                ),
                "keep one of them; `legacy` goes with any",
            );
        }
        before = before.and(this);
        Some(())
    })?;
    Some(before)
}

fn burst(section: &Section<'_>, algorithm: Algorithm) -> Option<u64> {
    let burst = section.get("burst")?;
    if algorithm != Algorithm::TokenBucket {
        let problem = Diagnostic::error(burst.label(), "`burst` belongs to the algorithm token_bucket");
        burst.out().add(problem.help("add `algorithm: token_bucket`, or take it out"));
        return None;
    }
    burst.integer(1..=u64::from(u32::MAX))
}

fn address(section: &Section<'_>, missing: Missing, key: Option<&Option<Expression>>) -> ClientIp {
    let Some(field) = section.get("ipv6_prefix") else { return ClientIp::default() };
    let Some(bits) = field.integer(32..=128) else { return ClientIp::default() };
    if (65..128).contains(&bits) {
        field.error(
            "a prefix between 65 and 127 cuts through the network of one client",
            "write 32 to 64, or 128 for the whole address",
        );
    }
    if key.is_some_and(Option::is_some) && missing != Missing::ClientIp {
        let warning = Diagnostic::warning(field.label(), "`ipv6_prefix` counts nothing here");
        field
            .out()
            .add(warning.help("addresses are counted with the key client.ip, or `missing: client_ip`"));
    }
    ClientIp::new(u8::try_from(bits).unwrap_or(ClientIp::DEFAULT_PREFIX))
}

/// The key; none where it is the client's address.
fn expression_key(field: Field<'_>, scope: &Scope) -> Option<Option<Expression>> {
    let expression = words::condition(field, scope)?;
    if expression.is_client_ip() {
        return Some(None);
    }
    let free =
        !expression.references().is_empty() && expression.references().iter().all(|at| at.free_choice());
    if free {
        let warning =
            Diagnostic::warning(field.span(), "the only key of this limit is the client's free choice");
        field.out().add(
            warning
                .help("who sends another value each time is never limited: key by client.ip or identity.id"),
        );
    }
    Some(Some(expression))
}
