//! What a plain member path reads: its names looked up at load among those that are known at its place.

use crate::exchange::HeaderId;

use super::functions::{TYPES, did_you_mean};
use super::path::{Key, Part, Read, Which};
use super::scope::{Reference, Scope};

/// A path that names nothing: what is wrong, how to mend it, and with how many of its keys the fault is told.
pub(super) struct Unknown {
    pub(super) what: String,
    pub(super) mend: Option<String>,
}

fn unknown<T>(what: impl Into<String>, mend: Option<String>) -> Result<T, Unknown> {
    Err(Unknown { what: what.into(), mend })
}

const ROOTS: &[&str] =
    &["request", "client", "identity", "params", "rest", "listener", "route", "sources", "item", "response"];

/// Whether a name is one of the gate's.
pub(super) fn is_root(name: &str) -> bool {
    ROOTS.contains(&name)
}

/// Finds what a path reads.
pub(super) fn resolve(root: &str, keys: &[Key], scope: &Scope) -> Result<(Read, Reference), Unknown> {
    match root {
        "request" => request(keys),
        "client" => {
            member(root, keys, &["ip"])?;
            end(keys, 1, (Read::ClientIp, Reference::ClientIp))
        }
        "identity" if !scope.identity => {
            unknown("`identity` is not known here", Some("it is known from `auth` on".into()))
        }
        "identity" => identity(keys),
        "params" => params(keys, scope),
        "rest" if scope.rest => end(keys, 0, (Read::Rest, Reference::Rest)),
        "rest" => unknown("`rest` is not known here", Some("only a pattern that ends in `*` has it".into())),
        "listener" => end(keys, 0, (Read::Listener, Reference::Listener)),
        "route" => end(keys, 0, (Read::Route, Reference::Route)),
        "sources" => source(keys, scope),
        "item" if scope.item => Ok((Read::Item(keys.to_vec()), Reference::Item)),
        "item" => unknown("`item` is not known here", Some("only a source with `for_each` has it".into())),
        "response" if scope.response => {
            Ok((Read::Answer(Which::Response, part_of(root, keys)?), Reference::Response))
        }
        "response" => {
            unknown("`response` is not known here", Some("only the `body` of a shape has it".into()))
        }
        _ => {
            let params = scope.params.iter().find(|name| *name == root);
            let mend = params.map(|name| format!("did you mean `params.{name}`?"));
            let known = ROOTS.iter().chain(TYPES).copied();
            unknown(format!("there is no name `{root}`"), mend.or_else(|| did_you_mean(root, known)))
        }
    }
}

/// The first key, which must be one of the names.
fn member(of: &str, keys: &[Key], names: &[&'static str]) -> Result<&'static str, Unknown> {
    let all = names.join("`, `");
    match keys.first() {
        None => unknown(format!("`{of}` is read by its members"), Some(format!("they are `{all}`"))),
        Some(Key::At(_)) => unknown(format!("`{of}` is no list"), None),
        Some(Key::Name(name)) => match names.iter().find(|other| **other == &**name) {
            Some(name) => Ok(name),
            None => unknown(
                format!("`{of}` has no member `{name}`"),
                did_you_mean(name, names.iter().copied()).or(Some(format!("they are `{all}`"))),
            ),
        },
    }
}

fn end<T>(keys: &[Key], at: usize, found: T) -> Result<T, Unknown> {
    if keys.len() > at { unknown("a text has no members", None) } else { Ok(found) }
}

/// The name asked of a map of texts.
fn name_in<'k>(of: &str, keys: &'k [Key]) -> Result<Option<&'k str>, Unknown> {
    match keys {
        [] => Ok(None),
        [Key::Name(name)] => Ok(Some(name)),
        [Key::At(_), ..] => unknown(format!("`{of}` is read by names, not by positions"), None),
        _ => unknown("a text has no members", None),
    }
}

/// A header's name as a map key: the keys are in lower case, so another spelling would never be found.
pub(super) fn header_name(name: &str) -> Result<(), Unknown> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = name.to_ascii_lowercase();
        return unknown("header names are in lower case", Some(format!("write `{lower}`")));
    }
    Ok(())
}

fn request(keys: &[Key]) -> Result<(Read, Reference), Unknown> {
    let names = ["method", "scheme", "path", "host", "headers", "query", "cookies"];
    let name = member("request", keys, &names)?;
    let below = &keys[1..];
    let owned = |name: Option<&str>| name.map(str::to_owned);
    Ok(match name {
        "headers" => match name_in("request.headers", below)? {
            None => (Read::Headers, Reference::Header(None)),
            Some(name) => {
                header_name(name)?;
                let read = Read::Header(HeaderId::of(name.as_bytes()), name.into());
                (read, Reference::Header(Some(name.to_owned())))
            }
        },
        "query" => {
            let name = name_in("request.query", below)?;
            (name.map_or(Read::Queries, |name| Read::Query(name.into())), Reference::Query(owned(name)))
        }
        "cookies" => {
            let name = name_in("request.cookies", below)?;
            (name.map_or(Read::Cookies, |name| Read::Cookie(name.into())), Reference::Cookie(owned(name)))
        }
        _ => {
            let read = match name {
                "method" => Read::Method,
                "scheme" => Read::Scheme,
                "path" => Read::Path,
                _ => Read::Host,
            };
            return end(below, 0, (read, Reference::Request(name)));
        }
    })
}

fn identity(keys: &[Key]) -> Result<(Read, Reference), Unknown> {
    let name = member("identity", keys, &["id", "claims", "scopes", "method"])?;
    let below = &keys[1..];
    let read = match (name, below) {
        ("claims", _) => return Ok((Read::Claims(below.to_vec()), Reference::Identity(name))),
        ("scopes", []) => Read::Scopes,
        ("scopes", [Key::At(at)]) => Read::ScopeAt(*at),
        ("scopes", [Key::Name(_), ..]) => {
            let mend = Some("ask `\"read\" in identity.scopes`".into());
            return unknown("`identity.scopes` is a list", mend);
        }
        ("id", _) => return end(below, 0, (Read::Id, Reference::Identity(name))),
        ("method", _) => return end(below, 0, (Read::AuthMethod, Reference::Identity(name))),
        _ => return unknown("a text has no members", None),
    };
    Ok((read, Reference::Identity(name)))
}

fn params(keys: &[Key], scope: &Scope) -> Result<(Read, Reference), Unknown> {
    let Some(name) = name_in("params", keys)? else { return Ok((Read::Params, Reference::Param(None))) };
    let Some(position) = scope.params.iter().position(|param| param == name) else {
        let mend = did_you_mean(name, scope.params.iter().map(String::as_str));
        return unknown(format!("the pattern has no parameter `{name}`"), mend);
    };
    Ok((Read::Param(position), Reference::Param(Some(name.to_owned()))))
}

fn source(keys: &[Key], scope: &Scope) -> Result<(Read, Reference), Unknown> {
    if scope.sources.is_empty() {
        return unknown("`sources` is not known here", Some("only aggregates have it".into()));
    }
    let Some(Key::Name(name)) = keys.first() else {
        return unknown("`sources` is read by the names of sources", None);
    };
    let Some(position) = scope.sources.iter().position(|source| **source == **name) else {
        let mend = did_you_mean(name, scope.sources.iter().map(String::as_str));
        return unknown(format!("there is no source `{name}`"), mend);
    };
    let part = part_of(&format!("sources.{name}"), &keys[1..])?;
    Ok((Read::Answer(Which::Source(position), part), Reference::Source(name.to_string())))
}

/// What is read of an answer.
fn part_of(of: &str, keys: &[Key]) -> Result<Part, Unknown> {
    let what = member(of, keys, &["status", "headers", "body"])?;
    let below = &keys[1..];
    match what {
        "status" => end(below, 0, Part::Status),
        "body" => Ok(Part::Body(below.to_vec())),
        _ => match name_in(&format!("{of}.headers"), below)? {
            None => Ok(Part::Headers),
            Some(name) => {
                header_name(name)?;
                Ok(Part::Header(HeaderId::of(name.as_bytes()), name.into()))
            }
        },
    }
}
