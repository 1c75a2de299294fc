//! Reads an aggregate from the configuration.

mod ask;
mod source;

use std::sync::Arc;

use crate::action::{Action, Build, Env};
use crate::config::{Diagnostic, Field, Key, Kind, Schema, Section, Spanned, shape};
use crate::exchange::Name;
use crate::expression::{Reference, Scope};
use crate::shaping::Shape;
use crate::shaping::read::{SHAPE, Written};

use super::written::WrittenSource;
use super::{Aggregate, check, graph};

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
        || shape::choice(&["all", "partial"]),
        "`all`: the first failure fails the call (the default); `partial`: what there is, and what failed is told",
    ),
    Key::needed(
        "sources",
        || shape::map(shape::object(source::SOURCE)),
        "What is called, side by side; a member each",
    ),
    Key::optional("shape", || shape::object(SHAPE), "What becomes of the answer"),
    Key::optional(
        "errors_key",
        shape::text,
        "The member of a partial answer that tells what failed (default `_errors`), or `none`",
    ),
];

/// The member that tells what failed, where no other is named.
const ERRORS_KEY: &str = "_errors";

/// The sources of one aggregate, at most: each is a call for every call of a client.
const MAX_SOURCES: usize = 64;

fn schema() -> Schema {
    shape::object(AGGREGATE)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Action>> {
    let section = Section::open(field, AGGREGATE)?;
    let partial = section.read("mode", false, |mode| mode.choice(&[("all", false), ("partial", true)], &[]));
    let errors_key = errors_key(&section);
    let shape = section.get("shape").map(Written::read);
    let sources = section.get("sources")?;
    let entries = sources.entries()?;
    if entries.is_empty() || entries.len() > MAX_SOURCES {
        sources.error(
            format!("{} sources", entries.len()),
            format!("an aggregate has from 1 to {MAX_SOURCES} sources"),
        );
        return None;
    }
    let names: Vec<String> = entries.iter().map(|(name, _)| name.value.to_owned()).collect();
    let scope = Scope { sources: names.clone(), ..env.scope.clone() };
    let mut read = all(entries, &scope, env)?;
    let needs: Vec<Vec<usize>> = read.iter().map(|written| written.source.needs.clone()).collect();
    if let Some(circle) = graph::circle(&needs) {
        let told: Vec<String> =
            circle.iter().chain(&circle[..1]).map(|at| format!("`{}`", read[*at].source.name)).collect();
        let what = format!("sources wait for each other: {}", told.join(" needs "));
        field.out().add(Diagnostic::error(read[circle[0]].span, what).help("let one of them do without"));
        return None;
    }
    // `None` inside: written, and wrong.
    let (shape, written) = match shape {
        None => (None, None),
        Some(written) => {
            let field = section.get("shape")?;
            let written = written?;
            (Some(written.compile(field, &scope)?), Some(written))
        }
    };
    let reads: Vec<Reference> = shape
        .iter()
        .filter_map(|shape| shape.body.as_ref())
        .flat_map(|body| body.references().to_vec())
        .collect();
    let reads = graph::needs(&names, &reads);
    for at in needs.into_iter().flatten().chain(reads) {
        read[at].source.is_read = true;
    }
    let checked = check::Checked {
        sources: &read,
        partial,
        errors_key: errors_key.as_deref(),
        shape: written.as_ref(),
        timeout: env.timeout,
    };
    let good = check::check(&checked, field.out());
    if let Some(key) = errors_key.as_deref().filter(|_| partial)
        && env.shape.as_deref().is_some_and(|shape| shape.rules.wrap.as_deref() == Some(key))
    {
        let what =
            format!("`{key}` tells what failed, and the `shape` among the policies wraps the answer in it");
        let help = "choose another name there, or write another `errors_key`";
        field.out().add(Diagnostic::error(field.label(), what).help(help));
        return None;
    }
    if !good {
        return None;
    }
    let guard = |shape: &Shape| {
        Arc::new(match &errors_key {
            Some(key) => shape.guarded(key),
            None => shape.clone(),
        })
    };
    let shapes = shape.iter().chain(env.shape.as_deref()).map(guard).collect();
    let (listener, route) = (env.listener, env.route);
    Some(Arc::new(Aggregate {
        sources: read.into_iter().map(|written| written.source).collect(),
        partial,
        errors_key: errors_key.filter(|_| partial),
        shapes,
        metrics: env.metrics.aggregate(listener, route),
    }))
}

/// Reads every source before the first failure counts, so that all faults are told.
fn all(entries: Vec<(Spanned<&str>, Field<'_>)>, scope: &Scope, env: &Env<'_>) -> Option<Vec<WrittenSource>> {
    let read: Vec<Option<WrittenSource>> = entries
        .into_iter()
        .map(|(name, field)| {
            let good = good_name(name.value);
            if !good {
                let what = format!("`{}` cannot name a source", name.value);
                let help = "a name begins with a letter and goes on with letters, digits, `_` and `-`";
                field.out().add(Diagnostic::error(name.span, what).help(help));
            }
            source::read(Name::from(name.value), name.span, field, scope, env).filter(|_| good)
        })
        .collect();
    read.into_iter().collect()
}

fn errors_key(section: &Section<'_>) -> Option<String> {
    let Some(field) = section.get("errors_key") else { return Some(ERRORS_KEY.to_owned()) };
    match field.filled() {
        Some(text) if text.as_str() == "none" => None,
        Some(text) => Some(text.into_string()),
        None => Some(ERRORS_KEY.to_owned()),
    }
}

fn good_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}
