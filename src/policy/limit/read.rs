//! Reads a rate limit from the configuration, declared or in place.

use std::sync::Arc;

use crate::config::{Diagnostic, Field, Key as ConfigKey, Kind, Schema, Section, Value, shape};
use crate::exchange::{Exchange, Name};
use crate::expression::{Expression, Scope, load};
use crate::policy::{Build, Env, Phase, Policy};

use super::headers::HeaderStyle;
use super::key::{ClientIp, Key, KeyBytes, KeyOutcome};
use super::rate_limit::{RateLimit, Settings};

/// The policy `rate_limit`.
pub const KIND: Kind<Build> = Kind {
    name: "rate_limit",
    summary: "Limits how many requests a client may send: the name of a limit, or a limit in place",
    schema: || shape::any(vec![shape::text(), schema()]),
    build,
};

const LIMIT: &[ConfigKey] = &[
    ConfigKey::needed("limit", shape::integer, "Requests per window"),
    ConfigKey::needed("window", shape::duration, "The window, started by a key's first request"),
    ConfigKey::optional("key", shape::cel, "Whose budget is spent (default client.ip): a CEL expression"),
    ConfigKey::needed("algorithm", || shape::choice(&["fixed_window"]), "How the window is counted"),
    ConfigKey::needed("headers", || shape::list(shape::choice(&["draft-7"])), "How the client is told"),
    ConfigKey::optional(
        "ipv6_prefix",
        shape::integer,
        "The bits of an IPv6 client's address that count (56)",
    ),
    ConfigKey::later("burst"),
    ConfigKey::later("cost"),
    ConfigKey::later("store"),
    ConfigKey::later("when_store_fails"),
    ConfigKey::later("skip"),
    ConfigKey::later("count"),
    ConfigKey::later("missing"),
    ConfigKey::later("status"),
    ConfigKey::later("lease"),
];

/// What a limit looks like.
pub fn schema() -> Schema {
    shape::object(LIMIT)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    if field.is_map() {
        return declare(field, env.scope, in_place(field, env.place), env);
    }
    env.named.find("rate_limit", field.text()?.as_str())
}

/// The name of a limit that is written in place. Beside whose it is it tells what is counted, and how long: an edit
/// that puts another limit in its place does not hand it these counters.
fn in_place(field: Field<'_>, place: &str) -> Name {
    let written = |key: &str| match field.node().get(key).map(|node| &node.value) {
        Some(Value::Scalar(scalar)) => scalar.raw().escape_debug().to_string(),
        _ => String::new(),
    };
    format!("{place} ({} per {})", written("key"), written("window")).into()
}

/// Reads a limit whose counters are kept under `name`.
pub fn declare(field: Field<'_>, scope: &Scope, name: Name, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let section = Section::open(field, LIMIT)?;
    let limit = section.get("limit").and_then(|limit| {
        if limit.is_list() {
            limit.out().add(crate::config::not_yet(limit.span(), "a list of tiers"));
            return None;
        }
        limit.integer(1..=u64::from(u32::MAX))
    });
    let window = section.get("window").and_then(|window| window.positive_duration());
    let later = ["sliding_window", "token_bucket"];
    let algorithm =
        section.get("algorithm").and_then(|algorithm| algorithm.choice(&[("fixed_window", ())], &later));
    let headers = section.get("headers").and_then(|headers| {
        headers.list_of(|style| {
            style.choice(&[("draft-7", HeaderStyle::Draft7)], &["draft-8", "draft-6", "legacy"])
        })
    });
    let bits =
        section.read("ipv6_prefix", u64::from(ClientIp::DEFAULT_PREFIX), |bits| bits.integer(32..=128));
    let address = ClientIp::new(u8::try_from(bits).unwrap_or(ClientIp::DEFAULT_PREFIX));
    let key = match section.get("key") {
        None => Some((Box::new(address) as Box<dyn Key>, false)),
        Some(key) => expression_key(key, scope, address),
    };
    let (limit, window, ()) = (limit?, window?, algorithm?);
    let (key, needs_identity) = key?;
    Some(Arc::new(RateLimit::new(Settings {
        name,
        limit,
        window,
        key,
        address,
        store: Arc::clone(env.store),
        clock: Arc::clone(env.clock),
        headers: headers?,
        phase: if needs_identity { Phase::LimitAfter } else { Phase::LimitBefore },
    })))
}

fn expression_key(field: Field<'_>, scope: &Scope, address: ClientIp) -> Option<(Box<dyn Key>, bool)> {
    let text = field.cel()?;
    if text.as_str().trim() == "client.ip" {
        return Some((Box::new(address), false));
    }
    let expression = load::expression(&text, scope, field.out())?;
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
    let needs_identity = expression.needs_identity();
    Some((Box::new(ByExpression(expression)), needs_identity))
}

/// A key that a CEL expression gives; absent where the expression cannot be read.
struct ByExpression(Expression);

impl Key for ByExpression {
    fn key(&self, exchange: &Exchange, out: &mut KeyBytes) -> KeyOutcome {
        match self.0.text(exchange) {
            Ok(text) if text.is_empty() => KeyOutcome::Missing(None),
            Ok(text) => {
                out.extend_from_slice(text.as_bytes());
                KeyOutcome::Written
            }
            Err(error) => KeyOutcome::Missing(Some(error.to_string().into())),
        }
    }
}
