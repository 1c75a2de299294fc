//! An aggregate in words: what it calls, what waits for what, and what becomes of a source that fails.

use crate::action::describe::{DescribedSource, Description};
use crate::config::duration_text;
use crate::exchange::Exchange;

use super::source::{Content, Source};

/// The aggregate of these sources; `errors_key` is where it tells what failed.
pub(super) fn describe(
    sources: &[Source],
    (partial, errors_key): (bool, Option<&str>),
    exchange: &Exchange,
) -> Description {
    let mut description = Description::new("aggregate").fact("mode", if partial { "partial" } else { "all" });
    if partial {
        description = description.fact("errors in", errors_key.unwrap_or("none"));
    }
    let source = |source: &Source| DescribedSource {
        name: source.name.to_string(),
        upstream: source.upstream.settings().name.to_string(),
        method: source.ask.method.to_string(),
        path: source.ask.path.to_string(),
        target: target(source, exchange),
        needs: source.needs.iter().map(|at| sources[*at].name.to_string()).collect(),
        notes: notes(source),
    };
    description.sources = sources.iter().map(source).collect();
    description
}

/// The path as it would be asked for, which only a source can tell that waits for nobody.
fn target(source: &Source, exchange: &Exchange) -> Result<String, String> {
    if !source.needs.is_empty() || source.for_each.is_some() {
        return Err(String::new());
    }
    let path = source.ask.path.render(exchange).map_err(|error| error.to_string())?;
    Ok(format!("{}{path}", source.upstream.settings().base_path))
}

fn notes(source: &Source) -> Vec<String> {
    let ask = &source.ask;
    let list =
        |names: &mut dyn Iterator<Item = &String>| names.map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut notes = Vec::new();
    if source.required {
        notes.push("required".to_owned());
    }
    if source.fallback.is_some() {
        notes.push("fallback".to_owned());
    }
    if let Some(when) = &source.when {
        notes.push(format!("when {}", when.source()));
    }
    if let Some(each) = &source.for_each {
        let (list, at_once, most) = (each.list.source(), each.concurrency, each.max_items);
        notes.push(format!("for_each {list}, {at_once} at a time, at most {most}"));
    }
    if let Some(timeout) = source.timeout {
        notes.push(format!("timeout {}", duration_text(timeout)));
    }
    if let Some(cache) = &source.cache {
        let whose = if cache.shared { "shared by all clients" } else { "each client its own" };
        notes.push(format!("cache {}, {whose}", duration_text(cache.ttl)));
        if !cache.stale_if_error.is_zero() {
            notes.push(format!("stale_if_error {}", duration_text(cache.stale_if_error)));
        }
    }
    if !source.accept.is_empty() {
        let statuses: Vec<&str> = source.accept.iter().map(http::StatusCode::as_str).collect();
        notes.push(format!("accept {}", statuses.join(", ")));
    }
    if !ask.query.is_empty() {
        notes.push(format!("query {}", list(&mut ask.query.iter().map(|(name, _)| name))));
    }
    if !ask.headers.is_empty() {
        notes.push(format!("headers {}", list(&mut ask.headers.iter().map(|(name, _)| name))));
    }
    if !ask.forward_headers.is_empty() {
        notes.push(format!("forward_headers {}", list(&mut ask.forward_headers.iter())));
    }
    match &ask.body {
        Content::None => {}
        Content::Text(_) => notes.push("body is text".to_owned()),
        Content::Json(_) => notes.push("body is JSON".to_owned()),
    }
    if source.merge {
        notes.push("merge".to_owned());
    }
    if !source.expose.is_empty() {
        notes.push(format!("expose {}", list(&mut source.expose.iter())));
    }
    notes
}
