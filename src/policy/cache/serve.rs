//! Answers made of what is kept.

use std::time::Instant;

use http::StatusCode;

use crate::cache::Entry;
use crate::cache::control::{MANY, date};
use crate::exchange::{Body, Headers, Response, http_date};

use super::judge::last_modified;

/// The name of the cache in `Cache-Status`.
const NAME: &str = "portcullis";

/// What is kept, given without asking the service.
pub(super) fn hit(entry: &Entry, asked: &Headers, now: Instant) -> Response {
    let mut answer = kept(entry, asked, now);
    let (age, lifetime) = (entry.age(now).as_secs(), entry.lifetime.as_secs());
    let mut digits = itoa::Buffer::new();
    let sign = if age > lifetime { "-" } else { "" };
    let text = [NAME, "; hit; ttl=", sign, digits.format(lifetime.abs_diff(age))].concat();
    answer.headers.push_judged(b"cache-status", text.as_bytes());
    answer
}

/// What is kept as the answer to a request with these lines: whole, or 304 where the client has it already (RFC 9111 section
/// 4.3.2).
pub(super) fn kept(entry: &Entry, asked: &Headers, now: Instant) -> Response {
    let known = entry.status.is_success() && is_known(entry, asked);
    let mut headers = Headers::with_capacity(24, 1024);
    headers.extend_from(&entry.headers, |_, name, _| !known || !of_content(name));
    let age = entry.age(now).as_secs().min(MANY);
    headers.push_judged(b"age", itoa::Buffer::new().format(age).as_bytes());
    if known {
        return Response { status: StatusCode::NOT_MODIFIED, headers, body: Body::Empty };
    }
    let body = if entry.body.is_empty() { Body::Empty } else { Body::Bytes(entry.body.clone()) };
    Response { status: entry.status, headers, body }
}

/// Says how the cache has handled a request that it forwarded (RFC 9211).
pub(super) fn tell(headers: &mut Headers, why: &str, told: Option<StatusCode>, stored: &str) {
    let told = told.as_ref().map_or(["", ""], |told| ["; fwd-status=", told.as_str()]);
    let text = [NAME, "; ", why, told[0], told[1], stored].concat();
    headers.push_judged(b"cache-status", text.as_bytes());
}

/// Lines that a 304 leaves out (RFC 9110 section 15.4.5): what describes content that it does not have.
fn of_content(name: &[u8]) -> bool {
    matches!(name, b"content-type" | b"content-encoding" | b"content-language" | b"content-range")
}

/// Whether the client says that it has what is kept (RFC 9111 section 4.3.2). Entity tags are compared weakly, and win
/// over dates (RFC 9110 section 13.2.2). What does not say when it was changed was not changed after it was made.
fn is_known(entry: &Entry, asked: &Headers) -> bool {
    let mut tags = asked.all("if-none-match").peekable();
    if tags.peek().is_some() {
        let Some(own) = entry.headers.get("etag").map(opaque) else { return tags.any(|line| line == b"*") };
        return tags.any(|line| line == b"*" || names(line, own));
    }
    let mut dates = asked.all("if-modified-since");
    let since = dates.next().filter(|_| dates.next().is_none()).and_then(http_date);
    let changed = match entry.headers.get("last-modified") {
        Some(_) => last_modified(&entry.headers),
        None => date(&entry.headers),
    };
    matches!((since, changed), (Some(since), Some(changed)) if changed <= since)
}

/// An entity tag without the mark of a weak one.
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of entity tags has this one; a comma may stand inside a tag.
fn names(mut list: &[u8], own: &[u8]) -> bool {
    loop {
        let Some(start) = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b',')) else {
            return false;
        };
        list = &list[start..];
        let tag = opaque(list);
        let end = match tag.first() {
            Some(b'"') => tag[1..].iter().position(|byte| *byte == b'"').map(|at| at + 2),
            _ => tag.iter().position(|byte| *byte == b','),
        };
        let (tag, rest) = tag.split_at(end.unwrap_or(tag.len()));
        if tag == own {
            return true;
        }
        list = rest;
    }
}

#[cfg(test)]
mod tests;
