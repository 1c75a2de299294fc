//! What becomes of an answer of the service: it is kept, it renews what is kept, or what is kept stands in for it.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use crate::cache::control::{self, CacheControl};
use crate::cache::{Entry, Outcome};
use crate::exchange::{Body, Exchange, HeaderId, Headers, Response};
use crate::runtime::clock;

use super::freshen::Found;
use super::judge::{Leeway, Term, may_be_kept, term};
use super::request::ask_for_all;
use super::tee::{Copying, Pending};
use super::visit::Asked;
use super::{Cached, freshen, key, serve};

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
            let resource =
                cache.resource(exchange.place.listener(), exchange.client.scheme, &exchange.request);
            cache.invalidate(resource, clock::now());
        }
    }

    /// Whether the service has to be asked once more, for the whole: its 304 speaks of another answer than the one that
    /// it was asked about (RFC 9111 section 4.3.4), so there is nothing to give.
    pub(super) fn ask_anew(&self, exchange: &mut Exchange, answer: &Response) -> bool {
        let asked = exchange.cached.as_mut().and_then(|cached| cached.downcast_mut::<Asked>());
        let Some(asked) = asked.filter(|asked| asked.conditional) else { return false };
        let is_other = |stale: &mut Arc<Entry>| !freshen::is_of(&stale.headers, &answer.headers);
        if answer.status != StatusCode::NOT_MODIFIED || asked.stale.take_if(is_other).is_none() {
            return false;
        }
        self.give_up(asked);
        asked.conditional = false;
        asked.at = clock::now();
        ask_for_all(&mut exchange.request.headers);
        true
    }

    fn answered(&self, mut asked: Asked, exchange: &Exchange, answer: &mut Response) {
        let (cache, now) = (&self.settings.cache, clock::now());
        let (why, upstream_status) = (asked.why, answer.status);
        let mut stored = false;
        if let Some(stale) = asked.stale.take() {
            if upstream_status == StatusCode::NOT_MODIFIED && asked.conditional {
                return self.renewed(asked, &stale, exchange, answer, now);
            }
            let failed = matches!(upstream_status.as_u16(), 500 | 502 | 503 | 504);
            if failed && self.stands_in(&stale, now) {
                cache.count(&asked.key, Outcome::Stale);
                *answer = serve::kept(&stale, &asked.headers, now);
                return serve::tell(&mut answer.headers, "fwd=stale", Some(upstream_status), "");
            }
            if asked.head && upstream_status == StatusCode::OK {
                cache.count(&asked.key, Outcome::Miss);
                stored = self.headed(asked, &stale, exchange, answer, now);
                return report(answer, why, upstream_status, stored);
            }
        }
        cache.count(&asked.key, Outcome::Miss);
        if asked.keeps && !asked.head {
            stored = self.keep(&mut asked, exchange, answer, now);
            // What has come is newer than what was there, which is not given any more. A refusal says nothing of it.
            if !stored && may_be_kept(upstream_status) {
                self.give_up(&asked);
            }
        }
        report(answer, why, upstream_status, stored);
    }

    /// Removes what is kept, where its service has another answer by now that is not kept. A request that does not let
    /// its answer be kept, or has credentials that the gateway did not judge, removes nothing: its answer says nothing
    /// of the one for everybody else, and any client can send such a request.
    fn give_up(&self, asked: &Asked) {
        if asked.keeps && !asked.asker.authorization {
            self.settings.cache.remove(&asked.key);
        }
    }

    fn stands_in(&self, stale: &Entry, now: Instant) -> bool {
        let leeway = Leeway::of(&CacheControl::read(&stale.headers), &self.settings);
        stale.staleness(now) < leeway.on_error()
    }

    /// The service says that what is kept has not changed: its lines are renewed (RFC 9111 section 4.3.4), and the client
    /// gets it.
    fn renewed(&self, asked: Asked, stale: &Entry, exchange: &Exchange, answer: &mut Response, now: Instant) {
        self.settings.cache.count(&asked.key, Outcome::Miss);
        dated(&mut answer.headers);
        let headers = freshen::merged(&stale.headers, &answer.headers);
        let term = self.term(stale.status, &headers, &asked, now);
        let lasting =
            term.unwrap_or(Term { age: stale.age(now), lifetime: stale.lifetime, keep: stale.keep });
        let entry = entry(stale.status, &headers, now, lasting).with_body(stale.body.clone());
        *answer = serve::kept(&entry, &asked.headers, now);
        let stored = self.put_renewed(&asked, exchange, term.map(|_| entry));
        report(answer, "stale", StatusCode::NOT_MODIFIED, stored);
    }

    /// A `HEAD` has brought the head of the whole answer: where it is that of what is kept, its lines are renewed, and
    /// where it is another, what is kept is over (RFC 9111 section 4.3.5). Whether it was renewed.
    fn headed(
        &self,
        asked: Asked,
        stale: &Entry,
        exchange: &Exchange,
        answer: &mut Response,
        now: Instant,
    ) -> bool {
        let found = match stale.status {
            StatusCode::OK => freshen::compare(stale, &answer.headers),
            _ => Found::Other,
        };
        match found {
            Found::Unknown => return false,
            Found::Other => {
                self.give_up(&asked);
                return false;
            }
            Found::Same => {}
        }
        dated(&mut answer.headers);
        let headers = freshen::merged(&stale.headers, &answer.headers);
        let term = self.term(stale.status, &headers, &asked, now);
        let renewed = term.map(|term| entry(stale.status, &headers, now, term).with_body(stale.body.clone()));
        self.put_renewed(&asked, exchange, renewed)
    }

    /// Puts what was renewed in the place of what it was, which is over where it must not be kept any more; whether it
    /// is there. A request that does not let its answer be kept, or must not have brought it, changes nothing.
    fn put_renewed(&self, asked: &Asked, exchange: &Exchange, renewed: Option<Entry>) -> bool {
        let cache = &self.settings.cache;
        if !asked.keeps || cache.is_invalidated(asked.resource, asked.at) {
            return false;
        }
        let place = |entry: &Entry| {
            let who = exchange.identity.as_deref();
            let names = key::varying(&entry.headers)?;
            key::Place::of(cache, asked.primary, names, &asked.headers, who)
        };
        let Some((place, entry)) = renewed.and_then(|entry| Some((place(&entry)?, entry))) else {
            self.give_up(asked);
            return false;
        };
        place.put(cache, entry)
    }

    fn term(&self, status: StatusCode, headers: &Headers, asked: &Asked, now: Instant) -> Option<Term> {
        let waited = now.saturating_duration_since(asked.at);
        term((status, headers), asked.asker, &self.settings, (clock::wall(), waited))
    }

    /// Keeps an answer, now or when its body has passed; whether it is going to.
    fn keep(&self, asked: &mut Asked, exchange: &Exchange, answer: &mut Response, now: Instant) -> bool {
        let cache = &self.settings.cache;
        let Some(term) = self.term(answer.status, &answer.headers, asked, now) else { return false };
        // One that ends with its connection cannot be distinguished from one that broke off (RFC 9111 section 3.3).
        if !answer.body.ends_surely() {
            return false;
        }
        // It may never end, and would hold its copy as long as it lasts.
        if answer.is_events() {
            return false;
        }
        // Trailers are not kept. Where they are announced, nothing is, and `stored` is not said.
        if answer.headers.has_id(HeaderId::Trailer) {
            return false;
        }
        dated(&mut answer.headers);
        let who = exchange.identity.as_deref();
        let place = key::varying(&answer.headers)
            .and_then(|names| key::Place::of(cache, asked.primary, names, &asked.headers, who));
        let Some(place) = place else { return false };
        let entry = entry(answer.status, &answer.headers, now, term);
        let (resource, claim) = (asked.resource, asked.claim.take());
        let pending = Pending { place, entry, resource, asked: asked.at, claim };
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

/// Says when it was received, where the service does not say, or not legibly, when it was made (RFC 9110 section 6.6.1):
/// each time it is given it is the same.
fn dated(headers: &mut Headers) {
    if control::date(headers).is_none() {
        headers.remove_id(HeaderId::Date);
        headers.push_id(HeaderId::Date, httpdate::fmt_http_date(clock::wall()).as_bytes());
    }
}

fn report(answer: &mut Response, why: &str, upstream_status: StatusCode, stored: bool) {
    let upstream_status = Some(upstream_status).filter(|_| why == "stale");
    serve::tell(
        &mut answer.headers,
        &["fwd=", why].concat(),
        upstream_status,
        if stored { "; stored" } else { "" },
    );
}

/// An entry without content. Its age is written anew each time.
fn entry(status: StatusCode, from: &Headers, now: Instant, term: Term) -> Entry {
    let mut headers = Headers::with_capacity(24, 1024);
    let kept = |id, name: &[u8]| {
        // What is kept has no trailers that could be announced. The last of these speaks of the connection to a proxy
        // (RFC 9111 section 3.1).
        !matches!(id, HeaderId::ContentLength | HeaderId::Trailer)
            && !matches!(name, b"age" | b"proxy-authentication-info")
    };
    headers.extend_from(from, |id, name, _| kept(id, name));
    let Term { age, lifetime, keep } = term;
    Entry { status, headers, body: bytes::Bytes::new(), stored: now, age, lifetime, keep }
}
