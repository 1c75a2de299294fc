//! One call of a source: through the cache, through the upstream's door, and what counts as an answer.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use smallvec::smallvec;

use crate::cache::control::CacheControl;
use crate::cache::{Entry, Key, Outcome, identity_parts};
use crate::coding::{Coding, Decoder, codings};
use crate::exchange::{Body, Exchange, Frame, HeaderId, Request, Response, Term};
use crate::expression::Ground;
use crate::json;
use crate::runtime::{clock, time};
use crate::upstream::{Caller, Deadline};

use super::outcome::{Carried, Failure, Fault, Given, Origin, Said};
use super::source::{Source, Unasked};
use super::vary::{can_be_told_apart, is_said_anew};

/// What the calls of one source share.
pub(super) struct Line<'a> {
    /// The source.
    pub(super) source: &'a Source,
    /// On whose behalf.
    pub(super) exchange: &'a Exchange,
    /// When nobody waits any more.
    pub(super) end: Instant,
    /// The bytes of bodies that may still come.
    pub(super) room: &'a Cell<u64>,
}

impl Line<'_> {
    /// Calls the service once, or takes what it said before.
    ///
    /// # Errors
    /// Why the source failed, or why the whole call is refused.
    pub(super) async fn call(&self, ground: Ground<'_>) -> Result<Given, Unasked> {
        let request = self.source.request(self.exchange, ground)?;
        let Some(caching) = self.source.cache.as_ref() else {
            return self.ask(request).await.map_err(Unasked::Failed);
        };
        let key = self.key(&request, caching.shared);
        // Another route may have brought it, with other bounds: it is judged by the own ones.
        let kept = caching.store.get(&key).filter(|entry| self.would_take(entry));
        let now = clock::now();
        if let Some(entry) = kept.as_ref().filter(|entry| entry.age(now) < caching.ttl) {
            caching.store.count(&key, Outcome::Hit);
            return self.kept(entry, Origin::Cached, now).map_err(Unasked::Failed);
        }
        match self.ask(request).await {
            Ok(given) => {
                caching.store.count(&key, Outcome::Miss);
                self.keep(key, &given);
                Ok(given)
            }
            Err(failure) => {
                let now = clock::now();
                let most = caching.ttl.saturating_add(caching.stale_if_error);
                let is_good = |entry: &Arc<Entry>| failure.fault.is_trouble() && entry.age(now) < most;
                let stale = kept.filter(is_good).and_then(|entry| self.kept(&entry, Origin::Stale, now).ok());
                caching.store.count(&key, if stale.is_some() { Outcome::Stale } else { Outcome::Miss });
                stale.ok_or(Unasked::Failed(failure))
            }
        }
    }

    /// What tells one answer from another: what is asked, what is said beside it, and who the client is to the service.
    /// What the gate says of this one request alone is no part of it; what host was asked is: a service may write it into
    /// its answer, and a client can say what it likes there.
    fn key(&self, request: &Request, shared: bool) -> Key {
        let settings = self.source.upstream.settings();
        let target = request.target.as_str();
        let mut parts: Vec<&[u8]> = vec![settings.name.as_bytes(), target.as_bytes()];
        let identity = self.exchange.identity.as_ref();
        let is_identity = |name: &[u8]| {
            identity.is_some_and(|known| known.headers.iter().any(|(own, _)| own.as_bytes() == name))
        };
        for (id, name, value) in request.headers.iter() {
            if !is_said_anew(id) && !is_identity(name) {
                parts.extend([name, value]);
            }
        }
        parts.push(match &request.body {
            Body::Bytes(bytes) => bytes,
            _ => b"",
        });
        parts.push(if shared { b"shared" } else { b"own" });
        if !shared {
            parts.extend(identity_parts(self.exchange));
        }
        Key::of(parts)
    }

    /// Whether it would be an answer, had the service given it just now.
    fn would_take(&self, entry: &Entry) -> bool {
        self.source.accepts(entry.status) && entry.body.len() as u64 <= self.source.max_body
    }

    fn kept(&self, entry: &Entry, origin: Origin, now: Instant) -> Result<Given, Failure> {
        let mut share = Share::of(self.room);
        share.take(entry.body.len())?;
        share.keep();
        let age = now.saturating_duration_since(entry.stored).as_secs();
        let said = Said { headers: entry.headers.clone(), age };
        Ok(Given {
            status: entry.status,
            said: smallvec![said],
            body: Carried::One(entry.body.clone()),
            origin,
        })
    }

    fn keep(&self, key: Key, given: &Given) {
        let (Some(caching), Carried::One(body), [said]) = (&self.source.cache, &given.body, &*given.said)
        else {
            return;
        };
        let told = CacheControl::read(&said.headers);
        if told.no_store || (told.private && caching.shared) || said.headers.has_id(HeaderId::SetCookie) {
            return;
        }
        if !can_be_told_apart(&said.headers, self.exchange, caching.shared) {
            return;
        }
        caching.store.put(
            key,
            Entry {
                status: given.status,
                headers: said.headers.clone(),
                body: body.clone(),
                stored: clock::now(),
                age: Duration::ZERO,
                lifetime: caching.ttl,
                keep: caching.stale_if_error,
            },
        );
    }

    /// Calls the service and reads its whole answer.
    async fn ask(&self, request: Request) -> Result<Given, Failure> {
        match time::timeout_at(self.end, self.read(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(Fault::Timeout, "not complete in time")),
        }
    }

    async fn read(&self, mut request: Request) -> Result<Given, Failure> {
        let caller = Caller {
            core: self.exchange.core,
            ground: Some(Ground::from(self.exchange)),
            upgrades: false,
            deadline_header: self.source.ask.deadline_header.as_deref(),
            interims: None,
        };
        let deadline = Deadline { at: self.end, lifted: self.source.lifted, whole: true, term: Term::Head };
        let attempts = &self.exchange.record.attempts;
        let called = self.source.upstream.call(caller, &mut request, deadline, attempts).await;
        let answer = called.map_err(|error| Failure::of(&error))?;
        let status = answer.status;
        if !self.source.accepts(status) {
            return Err(Failure::new(Fault::Status(status), format_args!("answered {}", status.as_u16())));
        }
        let Response { headers, body, .. } = answer;
        let mut share = Share::of(self.room);
        let body = if body.is_empty() {
            Bytes::new()
        } else {
            let codings = codings(&headers).map_err(|error| Failure::new(Fault::InvalidJson, error))?;
            collect(body, &codings, &mut share).await?
        };
        let json = match body.strip_prefix(json::BOM) {
            _ if body.is_empty() => Bytes::from_static(b"null"),
            Some(_) => body.slice(json::BOM.len()..),
            None => body,
        };
        json::check(&json).map_err(|error| Failure::new(Fault::InvalidJson, error))?;
        share.keep();
        let said = Said { headers, age: 0 };
        Ok(Given { status, said: smallvec![said], body: Carried::One(json), origin: Origin::Service })
    }
}

/// What one body takes of the room that all bodies of a source have. It is given back where nothing comes of the body: what
/// was kept may stand in for it.
struct Share<'a> {
    room: &'a Cell<u64>,
    taken: u64,
}

impl<'a> Share<'a> {
    fn of(room: &'a Cell<u64>) -> Share<'a> {
        Share { room, taken: 0 }
    }

    fn left(&self) -> u64 {
        self.room.get()
    }

    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let left = self.left().checked_sub(bytes as u64).ok_or_else(too_large)?;
        self.taken += bytes as u64;
        self.room.set(left);
        Ok(())
    }

    /// The body is held from now on.
    fn keep(&mut self) {
        self.taken = 0;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.set(self.room.get() + self.taken);
    }
}

fn too_large() -> Failure {
    Failure::new(Fault::TooLarge, "larger than `max_body`")
}

/// Reads a whole body, decoded, while there is room.
async fn collect(mut body: Body, codings: &[Coding], share: &mut Share<'_>) -> Result<Bytes, Failure> {
    if body.length().is_some_and(|length| codings.is_empty() && length > share.left()) {
        return Err(too_large());
    }
    let mut decoder = (!codings.is_empty()).then(|| Decoder::new(codings));
    // Coded bytes are not held, but nobody is made to read them without end either.
    let mut coded = share.left();
    let (mut first, mut all, mut decoded) = (Bytes::new(), BytesMut::new(), Vec::new());
    let broken = |fault: crate::coding::Fault| match fault {
        crate::coding::Fault::TooLarge => too_large(),
        crate::coding::Fault::Broken(why) => Failure::new(Fault::InvalidJson, why),
    };
    while let Some(frame) = body.frame().await {
        let Frame::Data(data) = frame.map_err(|error| Failure::of(&error))? else { continue };
        if let Some(decoder) = &mut decoder {
            coded = coded.checked_sub(data.len() as u64).ok_or_else(too_large)?;
            let before = decoded.len();
            let limit = usize::try_from(share.left()).unwrap_or(usize::MAX);
            decoder.push(&data, &mut decoded, limit).map_err(broken)?;
            share.take(decoded.len() - before)?;
            continue;
        }
        share.take(data.len())?;
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&data);
    }
    if let Some(decoder) = &mut decoder {
        let before = decoded.len();
        decoder.finish(&mut decoded, usize::try_from(share.left()).unwrap_or(usize::MAX)).map_err(broken)?;
        share.take(decoded.len() - before)?;
        return Ok(decoded.into());
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
