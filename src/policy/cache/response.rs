//! What becomes of an answer of the service: it is kept, it renews what is kept, or what is kept stands in for it.

use std::time::Instant;

use http::{Method, StatusCode};

use crate::cache::control::CacheControl;
use crate::cache::{Entry, Outcome};
use crate::exchange::{Body, Exchange, HeaderId, Headers, Response};
use crate::runtime::clock;

use super::judge::{Leeway, Term, may_be_kept, term};
use super::tee::{Copying, Pending};
use super::visit::Asked;
use super::{Cached, key, serve};

impl Cached {
    pub(super) fn settle(&self, exchange: &mut Exchange, answer: &mut Response) {
        match exchange.cached.take().map(|cached| cached.downcast::<Asked>()) {
            None => self.changed(exchange, answer),
            Some(Ok(asked)) => self.answered(*asked, exchange, answer),
            Some(Err(_)) => serve::tell(&mut answer.headers, "fwd=bypass", None, ""),
        }
    }

    /// What was known is over once an unsafe method has succeeded (RFC 9111 section 4.4).
    fn changed(&self, exchange: &Exchange, answer: &Response) {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        let succeeded = answer.status.is_success() || answer.status.is_redirection();
        if succeeded && !safe.contains(&exchange.request.method) {
            let cache = &self.settings.cache;
            let resource = cache.resource(exchange.place.listener(), &exchange.request);
            cache.invalidate(resource, clock::now());
        }
    }

    fn answered(&self, mut asked: Asked, exchange: &Exchange, answer: &mut Response) {
        let (cache, now) = (&self.settings.cache, clock::now());
        let (why, told) = (asked.why, answer.status);
        if let Some(stale) = asked.stale.take() {
            if told == StatusCode::NOT_MODIFIED && asked.conditional {
                return self.renewed(&asked, &stale, answer, now);
            }
            let failed = matches!(told.as_u16(), 500 | 502 | 503 | 504);
            if failed && self.stands_in(&stale, now) {
                cache.count(&asked.key, Outcome::Stale);
                *answer = serve::kept(&stale, &asked.headers, now);
                return serve::tell(&mut answer.headers, "fwd=stale", Some(told), "");
            }
        }
        cache.count(&asked.key, Outcome::Miss);
        let (key, keeps) = (asked.key, asked.keeps);
        let stored = keeps && self.keep(asked, exchange, answer, now);
        // What has come is newer than what was there, which is not given any more. A refusal says nothing of it.
        if keeps && !stored && may_be_kept(told) {
            cache.remove(&key);
        }
        let told = Some(told).filter(|_| why == "stale");
        serve::tell(&mut answer.headers, &["fwd=", why].concat(), told, if stored { "; stored" } else { "" });
    }

    fn stands_in(&self, stale: &Entry, now: Instant) -> bool {
        let leeway = Leeway::of(&CacheControl::read(&stale.headers), &self.settings);
        stale.staleness(now) < leeway.on_error()
    }

    /// The service says that what is kept has not changed: its lines are renewed (RFC 9111 section 4.3.4), and the client
    /// gets it.
    fn renewed(&self, asked: &Asked, stale: &Entry, answer: &mut Response, now: Instant) {
        let cache = &self.settings.cache;
        cache.count(&asked.key, Outcome::Miss);
        let mut headers = Headers::with_capacity(24, 1024);
        let renews = |name: &[u8]| !of_content(name) && answer.headers.iter().any(|(_, new, _)| new == name);
        headers.extend_from(&stale.headers, |_, name, _| !renews(name));
        headers.extend_from(&answer.headers, |_, name, _| !of_content(name));
        dated(&mut headers);
        let term = self.term(stale.status, &headers, asked, now);
        if CacheControl::read(&answer.headers).no_store {
            cache.remove(&asked.key);
        }
        let mut stored = false;
        let lasting =
            term.unwrap_or(Term { age: stale.age(now), lifetime: stale.lifetime, keep: stale.keep });
        let entry = entry(stale.status, &headers, now, lasting).with_body(stale.body.clone());
        *answer = serve::kept(&entry, &asked.headers, now);
        if term.is_some() && asked.keeps && !cache.is_invalidated(asked.resource, asked.at) {
            stored = cache.put(asked.key, entry);
        }
        let stored = if stored { "; stored" } else { "" };
        serve::tell(&mut answer.headers, "fwd=stale", Some(StatusCode::NOT_MODIFIED), stored);
    }

    fn term(&self, status: StatusCode, headers: &Headers, asked: &Asked, now: Instant) -> Option<Term> {
        let waited = now.saturating_duration_since(asked.at);
        term((status, headers), asked.asker, &self.settings, (clock::wall(), waited))
    }

    /// Keeps an answer, now or when its body has passed; whether it is going to.
    fn keep(&self, asked: Asked, exchange: &Exchange, answer: &mut Response, now: Instant) -> bool {
        let cache = &self.settings.cache;
        let Some(term) = self.term(answer.status, &answer.headers, &asked, now) else { return false };
        // One that ends with its connection cannot be told from one that broke off (RFC 9111 section 3.3).
        if !answer.body.ends_surely() {
            return false;
        }
        dated(&mut answer.headers);
        let who = exchange.identity.as_deref();
        let place = key::varying(&answer.headers)
            .and_then(|names| key::Place::of(cache, asked.primary, names, &asked.headers, who));
        let Some(place) = place else { return false };
        let entry = entry(answer.status, &answer.headers, now, term);
        let pending = Pending { place, entry, resource: asked.resource, asked: asked.at, claim: asked.claim };
        match answer.body.take() {
            // Of one without content nobody asks for the end.
            Body::Stream(stream) if stream.remaining() != Some(0) => {
                let (body, copied) = Copying::start(Body::Stream(stream), cache, pending);
                answer.body = body;
                copied
            }
            whole => {
                let bytes = match &whole {
                    Body::Bytes(bytes) => bytes.clone(),
                    _ => bytes::Bytes::new(),
                };
                answer.body = whole;
                pending.finish(cache, bytes)
            }
        }
    }
}

/// Lines that belong to the content that they came with, which may have been shaped since: a 304 has none, and does not
/// renew them (RFC 9111 section 3.2). The entity tag is the same but for its strength.
fn of_content(name: &[u8]) -> bool {
    matches!(
        name,
        b"accept-ranges"
            | b"content-digest"
            | b"content-encoding"
            | b"content-length"
            | b"content-range"
            | b"content-type"
            | b"digest"
            | b"etag"
            | b"repr-digest"
    )
}

/// Gives it a date, where the service did not (RFC 9110 section 6.6.1): each time it is given it is the same.
fn dated(headers: &mut Headers) {
    if !headers.has_id(HeaderId::Date) {
        headers.push_id(HeaderId::Date, httpdate::fmt_http_date(clock::wall()).as_bytes());
    }
}

/// An entry without content. Its age is told anew each time.
fn entry(status: StatusCode, from: &Headers, now: Instant, term: Term) -> Entry {
    let mut headers = Headers::with_capacity(24, 1024);
    // What is kept has no trailers that could be announced.
    let kept = |id| !matches!(id, HeaderId::ContentLength | HeaderId::Trailer);
    headers.extend_from(from, |id, name, _| kept(id) && name != b"age");
    let Term { age, lifetime, keep } = term;
    Entry { status, headers, body: bytes::Bytes::new(), stored: now, age, lifetime, keep }
}
