//! Heads between the gateway's form and the library's (RFC 9113 section 8).

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::config::AnswerLimits;
use crate::exchange::trailers::{TRAILER_BYTES, TRAILER_LINES, may_trail};
use crate::exchange::{Error, ErrorKind, HeaderId, Headers, Request};
use crate::http1::Framing;

/// The head of a request. Fields that speak of one connection do not pass, but for `te: trailers` (section 8.2.2).
///
/// # Errors
/// Its Host is none that a URI can name.
pub(super) fn request(
    request: &Request,
    framing: Framing,
    scheme: &'static str,
) -> Result<http::Request<()>, Error> {
    let uri = Uri::builder().scheme(scheme).authority(request.host_bytes());
    let uri = uri.path_and_query(&*escaped(request.target.as_str())).build();
    let uri = uri.map_err(|error| Error::new(ErrorKind::MalformedRequest).reason("head").source(error))?;
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.clone();
    *head.version_mut() = http::Version::HTTP_2;
    *head.uri_mut() = uri;
    let mut lines = fields(&request.headers);
    match framing {
        // Where a body is expected, its absence is said (RFC 9110 section 8.6).
        Framing::None if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            lines.insert(CONTENT_LENGTH, 0.into());
        }
        Framing::Length(length) => drop(lines.insert(CONTENT_LENGTH, length.into())),
        Framing::None | Framing::Chunked | Framing::UntilClose => {}
    }
    *head.headers_mut() = lines;
    Ok(head)
}

/// A target as a URI has it: some clients write quotes and angle brackets into queries as they are, which go out over
/// HTTP/1.1 unchanged. Their escapes mean the same (RFC 3986 section 2.4).
fn escaped(target: &str) -> Cow<'_, str> {
    let is_bare = |byte: &u8| matches!(byte, b'"' | b'<' | b'>');
    if !target.as_bytes().iter().any(is_bare) {
        return Cow::Borrowed(target);
    }
    Cow::Owned(target.replace('"', "%22").replace('<', "%3C").replace('>', "%3E"))
}

/// The lines of a head or a trailer section as the library writes them.
pub(super) fn fields(from: &Headers) -> HeaderMap {
    let mut lines = HeaderMap::with_capacity(from.len());
    for (id, name, value) in from.iter() {
        let passes = match id {
            // It is said as `:authority`.
            HeaderId::Host => false,
            HeaderId::Te => value.eq_ignore_ascii_case(b"trailers"),
            HeaderId::Trailer => true,
            id => !id.hop_by_hop(),
        };
        if passes
            && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            lines.append(name, value);
        }
    }
    lines
}

/// How many bytes a head has, as HTTP/1.1 would write its lines.
pub(super) fn size(lines: &HeaderMap) -> usize {
    lines.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// The lines of the head of a response, without framing, and the length of its body where that is said.
///
/// # Errors
/// It is larger than allowed; the reason.
pub(super) fn response(
    status: StatusCode,
    lines: &HeaderMap,
    limits: AnswerLimits,
    was_head: bool,
) -> Result<(Headers, Option<u64>), &'static str> {
    let bytes = size(lines);
    if bytes > limits.head as usize || lines.len() > limits.headers as usize {
        return Err("the response's head is too large");
    }
    let unmeasured = was_head || status == StatusCode::NOT_MODIFIED;
    let mut headers = Headers::with_capacity(lines.len() + SPARE_LINES, bytes + SPARE);
    let mut length = None;
    for (name, value) in lines {
        let name = name.as_str().as_bytes();
        let value = value.as_bytes().trim_ascii();
        match HeaderId::of(name) {
            HeaderId::ContentLength => {
                // The library has read it, holds the body to it, and passes several only where they say the same.
                length = crate::exchange::syntax::digits(value);
                if unmeasured && !headers.has_id(HeaderId::ContentLength) {
                    headers.push_id(HeaderId::ContentLength, value);
                }
            }
            HeaderId::Trailer => headers.push_id(HeaderId::Trailer, value),
            HeaderId::Expect => {}
            id if id.hop_by_hop() => {}
            _ => drop(headers.push_judged(name, value)),
        }
    }
    Ok((headers, length))
}

/// The lines of an interim response that may travel.
pub(super) fn interim(lines: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        let name = name.as_str().as_bytes();
        if !HeaderId::of(name).hop_by_hop() {
            headers.push_judged(name, value.as_bytes().trim_ascii());
        }
    }
    headers
}

/// Room for the lines that the gateway adds.
const SPARE_LINES: usize = 8;
const SPARE: usize = 384;

/// The fields of a trailer section that may travel.
///
/// # Errors
/// It is larger than one of HTTP/1.1 may be; the reason.
pub(super) fn trailers(lines: &HeaderMap) -> Result<Headers, &'static str> {
    if size(lines) > TRAILER_BYTES {
        return Err("trailers too large");
    }
    if lines.len() > TRAILER_LINES {
        return Err("too many trailers");
    }
    let mut trailers = Headers::new();
    for (name, value) in lines {
        if may_trail(name.as_str().as_bytes()) {
            trailers.push_judged(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
        }
    }
    Ok(trailers)
}
