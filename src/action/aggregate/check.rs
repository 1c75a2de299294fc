//! What can be told of an aggregate before it is ever called.

use std::time::Duration;

use crate::config::{Diagnostic, Diagnostics, Span, nearest};
use crate::json::{self, Path};
use crate::shaping::read::Written;

use super::written::WrittenSource;

/// An aggregate as it is written.
pub(super) struct Checked<'a> {
    pub(super) sources: &'a [WrittenSource],
    pub(super) partial: bool,
    pub(super) errors_key: Option<&'a str>,
    pub(super) shape: Option<&'a Written>,
    /// The route's own.
    pub(super) timeout: Duration,
}

/// Reports what is wrong and what is doubtful; whether nothing is wrong.
pub(super) fn check(checked: &Checked<'_>, out: &Diagnostics) -> bool {
    let mut errors = Vec::new();
    names(checked, &mut errors);
    if let Some(shape) = checked.shape {
        members(checked, shape, &mut errors);
        renames(checked, shape, &mut errors);
        dropped(checked, shape, out);
    }
    roles(checked, out);
    times(checked, out);
    let good = errors.is_empty();
    errors.into_iter().for_each(|error| out.add(error));
    good
}

impl Checked<'_> {
    fn find(&self, name: &str) -> Option<&WrittenSource> {
        self.sources.iter().find(|written| *written.source.name == *name)
    }

    fn merges(&self) -> bool {
        self.sources.iter().any(|written| written.source.merge)
    }
}

/// Names that would stand in the answer twice.
fn names(checked: &Checked<'_>, errors: &mut Vec<Diagnostic>) {
    if let Some(written) = checked.errors_key.and_then(|key| checked.find(key)) {
        let what = format!("`{}` is both a source and the `errors_key`", written.source.name);
        errors.push(Diagnostic::error(written.span, what).help("give one of them another name"));
    }
    for written in checked.sources.iter().filter(|written| written.source.merge) {
        let (Some(fallback), Some(at)) = (&written.source.fallback, written.fallback_at) else { continue };
        let Some(members) = json::members(fallback) else {
            if **fallback != *b"null" {
                let what = format!("`{}` is merged, but its `fallback` has no members", written.source.name);
                errors.push(Diagnostic::error(at, what).help("write an object, or null"));
            }
            continue;
        };
        for member in members {
            let name = String::from_utf8_lossy(&fallback[member.name]).into_owned();
            let taken = checked.find(&name).is_some_and(|other| !other.source.merge)
                || checked.errors_key == Some(name.as_str());
            if taken {
                let what = format!("the member `{name}` of this `fallback` stands in the answer already");
                errors.push(Diagnostic::error(at, what).help("give one of them another name"));
            }
        }
    }
}

/// The name that a path begins with, in the answer as it is put together.
fn first(path: &Path) -> Option<&str> {
    path.names().next()
}

/// Paths of a shape that lead nowhere. What is merged can have any name, and so can what is inside a source.
fn members(checked: &Checked<'_>, shape: &Written, errors: &mut Vec<Diagnostic>) {
    if checked.merges() {
        return;
    }
    let unknown = |path: &Path, span: Span, errors: &mut Vec<Diagnostic>| {
        let Some(name) = first(path).filter(|name| checked.find(name).is_none()) else { return };
        if checked.errors_key == Some(name) {
            let what = format!("`{name}` tells what failed: a shape neither keeps nor removes it");
            let help = "remove the path; `errors_key: none` leaves the member out";
            errors.push(Diagnostic::error(span, what).help(help));
            return;
        }
        let what = format!("`{path}` cannot exist: no source is named `{name}`");
        let known = checked.sources.iter().map(|written| &*written.source.name);
        let near = nearest(name, known.clone());
        let names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        let help = format!("the sources are {}", names.join(", "));
        errors.push(Diagnostic::error(span, what).help(help).did_you_mean(near));
    };
    if let Some((path, span)) = &shape.unwrap {
        unknown(path, *span, errors);
        return;
    }
    for (path, span) in shape.keep.iter().flatten().chain(&shape.omit) {
        unknown(path, *span, errors);
    }
    for (path, _, span) in &shape.rename {
        unknown(path, *span, errors);
    }
}

/// New names that others bear.
fn renames(checked: &Checked<'_>, shape: &Written, errors: &mut Vec<Diagnostic>) {
    if let (Some((name, span)), Some(key)) = (&shape.wrap, checked.errors_key)
        && name == key
    {
        let what = format!("`{name}` tells what failed, and cannot be the name around the answer");
        errors.push(Diagnostic::error(*span, what).help("choose another name"));
    }
    if shape.unwrap.is_some() {
        return;
    }
    let top = |path: &Path| path.steps().len() == 1;
    for (path, name, span) in shape.rename.iter().filter(|(path, ..)| top(path)) {
        let moved =
            |other: &str| shape.rename.iter().any(|(path, ..)| top(path) && first(path) == Some(other));
        let gone = |other: &str| shape.omit.iter().any(|(path, _)| top(path) && first(path) == Some(other));
        let kept = |other: &str| {
            shape.keep.as_ref().is_none_or(|keep| keep.iter().any(|(path, _)| first(path) == Some(other)))
        };
        let taken = checked.find(name).is_some() && !moved(name) && !gone(name) && kept(name);
        let twice = shape.rename.iter().any(|(other, new, _)| top(other) && other != path && new == name);
        if taken || twice || checked.errors_key == Some(name.as_str()) {
            let what = format!("`{path}` cannot be named `{name}`: that name is taken");
            errors.push(Diagnostic::error(*span, what).help("choose another name"));
        }
    }
}

/// Sources that are called for nothing.
fn dropped(checked: &Checked<'_>, shape: &Written, out: &Diagnostics) {
    for written in checked.sources {
        let source = &written.source;
        if source.is_read || source.merge || shape.body.is_some() {
            continue;
        }
        let name = &*source.name;
        let unwrapped = shape.unwrap.as_ref().is_none_or(|(path, _)| first(path) == Some(name));
        let kept = shape.unwrap.is_some()
            || shape.keep.as_ref().is_none_or(|keep| keep.iter().any(|(path, _)| first(path) == Some(name)));
        let omitted = shape.unwrap.is_none() && shape.omit.iter().any(|(path, _)| *path == Path::of(name));
        if !unwrapped || !kept || omitted {
            let what = format!("`{name}` is called, but the shape drops all of it and nobody reads it");
            out.add(Diagnostic::warning(written.span, what).help("remove the source, or keep a part of it"));
        }
    }
}

/// Who may fail, and what that does.
fn roles(checked: &Checked<'_>, out: &Diagnostics) {
    for written in checked.sources {
        let source = &written.source;
        let useless = |at: Option<Span>, key: &str, why: &str| {
            if let Some(at) = at {
                let what = format!("`{key}` of `{}` has no use: {why}", source.name);
                out.add(Diagnostic::warning(at, what).help("remove it, or write `mode: partial`"));
            }
        };
        if !checked.partial {
            let why = "in mode `all` every failure fails the call";
            useless(written.required_at, "required", why);
            useless(written.fallback_at, "fallback", why);
            continue;
        }
        if source.required
            && let Some(at) = written.fallback_at
        {
            let what = format!("`fallback` of `{}` has no use: it is required", source.name);
            out.add(Diagnostic::warning(at, what).help("remove it, or `required`"));
        }
        for need in &source.needs {
            let other = &checked.sources[*need].source;
            if !other.required && other.fallback.is_none() {
                let what = format!(
                    "`{}` needs `{}`, which may fail: then it is not called, and fails as `dependency`",
                    source.name, other.name
                );
                let help = format!("give `{}` a `fallback`, or let it be `required`", other.name);
                out.add(Diagnostic::warning(written.span, what).help(help));
            }
        }
    }
}

/// Sources that may take longer than the call.
fn times(checked: &Checked<'_>, out: &Diagnostics) {
    for written in checked.sources {
        let source = &written.source;
        let Some(timeout) = source.timeout.filter(|_| source.required || !checked.partial) else { continue };
        let Some(at) = written.timeout_at.filter(|_| timeout > checked.timeout) else { continue };
        let what = format!(
            "`{}` may take {}, but the whole call ends after {}",
            source.name,
            crate::config::duration_text(timeout),
            crate::config::duration_text(checked.timeout)
        );
        out.add(Diagnostic::warning(at, what).help("shorten it, or lengthen the route's `timeout`"));
    }
}
