//! Plain member paths (`identity.claims.a.b`, `request.headers["x-a"]`): resolved at load, read in place.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::exchange::HeaderId;
use crate::json;

use super::error::{Span, Why};
use super::facts::{self, Facts};
use super::functions::{TYPES, did_you_mean};
use super::ground::Answered;
use super::scope::{Reference, Scope};
use super::value::Val;

/// One step from a value to a part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// `.name` or `["name"]`.
    Name(Box<str>),
    /// `[3]`.
    At(usize),
}

/// What a path reads.
#[derive(Debug)]
pub(super) enum Read {
    Method,
    Scheme,
    Path,
    Host,
    ClientIp,
    Id,
    AuthMethod,
    Listener,
    Route,
    Rest,
    Header(HeaderId, Box<str>),
    Query(Box<str>),
    Cookie(Box<str>),
    /// By its position in the pattern.
    Param(usize),
    Headers,
    Queries,
    Cookies,
    Params,
    Claims(Vec<Key>),
    Scopes,
    ScopeAt(usize),
    /// A part of what a service has said.
    Answer(Which, Part),
    /// The item of a `for_each`, or a part of it.
    Item(Vec<Key>),
}

/// Whose answer is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// A source of an aggregate, by its position.
    Source(usize),
    /// The answer on its way out.
    Response,
}

/// What of an answer is read.
#[derive(Debug)]
pub(super) enum Part {
    Status,
    Headers,
    Header(HeaderId, Box<str>),
    Body(Vec<Key>),
}

/// A path and where it stands in the text.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) read: Read,
    pub(super) at: Span,
}

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

impl Read {
    /// What is read of a service's body as it stands, where the whole path does that.
    pub(super) fn raw<'a>(&self, facts: &Facts<'a>) -> Option<Result<&'a str, Why>> {
        let Read::Answer(which, Part::Body(keys)) = self else { return None };
        Some(which.find(facts).and_then(|answer| part(answer, keys)))
    }

    /// Whether the value, where there is one, is always a text.
    pub(super) fn is_text(&self) -> bool {
        let other = matches!(
            self,
            Read::Claims(_) | Read::Scopes | Read::Item(_) | Read::Answer(_, Part::Status | Part::Body(_))
        );
        !self.is_map() && !other
    }

    /// Whether the value is a map of texts that has to be made first.
    pub(super) fn is_map(&self) -> bool {
        matches!(
            self,
            Read::Headers | Read::Queries | Read::Cookies | Read::Params | Read::Answer(_, Part::Headers)
        )
    }

    /// Whether it needs the names of listener, route and parameters.
    pub(super) fn names(&self) -> bool {
        matches!(self, Read::Listener | Read::Route | Read::Params)
    }

    /// The value.
    #[inline]
    pub(super) fn get<'a>(&'a self, facts: &Facts<'a>) -> Result<Val<'a>, Why> {
        let text: Cow<'a, str> = match self {
            Read::Id => Cow::Borrowed(facts.identity.ok_or(Why::Absent)?.id.as_str()),
            Read::Param(position) => facts.param(*position)?,
            Read::Header(id, name) => facts.header(*id, name)?,
            Read::Claims(keys) => return claim(&facts.identity.ok_or(Why::Absent)?.claims, keys),
            Read::Method => facts.method.into(),
            Read::Scheme => facts.client.scheme.as_str().into(),
            Read::Path => facts.path.into(),
            Read::Host => facts.host()?,
            Read::ClientIp => facts.client.ip.to_canonical().to_string().into(),
            Read::AuthMethod => facts.identity.ok_or(Why::Absent)?.method.into(),
            Read::Listener => facts.listener.into(),
            Read::Route => facts.route.into(),
            Read::Rest => facts.rest.into(),
            Read::Query(name) => facts.query(name)?,
            Read::Cookie(name) => facts.cookie(name)?,
            Read::Headers => return facts.all_headers().map(Val::Pairs),
            Read::Queries => return facts.all_query().map(Val::Pairs),
            Read::Cookies => return facts.all_cookies().map(Val::Pairs),
            Read::Params => return facts.all_params().map(Val::Pairs),
            Read::Scopes => return Ok(Val::Texts(&facts.identity.ok_or(Why::Absent)?.scopes)),
            Read::ScopeAt(at) => {
                facts.identity.ok_or(Why::Absent)?.scopes.get(*at).ok_or(Why::Absent)?.as_str().into()
            }
            Read::Item(keys) => return claim(facts.item.ok_or(Why::Absent)?, keys),
            Read::Answer(which, part) => return part.get(which.find(facts)?),
        };
        Ok(Val::Text(text))
    }

    /// `has(path)`: whether the last member is there. What it is a member of must be, but where nobody is known
    /// every member of `identity` is absent.
    pub(super) fn has(&self, facts: &Facts<'_>) -> Result<bool, Why> {
        match self {
            Read::Id | Read::AuthMethod | Read::Scopes | Read::ScopeAt(_) => Ok(facts.identity.is_some()),
            Read::Claims(keys) => match (facts.identity, keys.split_last()) {
                (None, _) => Ok(false),
                (Some(_), None) => Ok(true),
                (Some(identity), Some(_)) => has_key(&identity.claims, keys),
            },
            Read::Header(id, name) => Ok(facts.has_header(*id, name)),
            Read::Query(name) => Ok(facts.has_query(name)),
            Read::Cookie(name) => Ok(facts.has_cookie(name)),
            Read::Param(position) => Ok(facts.params.len() > *position),
            Read::Item(keys) => has_key(facts.item.ok_or(Why::Absent)?, keys),
            Read::Answer(which, part) => which.find(facts).map_or(Ok(false), |answer| part.has(answer)),
            _ => Ok(true),
        }
    }

    /// `name in path`.
    pub(super) fn contains(&self, name: &str, facts: &Facts<'_>) -> Result<bool, Why> {
        match self {
            Read::Headers => Ok(facts.has_header(HeaderId::of(name.as_bytes()), name)),
            Read::Queries => Ok(facts.has_query(name)),
            Read::Cookies => Ok(facts.has_cookie(name)),
            Read::Params => Ok(facts.has_param(name)),
            Read::Scopes => Ok(facts.identity.ok_or(Why::Absent)?.scopes.iter().any(|scope| scope == name)),
            Read::Claims(keys) => holds(claim_json(&facts.identity.ok_or(Why::Absent)?.claims, keys)?, name),
            Read::Item(keys) => holds(claim_json(facts.item.ok_or(Why::Absent)?, keys)?, name),
            Read::Answer(which, Part::Headers) => Ok(which.find(facts)?.headers().get(name).is_some()),
            Read::Answer(which, Part::Body(keys)) => {
                holds(claim_json(tree(which.find(facts)?)?, keys)?, name)
            }
            _ => Err(Why::NoMembers),
        }
    }
}

impl Which {
    fn find<'a>(self, facts: &Facts<'a>) -> Result<&'a Answered, Why> {
        match self {
            Which::Source(at) => facts.sources.get(at).and_then(|source| source.get()).ok_or(Why::Absent),
            Which::Response => facts.response.ok_or(Why::Absent),
        }
    }
}

impl Part {
    fn get<'a>(&'a self, answer: &'a Answered) -> Result<Val<'a>, Why> {
        Ok(match self {
            Part::Status => Val::Int(i64::from(answer.status().ok_or(Why::Absent)?)),
            Part::Headers => Val::Pairs(facts::all_headers(answer.headers())?),
            Part::Header(id, name) => Val::Text(facts::header(answer.headers(), *id, name)?),
            Part::Body(keys) => {
                let raw = part(answer, keys)?;
                // What is no container is read alone, whatever stands beside it.
                if !raw.starts_with(['{', '[']) {
                    return serde_json::from_str(raw).map_err(|_| Why::Unreadable).map(Val::of_scalar);
                }
                return claim(tree(answer)?, keys);
            }
        })
    }

    fn has(&self, answer: &Answered) -> Result<bool, Why> {
        Ok(match self {
            Part::Status => answer.status().is_some(),
            Part::Headers => true,
            Part::Header(_, name) => answer.headers().get(name).is_some(),
            Part::Body(keys) if keys.is_empty() => answer.body().is_some(),
            Part::Body(keys) => match part(answer, keys) {
                Ok(_) => matches!(keys.last(), Some(Key::Name(_))),
                Err(Why::Absent) => false,
                Err(why) => return Err(why),
            },
        })
    }
}

/// The part of a body that the keys lead to, as it stands.
fn part<'a>(answer: &'a Answered, keys: &[Key]) -> Result<&'a str, Why> {
    let parts = keys.iter().map(|key| match key {
        Key::Name(name) => json::Part::Member(name),
        Key::At(at) => json::Part::Item(*at),
    });
    answer.part(parts).ok_or(Why::Absent)?.map_err(|missing| match missing {
        json::Missing::Absent => Why::Absent,
        json::Missing::NoParts => Why::NoMembers,
    })
}

fn tree(answer: &Answered) -> Result<&Json, Why> {
    answer.tree().ok_or(Why::Absent)?.ok_or(Why::Unreadable)
}

/// Whether the last member that the keys lead to is there; what it is a member of must be.
fn has_key(json: &Json, keys: &[Key]) -> Result<bool, Why> {
    let Some((last, above)) = keys.split_last() else { return Ok(true) };
    match (last, claim_json(json, above)?) {
        (Key::Name(name), Json::Object(members)) => Ok(members.contains_key(&**name)),
        _ => Err(Why::NoMembers),
    }
}

/// `name in value`.
fn holds(json: &Json, name: &str) -> Result<bool, Why> {
    match json {
        Json::Array(items) => Ok(items.iter().any(|item| matches!(item, Json::String(text) if text == name))),
        Json::Object(members) => Ok(members.contains_key(name)),
        _ => Err(Why::NoMembers),
    }
}

fn claim<'a>(claims: &'a Json, keys: &[Key]) -> Result<Val<'a>, Why> {
    claim_json(claims, keys).map(Val::of_json)
}

fn claim_json<'a>(claims: &'a Json, keys: &[Key]) -> Result<&'a Json, Why> {
    let mut value = claims;
    for key in keys {
        value = match (value, key) {
            (Json::Object(members), Key::Name(name)) => members.get(&**name).ok_or(Why::Absent)?,
            (Json::Array(items), Key::At(at)) => items.get(*at).ok_or(Why::Absent)?,
            (Json::Object(_), Key::At(_)) => return Err(Why::Absent),
            _ => return Err(Why::NoMembers),
        };
    }
    Ok(value)
}
