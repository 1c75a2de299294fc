//! Heads and trailer sections of answers as the library writes them.

use http::StatusCode;

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
    let mut lines = http::HeaderMap::with_capacity(from.len());
    for (id, name, value) in from.iter() {
        // `Trailer` speaks of this message, and passes (RFC 9110 section 6.6.2).
        if id.hop_by_hop() && id != HeaderId::Trailer {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
        {
            lines.append(name, value);
        }
    }
    lines
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
        assert_eq!(lines.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["trailer", "x-a"]);
    }
}
