//! Calls of gRPC as the gateway meets them: which requests they are.

use http::Method;

use super::headers::{HeaderId, Headers};

/// The media type of gRPC; what is behind it says how messages are written.
const MEDIA: &[u8] = b"application/grpc";

/// Whether a request is a call of gRPC, or of gRPC-Web: a POST of `application/grpc`, whatever follows that.
pub fn is_call(method: &Method, headers: &Headers) -> bool {
    *method == Method::POST && headers.get_id(HeaderId::ContentType).is_some_and(is_media)
}

/// Whether a media type is one of gRPC's.
pub fn is_media(media: &[u8]) -> bool {
    let Some((start, rest)) = media.split_at_checked(MEDIA.len()) else { return false };
    start.eq_ignore_ascii_case(MEDIA) && matches!(rest, [] | [b'+' | b'-' | b';' | b' ' | b'\t', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_media_type() {
        for (media, is) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web-text", true),
            ("application/grpcs", false),
            ("application/json", false),
            ("application/grp", false),
        ] {
            let mut headers = Headers::new();
            headers.push_id(HeaderId::ContentType, media.as_bytes());
            assert_eq!(is_call(&Method::POST, &headers), is, "{media}");
            assert!(!is_call(&Method::GET, &headers));
        }
        assert!(!is_call(&Method::POST, &Headers::new()));
    }
}
