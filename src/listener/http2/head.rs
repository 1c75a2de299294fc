//! The head of an HTTP/2 request, judged as HTTP/1's is where the protocol does not judge it itself.

use crate::exchange::authority::{self, without_empty_port};
use crate::exchange::headers::valid_value;
use crate::exchange::trailers::{TRAILER_BYTES, TRAILER_LINES, may_trail};
use crate::exchange::{Error, ErrorKind, HeaderId, Headers};
use crate::http1::METHOD;
use crate::snapshot::Limits;

/// Most fields that one line of cookies may be cut into; their bytes are bounded as those of any line.
const CRUMBS: usize = 1024;

/// How much a head holds, where the fields of cookies count as the one line that they are cut from (RFC 9113 section
/// 8.2.3).
#[derive(Default)]
struct Size {
    bytes: usize,
    lines: usize,
    crumbs: usize,
    /// How many of the lines are `host`, and how many `content-length`.
    hosts: usize,
    lengths: usize,
}

impl Size {
    fn of(head: &http::request::Parts) -> Size {
        let mut size = Size::default();
        // The request line of HTTP/1.
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        size.bytes +=
            head.method.as_str().len() + target + head.uri.authority().map_or(0, |host| host.as_str().len());
        for (name, value) in &head.headers {
            size.bytes += value.len();
            if name == http::header::COOKIE {
                size.crumbs += 1;
                // A semicolon and a blank between two.
                size.bytes += 2;
            } else {
                size.lines += 1;
                size.bytes += name.as_str().len() + 4;
                size.hosts += usize::from(name == http::header::HOST);
                size.lengths += usize::from(name == http::header::CONTENT_LENGTH);
            }
        }
        if size.crumbs > 0 {
            size.lines += 1;
            size.bytes += "cookie: ".len();
        }
        size
    }

    fn fits(&self, limits: &Limits) -> bool {
        self.bytes <= limits.head.head && self.lines <= limits.head.headers && self.crumbs <= CRUMBS
    }
}

/// The lines of a head, with exactly one `host`.
pub(super) fn lines(head: &http::request::Parts, limits: &Limits) -> Result<Headers, Error> {
    let bad = |detail: &'static str| Error::new(ErrorKind::MalformedRequest).reason("head").detail(detail);
    let size = Size::of(head);
    if !size.fits(limits) {
        return Err(Error::new(ErrorKind::HeadersTooLarge));
    }
    if head.method.as_str().len() > METHOD {
        return Err(bad("bad request line"));
    }
    // Two equal ones are refused as well, as in HTTP/1.
    if size.lengths > 1 {
        return Err(bad("bad content-length"));
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.head.target) {
        return Err(Error::new(ErrorKind::UriTooLong));
    }
    let mut lines = Headers::with_capacity(size.lines + 1, size.bytes);
    let named = head.uri.authority().map(|authority| authority.as_str());
    let host = match (named, size.hosts) {
        (Some(named), 0) => named.as_bytes(),
        (None, 1) => head.headers[http::header::HOST].as_bytes(),
        (Some(named), 1) if head.headers[http::header::HOST] == named => named.as_bytes(),
        (None, 0) => return Err(bad("no host")),
        _ => return Err(bad("more than one host")),
    };
    if !authority::valid(host) {
        return Err(bad("not a valid host"));
    }
    lines.push_id(HeaderId::Host, without_empty_port(host));
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &head.headers {
        let (text, value) = (name.as_str().as_bytes(), value.as_bytes());
        // The library has judged what is between the ends.
        debug_assert!(valid_value(value));
        if is_blank(value.first()) || is_blank(value.last()) {
            return Err(bad("a header value is not valid"));
        }
        match meant(text) {
            // Another spelling that a service might take for framing.
            HeaderId::ContentLength if name != http::header::CONTENT_LENGTH => {
                return Err(bad("bad content-length"));
            }
            HeaderId::TransferEncoding => return Err(bad("bad transfer-encoding")),
            // One line again for services that speak HTTP/1 (RFC 9113 section 8.2.3).
            HeaderId::Cookie => {
                if !cookies.is_empty() && !value.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
            }
            HeaderId::Host | HeaderId::ContentLength => {}
            HeaderId::Expect if value.eq_ignore_ascii_case(b"100-continue") => {}
            // The library has judged `te`, which says nothing but that trailers are welcome (RFC 9113 section 8.2.2).
            id if id.hop_by_hop() => {
                if name == http::header::TE || name == http::header::TRAILER {
                    lines.push_id(id, value);
                }
            }
            id => lines.push_known(id, text, value),
        }
    }
    if !cookies.is_empty() {
        lines.push_id(HeaderId::Cookie, &cookies);
    }
    Ok(lines)
}

/// The fields of a trailer section that may stand there, within the bounds that HTTP/1's has.
pub(super) fn trailers(from: &http::HeaderMap) -> Result<Headers, Error> {
    let bad = |detail: &'static str| Error::new(ErrorKind::MalformedRequest).reason("body").detail(detail);
    let bytes: usize = from.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > TRAILER_BYTES {
        return Err(bad("trailers too large"));
    }
    if from.len() > TRAILER_LINES {
        return Err(bad("too many trailers"));
    }
    let mut lines = Headers::with_capacity(from.len(), bytes);
    for (name, value) in from {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if !valid_value(value) || value.trim_ascii() != value {
            return Err(bad("a header value is not valid"));
        }
        if may_trail(name) {
            lines.push_judged(name, value);
        }
    }
    Ok(lines)
}

fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// The id of a name, judged as in HTTP/1: with `_` for `-` where that makes it one that does not travel.
fn meant(name: &[u8]) -> HeaderId {
    let id = HeaderId::of(name);
    if id == HeaderId::Other && name.contains(&b'_') {
        let folded = HeaderId::folded(name);
        if folded.hop_by_hop() || folded == HeaderId::ContentLength {
            return folded;
        }
    }
    id
}
