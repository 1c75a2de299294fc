//! Calls of gRPC as the gateway meets them: which requests they are, and how an answer of gRPC's own says that a call has
//! failed (the text "gRPC over HTTP/2" of the gRPC project; its names and numbers of statuses).

use std::fmt::Write;
use std::time::Duration;

use http::{Method, StatusCode};

use super::headers::{HeaderId, Headers};
use super::{Body, Response};

/// The media type of gRPC; what is behind it says how messages are written.
const MEDIA: &[u8] = b"application/grpc";

/// The header, or trailer field, that says how a call has ended.
pub const STATUS: &str = "grpc-status";

/// The names of the statuses, by their numbers.
pub const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// UNKNOWN.
const UNKNOWN: u8 = 2;

/// Most digits of a `grpc-timeout`.
const DIGITS: usize = 8;

/// Whether a request is a call of gRPC, or of gRPC-Web: a POST of `application/grpc`, whatever follows that.
pub fn is_call(method: &Method, headers: &Headers) -> bool {
    *method == Method::POST && headers.get_id(HeaderId::ContentType).is_some_and(is_media)
}

/// Whether a media type is one of gRPC's.
pub fn is_media(media: &[u8]) -> bool {
    let Some((start, rest)) = media.split_at_checked(MEDIA.len()) else { return false };
    start.eq_ignore_ascii_case(MEDIA) && matches!(rest, [] | [b'+' | b'-' | b';' | b' ' | b'\t', ..])
}

/// How long a client waits for the whole of its call, as `grpc-timeout` says; none where that says nothing legible.
pub fn timeout(headers: &Headers) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.split_last()?;
    if digits.len() > DIGITS {
        return None;
    }
    let amount = super::syntax::digits(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// How a call has ended, where a head or a trailer section says so. What is no number of a status is UNKNOWN.
pub fn status(lines: &Headers) -> Option<u8> {
    let value = lines.get(STATUS)?;
    let number = super::syntax::digits(value).and_then(|number| u8::try_from(number).ok());
    Some(number.filter(|number| usize::from(*number) < NAMES.len()).unwrap_or(UNKNOWN))
}

/// What an answer without a status of gRPC means by its HTTP status (the table "HTTP to gRPC Status Code Mapping").
pub fn of_http(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => UNKNOWN,
    }
}

/// The fields that end a call with a status.
pub fn ending(status: u8, message: &str) -> Headers {
    let mut lines = Headers::with_capacity(2, 64 + message.len());
    push(&mut lines, status, message);
    lines
}

/// Makes an answer of HTTP one of gRPC that has a head alone, which is its trailers: HTTP 200, whatever it was, without
/// content. `asked` is the media type of the request.
pub fn refuse(answer: &mut Response, asked: &[u8], status: u8, message: &str) {
    answer.status = StatusCode::OK;
    answer.body = Body::Empty;
    answer.headers.retain(|id, name, _| {
        let of_content = name.starts_with(b"content-") || matches!(name, b"etag" | b"accept-ranges");
        !of_content && !matches!(id, HeaderId::Trailer | HeaderId::Location) && !name.starts_with(b"grpc-")
    });
    answer.headers.push_id(HeaderId::ContentType, media(asked));
    push(&mut answer.headers, status, message);
}

/// The media type of an answer: gRPC-Web's is the request's.
fn media(asked: &[u8]) -> &[u8] {
    let end = asked.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t')).unwrap_or(asked.len());
    if asked.get(MEDIA.len()) == Some(&b'-') { &asked[..end] } else { MEDIA }
}

fn push(lines: &mut Headers, status: u8, message: &str) {
    lines.push_written(STATUS.as_bytes(), |out| {
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    });
    lines.push_written(b"grpc-message", |out| out.extend_from_slice(encoded(message).as_bytes()));
}

/// A message as `grpc-message` has it: percent-encoded, but for visible ASCII and blanks.
fn encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;
