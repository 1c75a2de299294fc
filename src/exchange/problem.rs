//! An error as its answer: `application/problem+json` (RFC 9457) with the request id.

use bytes::Bytes;

use super::error::Error;
use super::headers::{HeaderId, Headers};
use super::kind::ErrorKind;
use super::{Body, Response};

/// The media type of problems.
const MEDIA: &[u8] = b"application/problem+json";

/// What the type of a problem of a gateway begins with; the name of its kind follows.
const URN: &str = "urn:portcullis:error:";

/// The answer that tells a client of an error. Nothing private is in it.
pub fn problem(error: &Error, request_id: &str) -> Response {
    let kind = error.kind();
    let mut body = String::with_capacity(256);
    body.push_str("{\"type\":\"");
    body.push_str(URN);
    body.push_str(kind.name());
    body.push_str("\",\"title\":");
    push_text(&mut body, kind.title());
    body.push_str(",\"status\":");
    body.push_str(error.status().as_str());
    body.push_str(",\"error\":");
    push_text(&mut body, &kind.phrase());
    if let Some(detail) = error.public_detail() {
        body.push_str(",\"detail\":");
        push_text(&mut body, detail);
    }
    body.push_str(",\"request_id\":");
    push_text(&mut body, request_id);
    body.push('}');

    let mut headers = Headers::with_capacity(6, 160);
    headers.push_id(HeaderId::ContentType, MEDIA);
    headers.push_id(HeaderId::CacheControl, b"no-store");
    for (name, value) in error.headers() {
        // A value that is no header value is a defect of ours; the answer is still better without it than not sent.
        let _ = headers.set(name, value.as_bytes());
    }
    Response { status: error.status(), headers, body: Body::Bytes(Bytes::from(body)) }
}

/// The kind and the detail of an answer that is the problem of a gateway; none where it is another answer.
pub fn read(answer: &Response) -> Option<(ErrorKind, Option<String>)> {
    let (Some(MEDIA), Body::Bytes(body)) = (answer.headers.get_id(HeaderId::ContentType), &answer.body)
    else {
        return None;
    };
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let name = said.get("type")?.as_str()?.strip_prefix(URN)?;
    let detail = said.get("detail").and_then(|detail| detail.as_str());
    Some((ErrorKind::named(name)?, detail.map(str::to_owned)))
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_the_public_part_alone() {
        let error = Error::new(ErrorKind::UpstreamFailure)
            .reason("connect")
            .detail("say \"no\"")
            .source("10.0.0.1:80");
        let answer = problem(&error, "id-1");
        assert_eq!(read(&answer), Some((ErrorKind::UpstreamFailure, Some("say \"no\"".to_owned()))));
        let Body::Bytes(body) = answer.body else { panic!("a problem is bytes") };
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            told,
            serde_json::json!({
                "type": "urn:portcullis:error:upstream_failure", "title": "The service failed", "status": 502,
                "error": "upstream failure", "detail": "say \"no\"", "request_id": "id-1"
            })
        );
        assert_eq!(answer.headers.get("content-type"), Some(b"application/problem+json".as_slice()));
    }
}
