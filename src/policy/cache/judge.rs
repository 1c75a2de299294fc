//! What may be kept, and for how long (RFC 9111 section 3).

use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::cache::control::{self, CacheControl};
use crate::exchange::{HeaderId, Headers, http_date};

use super::Settings;

/// For how long what has a validator is kept once it is stale: asking whether it has changed is cheaper than a new answer.
const ASKED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What of a request bears on keeping its answer.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Asker {
    /// It has credentials that the gate did not judge.
    pub(super) authorization: bool,
    /// It has cookies, and nothing in its key tells them apart.
    pub(super) cookie: bool,
    /// It is known who asks, and the key tells them apart.
    pub(super) alone: bool,
}

/// For how long an answer is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Term {
    /// How old it is by now.
    pub(super) age: Duration,
    /// It is fresh while it is younger.
    pub(super) lifetime: Duration,
    /// It is of use for so long after that.
    pub(super) keep: Duration,
}

/// For how long a stale answer may be given.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Leeway {
    /// Where the service fails.
    pub(super) error: Duration,
    /// While somebody fetches a new one.
    pub(super) revalidate: Duration,
}

impl Leeway {
    /// What an answer with this head, and else the configuration, allows.
    pub(super) fn of(control: &CacheControl, settings: &Settings) -> Leeway {
        if control.forbids_stale() {
            return Leeway::default();
        }
        let told = |seconds: Option<u64>, written| seconds.map_or(written, Duration::from_secs);
        Leeway {
            error: told(control.stale_if_error, settings.stale_if_error),
            revalidate: told(control.stale_while_revalidate, settings.stale_while_revalidate),
        }
    }

    /// Where the service fails, a new answer could not be fetched either.
    pub(super) fn on_error(self) -> Duration {
        self.error.max(self.revalidate)
    }
}

/// For how long a whole answer to a `GET` may be kept that came just now, `waited` after it was asked for; `None` where it may not
/// be, or where it would be of no use.
pub(super) fn term(
    (status, headers): (StatusCode, &Headers),
    asker: Asker,
    settings: &Settings,
    (now, waited): (SystemTime, Duration),
) -> Option<Term> {
    let control = CacheControl::read(headers);
    let told = if control.no_cache { Some(Duration::ZERO) } else { control.lifetime(headers, now) };
    let forbidden = control.forbids_keeping()
        || (control.private && !asker.alone)
        || headers.has_id(HeaderId::SetCookie)
        || (asker.authorization
            && !(control.public || control.must_revalidate || control.s_maxage.is_some()));
    if forbidden || !may_be_kept(status) {
        return None;
    }
    let age = control::age(headers, now, waited);
    let lifetime = match told {
        Some(told) => told,
        // Who says nothing of caching says nothing of cookies either: what was made for one client may look like what
        // is for all. And `ttl` counts from now.
        None if !asker.cookie && may_be_guessed(status) => settings.ttl?.saturating_add(age),
        None => return None,
    };
    let leeway = Leeway::of(&control, settings);
    let keep = leeway.on_error().max(if has_validator(headers) { ASKED_FOR } else { Duration::ZERO });
    let term = Term { age, lifetime, keep };
    (age < lifetime.saturating_add(keep)).then_some(term)
}

/// Whether a service can be asked if what has this head has changed (RFC 9111 section 4.3.1).
pub(super) fn has_validator(headers: &Headers) -> bool {
    headers.get("etag").is_some() || last_modified(headers).is_some()
}

/// When it was last changed, where that can be read.
pub(super) fn last_modified(headers: &Headers) -> Option<SystemTime> {
    http_date(headers.get("last-modified")?)
}

/// Final statuses whose answers are whole and mean the same to everybody who asks again.
pub(super) fn may_be_kept(status: StatusCode) -> bool {
    may_be_guessed(status) || matches!(status.as_u16(), 302 | 303 | 307 | 404 | 405 | 410 | 414 | 501)
}

/// Those for which `ttl` is enough; a redirect for now or an error is kept where the service says so itself.
fn may_be_guessed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308)
}

#[cfg(test)]
mod tests;
