//! Heads and trailer sections of answers as the library writes them.

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::exchange::{HeaderId, Headers};

/// A head as the library writes it.
pub(super) fn head(status: StatusCode, lines: http::HeaderMap) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = lines;
    head
}

/// The lines of a head or a trailer section as the library writes them. What speaks of one connection has no place in
/// HTTP/2 (RFC 9113 section 8.2.2).
pub(super) fn lines(from: &Headers) -> http::HeaderMap {
    // One more: the length of the content may follow.
    let mut lines = http::HeaderMap::with_capacity(from.len() + 1);
    for (id, name, value) in from.iter() {
        // `Trailer` speaks of this message, and passes (RFC 9110 section 6.6.2).
        if id.hop_by_hop() && id != HeaderId::Trailer {
            continue;
        }
        if let (Some(name), Ok(value)) = (name_of(id, name), HeaderValue::from_bytes(value)) {
            lines.append(name, value);
        }
    }
    lines
}

/// A name as the library has it. Those of nearly every answer are not parsed once more.
fn name_of(id: HeaderId, name: &[u8]) -> Option<HeaderName> {
    Some(match id {
        HeaderId::ContentLength => header::CONTENT_LENGTH,
        HeaderId::ContentType => header::CONTENT_TYPE,
        HeaderId::Date => header::DATE,
        HeaderId::Server => header::SERVER,
        HeaderId::Via => header::VIA,
        // It would be allocated.
        HeaderId::XRequestId => const { HeaderName::from_static("x-request-id") },
        _ => return HeaderName::from_bytes(name).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_connection_are_left_out() {
        let mut headers = Headers::with_capacity(8, 256);
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "trailer",
            "x-a",
        ] {
            headers.push_judged(name.as_bytes(), b"x");
        }
        let lines = lines(&headers);
        assert_eq!(lines.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["trailer", "x-a"]);
    }

    #[test]
    fn known_names_are_the_same_as_parsed_ones() {
        for name in
            ["content-length", "content-type", "date", "server", "via", "x-request-id", "cookie", "x-a"]
        {
            let known = name_of(HeaderId::of(name.as_bytes()), name.as_bytes());
            assert_eq!(known, HeaderName::from_bytes(name.as_bytes()).ok());
        }
    }
}
