//! The head of the one answer: what of the sources' own heads reaches the client.

use std::time::Duration;

use crate::cache::control::{CacheControl, age};
use crate::exchange::{Exchange, HeaderId, Headers};
use crate::runtime::clock;

use super::super::proxy::public_cookie;
use super::outcome::{Given, Origin, Outcome};
use super::source::Source;

/// The sources that went well, in the order written.
fn given<'a>(
    sources: &'a [Source],
    outcomes: &'a [Option<(Outcome, u64)>],
) -> impl Iterator<Item = (&'a Source, &'a Given)> {
    sources.iter().zip(outcomes).filter_map(|(source, outcome)| match outcome {
        Some((Outcome::Given(given), _)) => Some((source, given)),
        _ => None,
    })
}

/// Adds the lines that sources are to show: every `set-cookie`, and of any other name those of the first source.
pub(super) fn expose(
    exchange: &Exchange,
    sources: &[Source],
    outcomes: &[Option<(Outcome, u64)>],
    out: &mut Headers,
) {
    for (source, given) in given(sources, outcomes) {
        for name in &source.expose {
            if name != "set-cookie" {
                if out.get(name).is_some() {
                    continue;
                }
                if let Some(said) = given.said.iter().find(|said| said.headers.get(name).is_some()) {
                    out.extend_from(&said.headers, |_, other, _| other == name.as_bytes());
                }
                continue;
            }
            for line in given.said.iter().flat_map(|said| said.headers.all_id(HeaderId::SetCookie)) {
                let mapped = std::str::from_utf8(line)
                    .ok()
                    .and_then(|text| public_cookie(&source.upstream, exchange, text));
                out.push_judged(b"set-cookie", mapped.as_deref().map_or(line, str::as_bytes));
            }
        }
    }
}

/// The strictest `cache-control` of all that answered (RFC 9111 section 5.2.2); none where nobody says anything.
pub(super) fn cache_control(
    known: bool,
    partial: bool,
    sources: &[Source],
    outcomes: &[Option<(Outcome, u64)>],
) -> Option<String> {
    if partial {
        return Some("no-store".to_owned());
    }
    let (mut no_cache, mut private, mut must_revalidate) = (false, false, false);
    let (mut silent, mut least) = (false, None::<u64>);
    let now = clock::wall();
    for (said, origin) in given(sources, outcomes)
        .flat_map(|(_, given)| given.said.iter().map(move |said| (said, given.origin)))
    {
        let told = CacheControl::read(&said.headers);
        if told.no_store {
            return Some("no-store".to_owned());
        }
        no_cache |= told.no_cache;
        private |= told.private;
        must_revalidate |= told.must_revalidate || told.proxy_revalidate;
        match told.max_age.or(told.s_maxage) {
            Some(max_age) => {
                // What `Date` tells has the time in the cache in it already.
                let age = age(&said.headers, now, Duration::from_secs(said.age)).as_secs();
                let left = if origin == Origin::Stale { 0 } else { max_age.saturating_sub(age) };
                least = Some(least.map_or(left, |least| least.min(left)));
            }
            None => silent = true,
        }
    }
    let mut words: Vec<String> = Vec::new();
    match least {
        _ if no_cache => words.push("no-cache".to_owned()),
        Some(_) if silent => words.push("no-cache".to_owned()),
        Some(least) => words.push(format!("max-age={least}")),
        None => {}
    }
    if must_revalidate {
        words.push("must-revalidate".to_owned());
    }
    if private || (known && !words.is_empty()) {
        words.push("private".to_owned());
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// The line `aggregate-status`: a List of RFC 9651 with an item for every source that has come to something.
pub(super) fn status(sources: &[Source], outcomes: &[Option<(Outcome, u64)>]) -> String {
    let mut out = String::with_capacity(sources.len() * 24);
    let mut digits = itoa::Buffer::new();
    for (source, outcome) in sources.iter().zip(outcomes) {
        let Some((outcome, ms)) = outcome else { continue };
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&source.name);
        out.push_str(";s=");
        out.push_str(outcome.word().0);
        out.push_str(";ms=");
        out.push_str(digits.format(*ms));
        if let Outcome::Given(given) = outcome {
            out.push_str(match given.origin {
                Origin::Service => "",
                Origin::Cached => ";cached",
                Origin::Stale => ";stale",
            });
        }
    }
    out
}
