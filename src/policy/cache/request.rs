//! Looks for the answer, and asks the service where there is none to give.

use std::sync::Arc;
use std::time::Instant;

use http::Method;

use crate::cache::control::CacheControl;
use crate::cache::{Entry, Outcome};
use crate::exchange::{ErrorKind, Exchange, HeaderId, Headers, Request};
use crate::policy::Step;
use crate::runtime::clock;

use super::judge::{Asker, Leeway, last_modified};
use super::visit::{Asked, Passed};
use super::{Cached, key, serve};

impl Cached {
    pub(super) fn look<'a>(&self, exchange: &mut Exchange) -> Step<'a> {
        let head = match exchange.request.method {
            Method::GET => false,
            Method::HEAD if self.settings.head => true,
            _ => return Step::Continue,
        };
        let primary = if is_plain(&exchange.request) { Some(self.key(exchange)) } else { None };
        let primary = match primary {
            Some(Ok(primary)) => primary,
            Some(Err(error)) => {
                exchange.record.note.get_or_insert_with(|| error.to_string().into());
                return pass(exchange);
            }
            None => return pass(exchange),
        };
        let (cache, now) = (&self.settings.cache, clock::now());
        let who = exchange.identity.as_deref();
        let found = key::find(cache, primary, &exchange.request.headers, who);
        let resource = cache.resource(exchange.place.listener(), exchange.client.scheme, &exchange.request);
        let is_over =
            |entry: &Arc<Entry>| !entry.is_kept(now) || cache.is_invalidated(resource, entry.stored);
        let entry = found.entry.filter(|entry| !is_over(entry));
        if let Some(entry) = entry.as_ref().filter(|entry| entry.is_fresh(now)) {
            cache.count(&found.key, Outcome::Hit);
            return Step::Respond(serve::hit(entry, &exchange.request.headers, now));
        }
        let mut claim = None;
        if let Some(entry) = entry.as_ref().filter(|entry| self.may_wait(entry, now)) {
            claim = cache.claim(&found.key);
            if claim.is_none() {
                cache.count(&found.key, Outcome::Stale);
                return Step::Respond(serve::hit(entry, &exchange.request.headers, now));
            }
        }
        let control = CacheControl::read(&exchange.request.headers);
        if control.only_if_cached {
            cache.count(&found.key, Outcome::Miss);
            return Step::Fail(ErrorKind::NotCached.into());
        }
        let asker = Asker {
            authorization: exchange.identity.is_none()
                && exchange.request.headers.has_id(HeaderId::Authorization),
            cookie: self.has_loose_cookies(exchange),
            alone: exchange.identity.is_some() && !self.settings.shared,
        };
        let headers = exchange.request.headers.clone();
        let ask = entry.as_ref().filter(|_| !head);
        let conditional = ask.is_some_and(|entry| ask_if_changed(entry, &mut exchange.request.headers));
        exchange.cached = Some(Box::new(Asked {
            primary,
            key: found.key,
            resource,
            at: now,
            headers,
            asker,
            head,
            keeps: !control.no_store,
            why: match (&entry, found.varies) {
                (Some(_), _) => "stale",
                (None, true) => "vary-miss",
                (None, false) => "uri-miss",
            },
            stale: entry,
            conditional,
            claim,
        }));
        Step::Continue
    }

    /// Whether a stale answer may be given while somebody else fetches a new one.
    fn may_wait(&self, entry: &Entry, now: Instant) -> bool {
        let leeway = Leeway::of(&CacheControl::read(&entry.headers), &self.settings);
        entry.staleness(now) < leeway.revalidate
    }
}

fn pass<'a>(exchange: &mut Exchange) -> Step<'a> {
    exchange.cached = Some(Box::new(Passed));
    Step::Continue
}

/// Whether a request asks for an answer and nothing else: what has content may be answered by it, and what is asked under
/// a condition of change is the service's to judge (RFC 9111 section 4).
fn is_plain(request: &Request) -> bool {
    request.body.length() == Some(0)
        && !request.headers.iter().any(|(id, name, _)| {
            // Nothing that is kept is a protocol other than HTTP.
            id == HeaderId::Upgrade || matches!(name, b"if-match" | b"if-unmodified-since")
        })
}

/// Puts the conditions of what is there in the place of the client's own, which are judged by what comes of it (RFC 9111
/// section 4.3.1): both validators, where there are two (RFC 9110 section 8.8.4). `false` where there is none; then the
/// service is asked for the whole, since a 304 to a condition of the client's would say nothing of what is there.
fn ask_if_changed(entry: &Entry, headers: &mut Headers) -> bool {
    ask_for_all(headers);
    let etag = entry.headers.get("etag");
    let date = entry.headers.get("last-modified").filter(|_| last_modified(&entry.headers).is_some());
    if let Some(etag) = etag {
        headers.push_judged(b"if-none-match", etag);
    }
    if let Some(date) = date {
        headers.push_judged(b"if-modified-since", date);
    }
    etag.is_some() || date.is_some()
}

/// Takes the conditions out of a request that may be answered by a 304.
pub(super) fn ask_for_all(headers: &mut Headers) {
    headers.retain(|_, name, _| !matches!(name, b"if-none-match" | b"if-modified-since"));
}
