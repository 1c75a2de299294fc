//! Reads an aggregate from the configuration.

use std::sync::Arc;

use crate::action::{Action, Build, Env};
use crate::config::{Diagnostic, Field, Key, Kind, Schema, Section, shape, target};
use crate::expression::{Place, load};

use super::{Aggregate, Source};

/// The action `aggregate`.
pub const KIND: Kind<Build> = Kind {
    name: "aggregate",
    summary: "Call several sources side by side and answer once, with one JSON object",
    schema,
    build,
};

const AGGREGATE: &[Key] = &[
    Key::optional(
        "mode",
        || shape::choice(&["all"]),
        "`all`: the first failure fails the call (the default)",
    ),
    Key::needed(
        "sources",
        || shape::map(shape::object(SOURCE)),
        "What is called, side by side; a member each",
    ),
    Key::later("shape"),
    Key::later("errors_key"),
];

const SOURCE: &[Key] = &[
    Key::needed("upstream", shape::text, "Who answers: an upstream or a URL"),
    Key::needed("path", shape::text, "The path there: a template"),
    Key::optional("timeout", shape::duration, "For the whole answer of this source"),
    Key::optional("max_body", shape::size, "The largest answer (default 1MiB)"),
    Key::later("method"),
    Key::later("headers"),
    Key::later("query"),
    Key::later("body"),
    Key::later("forward_headers"),
    Key::later("required"),
    Key::later("fallback"),
    Key::later("accept"),
    Key::later("cache"),
    Key::later("stale_if_error"),
    Key::later("shared"),
    Key::later("merge"),
    Key::later("when"),
    Key::later("for_each"),
    Key::later("concurrency"),
    Key::later("max_items"),
    Key::later("deadline_header"),
];

/// A source's largest answer where nothing is written.
const MAX_BODY: u64 = 1024 * 1024;

/// The sources of one aggregate, at most: each is a call for every call of a client.
const MAX_SOURCES: usize = 64;

fn schema() -> Schema {
    shape::object(AGGREGATE)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Action>> {
    let section = Section::open(field, AGGREGATE)?;
    section.read("mode", (), |mode| mode.choice(&[("all", ())], &["partial"]));
    let sources = section.get("sources")?;
    let entries = sources.entries()?;
    if entries.is_empty() || entries.len() > MAX_SOURCES {
        sources.error(
            format!("{} sources", entries.len()),
            format!("an aggregate has from 1 to {MAX_SOURCES} sources"),
        );
        return None;
    }
    let read: Vec<Option<Source>> = entries
        .into_iter()
        .map(|(name, field)| {
            let first = name.value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
            let good =
                first && name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            if !good {
                let what = format!("`{}` cannot name a source", name.value);
                let help = "a name begins with a letter and goes on with letters, digits, `_` and `-`";
                field.out().add(Diagnostic::error(name.span, what).help(help));
            }
            source(name.value, field, env).filter(|_| good)
        })
        .collect();
    let sources = read.into_iter().collect::<Option<Vec<Source>>>()?;
    Some(Arc::new(Aggregate { sources }))
}

fn source(name: &str, field: Field<'_>, env: &Env<'_>) -> Option<Source> {
    let section = Section::open(field, SOURCE)?;
    let called = section.get("upstream").and_then(target).and_then(|target| (env.called)(&target));
    let path = section.get("path").and_then(|path| {
        let text = path.filled()?;
        if !text.as_str().starts_with(['/', '{']) {
            path.error("the path of a source starts with `/`", format!("write `/{}`", text.as_str()));
            return None;
        }
        load::template(&text, env.scope, Place::PathOrUrl, path.out())
    });
    let timeout = section.get("timeout").and_then(|timeout| timeout.positive_duration());
    let max_body = section.read("max_body", MAX_BODY, |size| size.size());
    let called = called?;
    Some(Source {
        name: name.into(),
        number: called.number,
        upstream: called.upstream,
        path: path?,
        timeout,
        max_body,
    })
}
