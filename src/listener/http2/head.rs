//! The head of an HTTP/2 request, judged as HTTP/1's is where the protocol does not judge it itself.

use crate::exchange::headers::valid_value;
use crate::exchange::{Error, ErrorKind, HeaderId, Headers};
use crate::http1::valid_host;
use crate::snapshot::Limits;

/// The lines of a head, with exactly one `host`.
pub(super) fn lines(head: &http::request::Parts, limits: &Limits) -> Result<Headers, Error> {
    let bad = |detail: &'static str| Error::new(ErrorKind::MalformedRequest).reason("head").detail(detail);
    let count = head.headers.len();
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if count > limits.head.headers || size > limits.head.head {
        return Err(Error::new(ErrorKind::HeadersTooLarge));
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.head.target) {
        return Err(Error::new(ErrorKind::UriTooLong));
    }
    let mut lines = Headers::with_capacity(count + 1, 512);
    let hosts = head.headers.get_all(http::header::HOST).iter().count();
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let host = match (authority, hosts) {
        (Some(authority), 0) => authority.as_bytes(),
        (None, 1) => head.headers[http::header::HOST].as_bytes(),
        (Some(authority), 1) if head.headers[http::header::HOST] == authority => authority.as_bytes(),
        (None, 0) => return Err(bad("no host")),
        _ => return Err(bad("more than one host")),
    };
    if !valid_host(host) {
        return Err(bad("not a valid host"));
    }
    lines.push_id(HeaderId::Host, host);
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        match HeaderId::of(name.as_str().as_bytes()) {
            // One line again for services that speak HTTP/1 (RFC 9113 section 8.2.3).
            HeaderId::Cookie => {
                if !cookies.is_empty() && !value.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
            }
            HeaderId::Host | HeaderId::ContentLength => {}
            HeaderId::Expect if value.eq_ignore_ascii_case(b"100-continue") => {}
            id if id.hop_by_hop() => {}
            _ if !valid_value(value) || value.trim_ascii() != value => {
                return Err(bad("a header value is not valid"));
            }
            _ => {
                lines.push_judged(name.as_str().as_bytes(), value);
            }
        }
    }
    if !cookies.is_empty() {
        lines.push_id(HeaderId::Cookie, &cookies);
    }
    Ok(lines)
}
