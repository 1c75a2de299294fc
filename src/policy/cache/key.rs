//! Which requests have one answer: keys, and the variants that `Vary` tells apart.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use smallvec::SmallVec;

use crate::cache::{Cache, Entry, Key, identity_parts, plain_host};
use crate::exchange::{Exchange, HeaderId, Headers, Identity};
use crate::expression::EvalError;
use crate::json::push_quoted;
use crate::runtime::clock;

use super::Cached;

/// The most names of `Vary` of all answers under one key; a service that names more has no two requests alike.
const MAX_NAMES: usize = 16;
/// The most variants under one key: a client that makes them up pushes out those of this key alone.
const MAX_VARIANTS: usize = 32;

/// The status of a directory of variants, which no answer has.
const DIRECTORY: StatusCode = StatusCode::CONTINUE;

type Parts<'a> = SmallVec<[&'a [u8]; 24]>;

impl Cached {
    /// The key of a request, before `Vary` is known: where it came in, the rule as it is written, what it asks for, and
    /// who asks.
    ///
    /// # Errors
    /// The configured key cannot be evaluated.
    pub(super) fn key(&self, exchange: &Exchange) -> Result<Key, EvalError> {
        let settings = &self.settings;
        let print = exchange.place.print(exchange.rule).to_le_bytes();
        let written = settings.key.as_ref().map(|key| key.text(exchange)).transpose()?;
        let host = plain_host(exchange.request.host(), exchange.client.scheme);
        let claims = exchange.identity.as_deref().filter(|_| !settings.shared).map(lasting_claims);
        let mut parts = Parts::new();
        parts.push(b"answer");
        parts.push(exchange.place.listener().as_bytes());
        parts.push(exchange.place.route(exchange.rule).as_bytes());
        parts.push(&print);
        parts.push(exchange.client.scheme.as_str().as_bytes());
        match &written {
            Some(text) => parts.extend([b"key".as_slice(), text.as_bytes()]),
            None => {
                let target = &exchange.request.target;
                parts.extend([b"target".as_slice(), &host, target.path().as_bytes()]);
                // The service is given it, and may write it into its answer; host and port are the public ones already.
                parts.push(exchange.outer_prefix().as_bytes());
                match target.query() {
                    Some(query) => parts.extend([b"query".as_slice(), query.as_bytes()]),
                    None => parts.push(b"none"),
                }
            }
        }
        parts.push(if self.has_loose_cookies(exchange) { b"cookies" } else { b"none" });
        if !settings.shared {
            parts.push(claims.as_deref().unwrap_or_default());
            parts.extend(identity_parts(exchange));
        }
        Ok(Key::of(parts))
    }

    /// Whether the request has cookies that nothing in its key tells apart.
    pub(super) fn has_loose_cookies(&self, exchange: &Exchange) -> bool {
        !self.settings.shared && !self.key_has_cookies && exchange.request.headers.has_id(HeaderId::Cookie)
    }
}

/// What a credential says of its bearer. The service reads it in the credential, and so may a shape: one who shows another
/// credential, for less, gets nothing that was made for more. What tells only one credential from the next is no part of it.
fn lasting_claims(who: &Identity) -> Vec<u8> {
    const OF_ONE_TOKEN: &[&str] = &["exp", "iat", "jti", "nbf"];
    let mut text = Vec::new();
    // The order of the claims is of one token too.
    let mut claims: SmallVec<[_; 16]> = who.claims.as_object().into_iter().flatten().collect();
    claims.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in claims {
        if !OF_ONE_TOKEN.contains(&name.as_str()) {
            push_quoted(name, &mut text);
            text.extend_from_slice(value.sorted().as_bytes());
        }
    }
    text
}

/// What is under a key for a request.
pub(super) struct Found {
    /// The key of the variant.
    pub(super) key: Key,
    /// The answer.
    pub(super) entry: Option<Arc<Entry>>,
    /// Whether there are variants, for other requests at least.
    pub(super) varies: bool,
}

/// Looks for the answer to a request with these lines, asked by this client.
pub(super) fn find(cache: &Cache, primary: Key, headers: &Headers, who: Option<&Identity>) -> Found {
    match cache.get(&primary) {
        None => Found { key: primary, entry: None, varies: false },
        Some(entry) if entry.status == DIRECTORY => {
            let key = variant(&primary, &names(&entry), headers, who);
            Found { key, entry: cache.get(&key), varies: true }
        }
        entry => Found { key: primary, entry, varies: false },
    }
}

/// The names that tell variants apart: in lower case, sorted, each once.
pub(super) type Names = Vec<Box<[u8]>>;

/// What the `Vary` of an answer names. `None` where its answer cannot be told from others (RFC 9111 section 4.1): `*`,
/// too many names, and lines that the gate itself writes, for they differ for every client.
pub(super) fn varying(headers: &Headers) -> Option<Names> {
    let mut list = Names::new();
    for name in headers.all("vary").flat_map(|line| line.split(|byte| *byte == b',')) {
        let name = name.trim_ascii().to_ascii_lowercase();
        match HeaderId::of(&name) {
            _ if name.is_empty() => continue,
            // Both are in every key, unless a key of the configuration leaves the host out on purpose.
            HeaderId::XForwardedProto | HeaderId::XForwardedHost => continue,
            id if id.gateway_owned() || name == b"*" => return None,
            _ => list.push(name.into()),
        }
    }
    list.sort();
    list.dedup();
    (list.len() <= MAX_NAMES).then_some(list)
}

/// Where an answer goes that came to a request with these lines.
pub(super) struct Place {
    primary: Key,
    key: Key,
    names: Names,
}

impl Place {
    /// The place of an answer that varies by these names: told apart by those that other answers under its key name, too.
    pub(super) fn of(
        cache: &Cache,
        primary: Key,
        mut varying: Names,
        headers: &Headers,
        who: Option<&Identity>,
    ) -> Option<Place> {
        if let Some(directory) = cache.get(&primary).filter(|entry| entry.status == DIRECTORY) {
            varying.extend(names(&directory));
            varying.sort();
            varying.dedup();
            if varying.len() > MAX_NAMES {
                return None;
            }
        }
        let key = if varying.is_empty() { primary } else { variant(&primary, &varying, headers, who) };
        Some(Place { primary, key, names: varying })
    }

    /// Puts the answer there, where there is room.
    pub(super) fn put(self, cache: &Cache, entry: Entry) -> bool {
        let useful = entry.lifetime.saturating_add(entry.keep);
        let stored = cache.put(self.key, entry);
        if stored && self.key != self.primary {
            self.enter(cache, useful);
        }
        stored
    }

    /// Enters the variant into the directory. Two at the same time may lose one entry: then that variant is bounded by
    /// the store alone.
    fn enter(&self, cache: &Cache, useful: Duration) {
        let now = clock::now();
        let known = cache.get(&self.primary).filter(|entry| entry.status == DIRECTORY);
        let same = known.as_ref().is_some_and(|known| names(known) == self.names);
        let listed =
            || known.iter().flat_map(|known| known.body.as_chunks::<32>().0).copied().map(Key::from_bytes);
        let mut keys: Vec<Key> = Vec::new();
        if same {
            keys.extend(listed().filter(|key| *key != self.key));
        } else {
            // Told apart by other names, nobody finds them any more.
            listed().filter(|key| *key != self.key).for_each(|key| cache.remove(&key));
        }
        keys.push(self.key);
        let over = keys.len().saturating_sub(MAX_VARIANTS);
        keys.drain(..over).for_each(|key| cache.remove(&key));
        let left = known.map_or(Duration::ZERO, |known| known.keep.saturating_sub(known.age(now)));
        let mut headers = Headers::new();
        headers.push_judged(b"vary", &self.names.join(b",".as_slice()));
        let directory = Entry {
            status: DIRECTORY,
            headers,
            body: keys.iter().flat_map(|key| *key.as_bytes()).collect::<Vec<u8>>().into(),
            stored: now,
            age: Duration::ZERO,
            lifetime: Duration::ZERO,
            keep: useful.max(left),
        };
        cache.put(self.primary, directory);
    }
}

/// The names of a directory.
fn names(directory: &Entry) -> Names {
    let line = directory.headers.get("vary").unwrap_or_default();
    line.split(|byte| *byte == b',').map(Into::into).collect()
}

/// The key of a variant: the values that the names have in this request, as the service is told them.
fn variant(primary: &Key, names: &[Box<[u8]>], headers: &Headers, who: Option<&Identity>) -> Key {
    let mut joined = Vec::with_capacity(names.len());
    for name in names {
        let mut value: Option<Vec<u8>> = None;
        let own = who.iter().flat_map(|who| &who.headers).filter(|(own, _)| own.as_bytes() == &**name);
        let sent = headers.iter().filter(|(_, sent, _)| *sent == &**name).map(|(_, _, value)| value);
        for line in own.map(|(_, value)| value.as_slice()).chain(sent) {
            let value = value.get_or_insert_default();
            if !value.is_empty() {
                value.extend_from_slice(b", ");
            }
            value.extend_from_slice(line.trim_ascii());
        }
        joined.push(value);
    }
    let mut parts = Parts::new();
    parts.extend([b"variant".as_slice(), primary.as_bytes()]);
    for (name, value) in names.iter().zip(&joined) {
        parts.push(name);
        match value {
            Some(value) => parts.extend([b"is".as_slice(), value]),
            None => parts.push(b"absent"),
        }
    }
    Key::of(parts)
}

#[cfg(test)]
mod tests;
