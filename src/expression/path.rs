//! Plain member paths (`identity.claims.a.b`, `request.headers["x-a"]`), read in place.

use std::borrow::Cow;

use crate::exchange::{HeaderId, JsonNumber, JsonValue as Json};
use crate::json;

use super::error::{Span, Why};
use super::facts::{self, Facts};
use super::ground::Answered;
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
                    return scalar(raw);
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

/// A value of a body that is neither a list nor an object.
fn scalar(raw: &str) -> Result<Val<'_>, Why> {
    Ok(match raw {
        "null" => Val::Null,
        "true" => Val::Bool(true),
        "false" => Val::Bool(false),
        number if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Val::of_number(JsonNumber::parse(number).ok_or(Why::Unreadable)?)
        }
        text => Val::Text(Cow::Owned(serde_json::from_str(text).map_err(|_| Why::Unreadable)?)),
    })
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
