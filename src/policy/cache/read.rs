//! Reads `cache` from the configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Field, Key, Kind, Schema, Section, shape};
use crate::expression::{Reference, load};
use crate::policy::{Build, Env, Policy};

use super::{Cached, Settings};

/// The policy `cache`.
pub const KIND: Kind<Build> = Kind {
    name: "cache",
    summary: "Answers that are given again without asking the service, after RFC 9111",
    schema,
    build,
};

const KEYS: &[Key] = &[
    Key::optional(
        "key",
        shape::cel,
        "CEL: what tells requests apart, in place of host, path and query (the route, and who asks, always do)",
    ),
    Key::optional("methods", methods_schema, "`[GET, HEAD]` (default), or `[GET]`: a HEAD always asks then"),
    Key::optional("shared", shape::boolean, "Clients share answers whoever they are (default false)"),
    Key::optional(
        "stale_if_error",
        shape::duration,
        "How long a stale answer stands in for 500, 502, 503 and 504 (default: as the answer says, else not)",
    ),
    Key::optional(
        "stale_while_revalidate",
        shape::duration,
        "How long a stale answer is given while one request fetches anew (default: as the answer says, else not)",
    ),
    Key::optional(
        "ttl",
        shape::duration,
        "How long an answer is fresh that says nothing of it (default: such answers are not kept)",
    ),
];

fn methods_schema() -> Schema {
    shape::list(shape::choice(&["GET", "HEAD"]))
}

fn schema() -> Schema {
    shape::object(KEYS)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let section = Section::open(field, KEYS)?;
    let duration = |key| section.read(key, Some(Duration::ZERO), |f: Field<'_>| Some(f.duration()));
    let ttl = section.read("ttl", Some(None), |f| Some(f.positive_duration().map(Some)));
    let key = section.read("key", Some(None), |f| {
        Some(f.cel().and_then(|text| load::expression(&text, env.scope, f.out())).map(Some))
    });
    let head = section.read("methods", Some(true), |f| Some(methods(f)));
    let (error, revalidate) = (duration("stale_if_error"), duration("stale_while_revalidate"));
    let shared = section.read("shared", Some(false), |f| Some(f.boolean()));
    let key = key?;
    let key_has_cookies = key
        .iter()
        .flat_map(|key| key.references())
        .any(|reference| matches!(reference, Reference::Cookie(_)));
    let settings = Settings {
        cache: Arc::clone(env.cache),
        ttl: ttl?,
        key,
        head: head?,
        stale_if_error: error?,
        stale_while_revalidate: revalidate?,
        shared: shared?,
    };
    Some(Arc::new(Cached { settings, key_has_cookies }))
}

/// Whether `HEAD` is among the methods; `GET` has to be.
fn methods(field: Field<'_>) -> Option<bool> {
    let words = [("GET", false), ("HEAD", true)];
    let list = field.list_of(|item| item.choice(&words, &[]))?;
    if list.len() < field.node().items().len() {
        return None;
    }
    if !list.contains(&false) {
        field
            .error("`GET` is missing: a HEAD is answered from what a GET has brought", "write `[GET, HEAD]`");
        return None;
    }
    Some(list.contains(&true))
}
