//! Freshens what is kept: by a 304 (RFC 9111 section 4.3.4), and by the head that a `HEAD` brought (section 4.3.5).
//! Decision 0019 says where the RFC leaves a choice, and where this departs from it.

use crate::cache::Entry;
use crate::exchange::{HeaderId, Headers, http_date};

use super::serve::opaque;

/// What the answer to a `HEAD` says of what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// It is the same: its lines can be renewed.
    Same,
    /// It has changed.
    Other,
    /// Nothing: there is no validator to tell it by.
    Unknown,
}

/// Whether a 304 with these lines, which answers our own condition, speaks of what is kept with those. A tag decides
/// alone; without one the date of the last change does. A 304 without validators can only mean what it was asked for.
pub(super) fn is_of(kept: &Headers, fresh: &Headers) -> bool {
    match (kept.get("etag"), fresh.get("etag")) {
        (Some(own), Some(new)) => opaque(own) == opaque(new),
        (None, Some(_)) => same_date(kept, fresh) == Some(true),
        (_, None) => same_date(kept, fresh).unwrap_or(true),
    }
}

/// What the head of a whole answer, without its content, says of what is kept: all validators that it has must be the
/// same, and so must the length.
pub(super) fn compare(kept: &Entry, fresh: &Headers) -> Found {
    let tag = fresh.get("etag").map(|new| kept.headers.get("etag").map(opaque) == Some(opaque(new)));
    let date = same_date(&kept.headers, fresh);
    let length = fresh.get_id(HeaderId::ContentLength);
    let length = length.map(|new| new == itoa::Buffer::new().format(kept.body.len()).as_bytes());
    match (tag, date, length) {
        (Some(false), ..) | (_, Some(false), _) | (.., Some(false)) => Found::Other,
        (None, None, _) => Found::Unknown,
        _ => Found::Same,
    }
}

/// Whether both were last changed at the same time; `None` where the new lines do not say when.
fn same_date(kept: &Headers, fresh: &Headers) -> Option<bool> {
    let new = fresh.get("last-modified")?;
    let own = kept.get("last-modified");
    let same = |own: &[u8]| own == new || (http_date(own).is_some() && http_date(own) == http_date(new));
    Some(own.is_some_and(same))
}

/// The lines of what is kept, each replaced by those of its name in `fresh` (RFC 9111 section 3.2).
pub(super) fn merged(kept: &Headers, fresh: &Headers) -> Headers {
    let mut headers = Headers::with_capacity(24, 1024);
    let renews = |name: &[u8]| !of_content(name) && fresh.iter().any(|(_, new, _)| new == name);
    headers.extend_from(kept, |_, name, _| !renews(name));
    headers.extend_from(fresh, |_, name, _| !of_content(name));
    headers
}

/// Lines that belong to the content that they came with, which may have been shaped since: what has no content does not
/// renew them. The entity tag is the same but for its strength.
fn of_content(name: &[u8]) -> bool {
    matches!(
        name,
        b"accept-ranges"
            | b"content-digest"
            | b"content-encoding"
            | b"content-length"
            | b"content-md5"
            | b"content-range"
            | b"content-type"
            | b"digest"
            | b"etag"
            | b"repr-digest"
            | b"signature"
            | b"signature-input"
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    const NOON: (&str, &str) = ("last-modified", "Wed, 25 Nov 2026 12:00:00 GMT");
    const SAME: (&str, &str) = ("last-modified", "Wednesday, 25-Nov-26 12:00:00 GMT");
    const LATER: (&str, &str) = ("last-modified", "Wed, 25 Nov 2026 12:01:30 GMT");
    const TAG: (&str, &str) = ("etag", "\"a\"");
    const WEAK: (&str, &str) = ("etag", "W/\"a\"");
    const OTHER: (&str, &str) = ("etag", "\"b\"");

    fn head(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name, value.as_bytes()).unwrap();
        }
        headers
    }

    #[test]
    fn a_304_speaks_of_what_has_its_validators() {
        for (kept, fresh, is) in [
            (&[TAG][..], &[TAG][..], true),
            (&[TAG], &[WEAK], true),
            (&[WEAK], &[TAG], true),
            (&[TAG], &[OTHER], false),
            (&[TAG, NOON], &[OTHER, NOON], false),
            (&[TAG, NOON], &[TAG, LATER], true),
            (&[TAG], &[], true),
            (&[TAG, NOON], &[SAME], true),
            (&[TAG, NOON], &[LATER], false),
            (&[TAG], &[NOON], false),
            (&[NOON], &[], true),
            (&[NOON], &[SAME], true),
            (&[NOON], &[LATER], false),
            (&[NOON], &[TAG], false),
            (&[NOON], &[TAG, NOON], true),
        ] {
            assert_eq!(is_of(&head(kept), &head(fresh)), is, "{kept:?} {fresh:?}");
        }
    }

    #[test]
    fn the_head_of_a_whole_answer_is_compared_whole() {
        let length = |length| ("content-length", length);
        for (kept, fresh, found) in [
            (&[TAG, NOON][..], &[TAG, SAME, length("5")][..], Found::Same),
            (&[TAG, NOON], &[TAG], Found::Same),
            (&[TAG], &[WEAK], Found::Same),
            (&[NOON], &[NOON], Found::Same),
            (&[TAG, NOON], &[TAG, LATER], Found::Other),
            (&[TAG, NOON], &[OTHER, NOON], Found::Other),
            (&[TAG], &[TAG, length("6")], Found::Other),
            (&[], &[TAG], Found::Other),
            (&[TAG], &[], Found::Unknown),
            (&[], &[length("5")], Found::Unknown),
            (&[], &[length("6")], Found::Other),
        ] {
            let entry = Entry {
                status: StatusCode::OK,
                headers: head(kept),
                body: Bytes::from_static(b"whole"),
                stored: Instant::now(),
                age: Duration::ZERO,
                lifetime: Duration::ZERO,
                keep: Duration::ZERO,
            };
            assert_eq!(compare(&entry, &head(fresh)), found, "{kept:?} {fresh:?}");
        }
    }
}
