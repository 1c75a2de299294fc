//! What the head of an answer may still say once its body is another one.

use crate::exchange::{HeaderId, Headers};

/// Takes out what described the body as the service sent it: its length, its coding, its trailers, ranges of it and digests over
/// it. Its tag becomes a weak one (RFC 9110 section 8.8.1): the same tag still means the same content.
pub fn mend(headers: &mut Headers) {
    const DESCRIBING: &[&[u8]] = &[
        b"accept-ranges",
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"digest",
        b"repr-digest",
        b"signature",
        b"signature-input",
    ];
    let old = |id| matches!(id, HeaderId::ContentLength | HeaderId::Trailer);
    headers.retain(|id, name, _| !old(id) && !DESCRIBING.contains(&name));
    weaken(headers);
}

/// Makes the tag a weak one.
pub fn weaken(headers: &mut Headers) {
    let Some(tag) = headers.get("etag").filter(|tag| !tag.starts_with(b"W/")) else { return };
    let weak = [b"W/", tag].concat();
    // A tag that could stand there before can stand there still.
    let _ = headers.set("etag", &weak);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_nothing_of_the_old_body() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Content-Length", "10"),
            ("Trailer", "x-sum"),
            ("Accept-Ranges", "bytes"),
            ("Content-Encoding", "gzip"),
            ("ETag", "\"a\""),
            ("Content-Type", "application/json"),
        ] {
            headers.append(name, value.as_bytes()).unwrap();
        }
        mend(&mut headers);
        let left: Vec<_> = headers.iter().map(|(_, name, value)| (name, value)).collect();
        let json: (&[u8], &[u8]) = (b"content-type", b"application/json");
        assert_eq!(left, [json, (b"etag", b"W/\"a\"")]);
        mend(&mut headers);
        assert_eq!(headers.get("etag"), Some(b"W/\"a\"".as_slice()));
    }
}
