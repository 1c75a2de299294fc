//! Reads `cors` from the configuration.

use std::sync::Arc;

use crate::config::{Diagnostic, Field, Key, Kind, OriginPattern, Schema, Section, shape};
use crate::exchange::headers::valid_name;
use crate::policy::{Build, Env, Policy};

use super::{Cors, Grant, Origins, Settings};

/// The policy `cors`.
pub const KIND: Kind<Build> = Kind {
    name: "cors",
    summary: "Which web pages of other origins may ask, and read what is answered; preflights are answered before `auth`",
    schema,
    build,
};

const CORS: &[Key] = &[
    Key::needed(
        "origins",
        shape::texts,
        "Who may ask: `https://app.example.com`, `https://*.example.com` (every name below), `\"null\"`, or `\"*\"` alone for everybody",
    ),
    Key::optional(
        "methods",
        shape::texts,
        "Methods that a page may use (default [GET, HEAD, POST]); `\"*\"` is every one",
    ),
    Key::optional(
        "headers",
        shape::texts,
        "Request headers that a page may set beyond those it always may (default none); `\"*\"` is every one but authorization",
    ),
    Key::optional(
        "expose",
        shape::texts,
        "Answer headers that a page may read beyond those it always may (default none); `\"*\"` without credentials is every one",
    ),
    Key::optional(
        "credentials",
        shape::boolean,
        "Whether a page may send cookies with its request (default false)",
    ),
    Key::optional(
        "max_age",
        shape::duration,
        "How long a browser may remember a preflight's answer (default: the browser's own)",
    ),
];

fn schema() -> Schema {
    shape::object(CORS)
}

fn build(field: Field<'_>, _: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let section = Section::open(field, CORS)?;
    let credentials = section.read("credentials", false, |f| f.boolean());
    let origins = section.get("origins").and_then(|f| origins(f, credentials));
    let methods = match section.get("methods") {
        None => Some(Grant::Only(["GET", "HEAD", "POST"].map(str::to_owned).into())),
        Some(field) => names(field, method).and_then(|names| grant(field, names, &[])),
    };
    let headers = match section.get("headers") {
        None => Some(Grant::Only(Vec::new())),
        Some(field) => names(field, header).and_then(|names| grant(field, names, &["authorization"])),
    };
    let expose = match section.get("expose") {
        None => Some(None),
        Some(field) => names(field, header).and_then(|names| expose(field, names, credentials)),
    };
    let max_age = match section.get("max_age") {
        None => Some(None),
        Some(field) => seconds(field).map(Some),
    };
    let (origins, methods, headers) = (origins?, methods?, headers?);
    let settings = Settings { origins, methods, headers, expose: expose?, credentials, max_age: max_age? };
    Some(Arc::new(Cors::new(settings)))
}

fn origins(field: Field<'_>, credentials: bool) -> Option<Origins> {
    let list = distinct(field, Field::origin_pattern)?;
    if list.is_empty() {
        field.error("no origin may ask", "name one, or write `cors: none` to say nothing to browsers");
        return None;
    }
    if list.contains(&OriginPattern::Any) {
        if list.len() > 1 {
            field.error("`*` is every origin: those beside it say nothing", "keep one or the other");
            return None;
        }
        if credentials {
            let what = "`*` with credentials: every page in the world could read what belongs to its visitor";
            field.error(what, "name the origins, or take `credentials` out");
            return None;
        }
    }
    if credentials && list.contains(&OriginPattern::Null) {
        let warning = Diagnostic::warning(field.span(), "`null` with credentials is hardly better than `*`");
        field
            .out()
            .add(warning.help("any page can put itself into a sandboxed frame, whose origin is `null`"));
    }
    Some(Origins::new(list))
}

/// The items of a list, none of them twice.
fn distinct<'f, T: PartialEq>(field: Field<'f>, read: impl FnMut(&Field<'f>) -> Option<T>) -> Option<Vec<T>> {
    let mut read = read;
    let (mut list, mut whole) = (Vec::new(), true);
    for item in field.list()? {
        match read(&item) {
            Some(value) if list.contains(&value) => {
                item.error(format!("this stands twice in `{}`", field.name()), "write it once");
                whole = false;
            }
            Some(value) => list.push(value),
            None => whole = false,
        }
    }
    whole.then_some(list)
}

fn names<'f>(field: Field<'f>, judge: fn(&Field<'f>, String) -> Option<String>) -> Option<Vec<String>> {
    distinct(field, |item| {
        let text = item.text()?;
        if !valid_name(text.as_str().as_bytes()) {
            item.error(format!("{} is no name", text.shown()), "write one name, of letters, digits and `-`");
            return None;
        }
        judge(item, text.into_string())
    })
}

/// Methods count case, and browsers send some of them to nobody.
fn method(field: &Field<'_>, name: String) -> Option<String> {
    let capitals = name.to_ascii_uppercase();
    if capitals != name {
        field.error("methods count case", "write it in capitals");
        return None;
    }
    if let "CONNECT" | "TRACE" | "TRACK" = name.as_str() {
        field.error("no page can use this method", "take it out");
        return None;
    }
    Some(name)
}

fn header(_: &Field<'_>, name: String) -> Option<String> {
    Some(name.to_ascii_lowercase())
}

/// What a list grants. Beside `*` stand only names that it does not cover.
fn grant(field: Field<'_>, mut names: Vec<String>, beside: &[&str]) -> Option<Grant> {
    let count = names.len();
    names.retain(|name| name != "*");
    if names.len() == count {
        return Some(Grant::Only(names));
    }
    if names.iter().any(|name| !beside.contains(&name.as_str())) {
        field.error("`*` is every one: the others say nothing", "keep one or the other");
        return None;
    }
    Some(Grant::All(names))
}

/// The line that exposes; `*` is a name like any other where there are credentials, and what an answer will have cannot
/// be asked for.
fn expose(field: Field<'_>, names: Vec<String>, credentials: bool) -> Option<Option<String>> {
    if credentials && names.iter().any(|name| name == "*") {
        field.error("with credentials `*` exposes nothing", "name the headers");
        return None;
    }
    Some((!names.is_empty()).then(|| names.join(", ")))
}

/// What is sent has no parts of a second.
fn seconds(field: Field<'_>) -> Option<u64> {
    let length = field.duration()?;
    if length.subsec_nanos() != 0 {
        field.error("`max_age` is sent in whole seconds", "write `0s` for never, or `1s` and more");
        return None;
    }
    Some(length.as_secs())
}
