//! Every case is read whole, byte by byte, and with a stranger's bytes behind it: the outcome is one. What is accepted
//! here, `httparse` accepts as well and finds equally long.

mod hostile;
mod requests;
mod responses;
mod splits;

use super::*;
use crate::exchange::{Error, ErrorKind};

pub(super) const LIMITS: HeadLimits = HeadLimits { head: 2048, headers: 12, target: 256 };

/// What became of a head: a line of its facts, or the reason.
pub(super) type Outcome = Result<Option<String>, HeadError>;

fn lines(headers: &Headers) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(_, name, value)| {
            format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        })
        .collect();
    lines.join("|")
}

pub(super) fn request(buf: &[u8]) -> Outcome {
    let head = parse_request(buf, &LIMITS, Headers::new())?;
    Ok(head.map(|head| {
        let mut facts = format!(
            "{} {} {:?} {:?} {}",
            head.method,
            std::str::from_utf8(&buf[head.target.clone()]).unwrap(),
            head.version,
            head.framing,
            if head.keep_alive { "keep" } else { "close" },
        );
        if head.expect_continue {
            facts.push_str(" expect");
        }
        format!("{facts} {} +{}", lines(&head.headers), buf.len() - head.len)
    }))
}

pub(super) fn response(buf: &[u8], head_request: bool) -> Outcome {
    let head = parse_response(buf, &LIMITS, Headers::new(), head_request)?;
    Ok(head.map(|head| {
        format!(
            "{} {:?} {:?} {} {} +{}",
            head.status.as_u16(),
            head.version,
            head.framing,
            if head.keep_alive { "keep" } else { "close" },
            lines(&head.headers),
            buf.len() - head.len,
        )
    }))
}

/// Reads byte by byte and says what the first byte that decided has decided.
pub(super) fn dripped(buf: &[u8], read: impl Fn(&[u8]) -> Outcome) -> Outcome {
    for end in 0..=buf.len() {
        let outcome = read(&buf[..end])?;
        // The bytes that are left count towards the whole.
        if let Some(facts) = outcome {
            let facts = facts.rsplit_once('+').unwrap().0;
            return Ok(Some(format!("{facts}+{}", buf.len() - end)));
        }
    }
    Ok(None)
}

/// Reads in all ways and compares.
pub(super) fn settle(buf: &[u8], read: impl Fn(&[u8]) -> Outcome) -> Outcome {
    let whole = read(buf);
    assert_eq!(whole, dripped(buf, &read), "whole and dripped: {:?}", String::from_utf8_lossy(buf));
    whole
}

/// Asserts that a request is read as `facts` say (without the count of what is left, which must be nothing).
#[track_caller]
pub(super) fn accepts(head: &str, facts: &str) {
    let outcome = settle(head.as_bytes(), request);
    assert_eq!(outcome, Ok(Some(format!("{facts} +0"))), "{head:?}");
    let followed = format!("{head}GET /private HTTP/1.1\r\n");
    assert_eq!(settle(followed.as_bytes(), request), Ok(Some(format!("{facts} +23"))), "{head:?}");
    assert_eq!(others_length(head.as_bytes()), Some(head.len()), "{head:?}");
}

pub(super) fn others_length(head: &[u8]) -> Option<usize> {
    let mut table = [httparse::EMPTY_HEADER; 64];
    match httparse::Request::new(&mut table).parse(head) {
        Ok(httparse::Status::Complete(len)) => Some(len),
        _ => None,
    }
}

/// Asserts that a request is refused, whatever follows it.
#[track_caller]
pub(super) fn refuses(head: impl AsRef<[u8]>, why: HeadError) {
    let head = head.as_ref();
    assert_eq!(settle(head, request), Err(why), "{:?}", String::from_utf8_lossy(head));
    let followed = [head, b"GET /private HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
    assert_eq!(settle(&followed, request), Err(why), "{:?}", String::from_utf8_lossy(head));
}

/// A request for `/` to `a` with these lines.
pub(super) fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
}

#[test]
fn errors_close_and_have_their_kind() {
    for (error, kind) in [
        (HeadError::Malformed("bad host"), ErrorKind::MalformedRequest),
        (HeadError::TooLarge, ErrorKind::HeadersTooLarge),
        (HeadError::TooManyHeaders, ErrorKind::HeadersTooLarge),
        (HeadError::TargetTooLong, ErrorKind::UriTooLong),
        (HeadError::VersionNotSupported, ErrorKind::VersionNotSupported),
        (HeadError::ExpectationFailed, ErrorKind::ExpectationFailed),
    ] {
        let public = Error::from(error);
        assert_eq!(public.kind(), kind);
        assert!(public.closes());
        assert_eq!(public.public_detail(), Some(error.reason()));
    }
}

#[test]
fn memory_is_used_again() {
    let mut old = Headers::new();
    old.append("x-old", b"1").unwrap();
    let head = parse_request(with("x: 1\r\n").as_bytes(), &LIMITS, old).unwrap().unwrap();
    assert_eq!(lines(&head.headers), "host=a|x=1");
}
