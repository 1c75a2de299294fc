//! What the head of an answer, or of a request, says of caching (RFC 9111 section 5).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::exchange::headers::valid_name;
use crate::exchange::syntax::{Unclosed, digits, find_unquoted, unquoted};
use crate::exchange::{HeaderId, Headers, http_date};

/// The largest number of seconds that anybody means (RFC 9111 section 1.2.2).
pub const MANY: u64 = 1 << 31;

/// `Cache-Control` (RFC 9111 section 5.2). Names in any case, values bare or quoted; what is said twice counts in its
/// stricter form, and what cannot be read counts as the strictest. Unknown directives mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheControl {
    /// It must not be kept. Also where a part of the line cannot be read.
    pub no_store: bool,
    /// A cache that knows its status may keep it though it says `no-store` (section 5.2.2.3).
    pub must_understand: bool,
    /// A part of the line cannot be read, so that what it says is not known.
    pub broken: bool,
    /// It must not be given without asking first. Also where it names fields.
    pub no_cache: bool,
    /// It is for one client alone. Also where it names fields.
    pub private: bool,
    /// It may be kept where it otherwise might not.
    pub public: bool,
    /// It must not be given once it is stale.
    pub must_revalidate: bool,
    /// The same, for caches that serve several clients. Unlike `must-revalidate` it does not allow to keep what was
    /// asked for with credentials (section 3.5).
    pub proxy_revalidate: bool,
    /// Of a request: it is to be answered from what is kept, or not at all.
    pub only_if_cached: bool,
    /// Seconds that it is fresh, from when it was made.
    pub max_age: Option<u64>,
    /// The same, for caches that serve several clients.
    pub s_maxage: Option<u64>,
    /// Seconds that a stale answer may stand in for an error (RFC 5861 section 4).
    pub stale_if_error: Option<u64>,
    /// Seconds that a stale answer may be given while a new one is fetched (RFC 5861 section 3).
    pub stale_while_revalidate: Option<u64>,
}

impl CacheControl {
    /// What the lines of a head say, all `Cache-Control` lines together.
    pub fn read(headers: &Headers) -> CacheControl {
        let mut control = CacheControl::default();
        for line in headers.all_id(HeaderId::CacheControl) {
            let mut rest = line;
            while let Some(directive) = Directive::next(&mut rest) {
                control.take(&directive);
            }
        }
        control
    }

    fn take(&mut self, directive: &Directive<'_>) {
        let name = directive.name;
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if directive.broken {
            (self.broken, self.no_store) = (true, true);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            shorter(&mut self.max_age, directive);
        } else if is("s-maxage") {
            shorter(&mut self.s_maxage, directive);
        } else if is("stale-if-error") {
            shorter(&mut self.stale_if_error, directive);
        } else if is("stale-while-revalidate") {
            shorter(&mut self.stale_while_revalidate, directive);
        }
    }

    /// Whether a cache must not keep the answer, whose status it understands (RFC 9111 sections 3 and 5.2.2.3).
    pub fn forbids_keeping(&self) -> bool {
        self.no_store && (self.broken || !self.must_understand)
    }

    /// Whether a cache that serves several clients must not give the answer once it is stale (RFC 9111 section 4.2.4);
    /// `s-maxage` forbids it as `proxy-revalidate` does (section 5.2.2.10).
    pub fn forbids_stale(&self) -> bool {
        self.no_cache || self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    /// For how long an answer with this head is fresh, counted from when it was made (RFC 9111 section 4.2.1): what is
    /// said for shared caches first, then `max-age`, then `Expires`. `None` where nothing is said.
    pub fn lifetime(&self, headers: &Headers, now: SystemTime) -> Option<Duration> {
        if let Some(seconds) = self.s_maxage.or(self.max_age) {
            return Some(Duration::from_secs(seconds));
        }
        let made = date(headers).unwrap_or(now);
        let until = |value: &[u8]| {
            // A date that cannot be read, such as `0`, is one that has passed (section 5.3).
            let until = http_date(value)?;
            until.duration_since(made).ok()
        };
        headers.all("expires").map(|value| until(value).unwrap_or_default()).min()
    }
}

/// How old an answer is that has come just now, `waited` after it was asked for (RFC 9111 section 4.2.3): what it says
/// of its age, and the time it was on its way, or what its `Date` shows where that is more. Of several ages the first
/// counts; one that is no number says nothing (section 5.1).
pub fn age(headers: &Headers, now: SystemTime, waited: Duration) -> Duration {
    let said = headers.get("age").and_then(|value| {
        let first = value.split(|byte| *byte == b',').next()?;
        number(first.trim_ascii())
    });
    let corrected = Duration::from_secs(said.unwrap_or_default()).saturating_add(waited);
    // `Date` has whole seconds, and so has what is compared with it.
    let apparent = date(headers).map_or(0, |date| seconds(now).saturating_sub(seconds(date)));
    corrected.max(Duration::from_secs(apparent))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When an answer was made, where its one `Date` can be read.
pub fn date(headers: &Headers) -> Option<SystemTime> {
    let mut lines = headers.all_id(HeaderId::Date);
    let first = http_date(lines.next()?)?;
    lines.next().is_none().then_some(first)
}

/// The shorter of two times counts, and what is no time is none.
fn shorter(time: &mut Option<u64>, directive: &Directive<'_>) {
    let new = directive.value.as_deref().and_then(number).unwrap_or(0);
    *time = Some(time.map_or(new, |old| old.min(new)));
}

/// Seconds (RFC 9111 section 1.2.2): digits alone.
fn number(value: &[u8]) -> Option<u64> {
    digits(value).map(|seconds| seconds.min(MANY))
}

/// One directive of a line.
struct Directive<'a> {
    name: &'a [u8],
    /// What follows `=`, without quotes.
    value: Option<Cow<'a, [u8]>>,
    /// A quote that has no end, or a comma that was meant and is none, hides what may have been said behind it.
    broken: bool,
}

impl<'a> Directive<'a> {
    /// The next directive, which is taken from the front of `rest`.
    fn next(rest: &mut &'a [u8]) -> Option<Directive<'a>> {
        loop {
            let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
            let (text, after, broken) = until_comma(&rest[start..]);
            *rest = after;
            let (name, value) = match text.iter().position(|byte| *byte == b'=') {
                Some(at) => (&text[..at], Some(unquoted(text[at + 1..].trim_ascii()))),
                None => (text, None),
            };
            let name = name.trim_ascii();
            // `private; max-age=0` is a common slip: it means to say more than it does.
            let torn = !name.is_empty() && !valid_name(name);
            let broken = broken || torn || (!text.contains(&b'"') && text.contains(&b';'));
            if !name.is_empty() || broken {
                return Some(Directive { name, value, broken });
            }
        }
    }
}

/// Splits at the first comma outside of quotes; tells whether a quote has no end.
fn until_comma(text: &[u8]) -> (&[u8], &[u8], bool) {
    match find_unquoted(text, b',') {
        Ok(Some(comma)) => (&text[..comma], &text[comma + 1..], false),
        Ok(None) => (text, &[], false),
        Err(Unclosed) => (text, &[], true),
    }
}

#[cfg(test)]
mod tests;
