//! Trailer fields: which names may stand behind a body, and which of a client's go on to a service (RFC 9110 section 6.5).
//!
//! Much software merges what comes behind a body into the head that it has read before. What a head may not say must
//! therefore not be said there either (`docs/decisions/0026-request-trailers.md`).

use std::rc::Rc;
use std::sync::Arc;

use super::headers::{HeaderId, Headers};
use super::{Name, Place};

/// Most bytes of a trailer section.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// Most lines of a trailer section.
pub const TRAILER_LINES: usize = 32;

/// What stands behind no request's content, folded: names, and with a `*` the start of names. They modify the request, say
/// where it goes or who sends it; software that merges trailers into the head would act on them.
const REQUEST_NEVER: &[&str] = &[
    "accept*",
    "age",
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "grpc-*",
    "if-*",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy*",
    "range",
    "referer",
    "sec-*",
    "true-client-ip",
    "tracestate",
    "traceparent",
    "user-agent",
    "www-authenticate",
    "x-b3-*",
    "x-client-*",
    "x-cluster-*",
    "x-forwarded*",
    "x-host",
    "x-http-*",
    "x-method*",
    "x-original*",
    "x-real-*",
    "x-remote-*",
    "x-rewrite*",
];

/// Whether a field may stand after the content: nothing that says how a message is framed, where it goes, who sends
/// it, what its content is or how it is to be handled (RFC 9110 section 6.5.1), and nothing that the gateway alone says. The
/// name is in lower case.
pub fn may_trail(name: &[u8]) -> bool {
    let id = HeaderId::folded(name);
    let other = !matches!(
        id,
        HeaderId::Host
            | HeaderId::Authorization
            | HeaderId::CacheControl
            | HeaderId::Cookie
            | HeaderId::Date
            | HeaderId::Expect
            | HeaderId::Location
            | HeaderId::RetryAfter
            | HeaderId::SetCookie
            | HeaderId::Via
    );
    other
        && !id.hop_by_hop()
        && !id.gateway_owned()
        && name.strip_prefix(b"content").is_none_or(|rest| rest.first().is_none_or(|byte| is_plain(*byte)))
}

/// Whether a field may stand after the content of a request, listed or not: as [`may_trail`], and nothing that
/// modifies the request. Identity headers are not known here. The name is in lower case.
pub fn request_may_trail(name: &[u8]) -> bool {
    let folded: Vec<u8> = name.iter().map(|byte| if is_plain(*byte) { *byte } else { b'-' }).collect();
    let never = |entry: &&str| match entry.strip_suffix('*') {
        Some(start) => folded.starts_with(start.as_bytes()),
        None => folded == entry.as_bytes(),
    };
    may_trail(name) && !REQUEST_NEVER.iter().any(never)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Which trailer fields of one request go on to its service.
#[derive(Clone)]
pub struct Passing {
    /// Those that the route lists; every one where it is a call of gRPC.
    listed: Option<Arc<[Name]>>,
    /// Knows the identity headers.
    place: Rc<dyn Place>,
}

impl Passing {
    /// Every field that may trail: a call of gRPC.
    pub fn all(place: &Rc<dyn Place>) -> Passing {
        Passing { listed: None, place: Rc::clone(place) }
    }

    /// These, in lower case, as far as they may trail.
    pub fn listed(names: &Arc<[Name]>, place: &Rc<dyn Place>) -> Passing {
        Passing { listed: Some(Arc::clone(names)), place: Rc::clone(place) }
    }

    /// Whether a field passes; its name is in lower case.
    pub fn passes(&self, name: &[u8]) -> bool {
        let listed =
            self.listed.as_ref().is_none_or(|names| names.iter().any(|listed| listed.as_bytes() == name));
        listed && request_may_trail(name) && !self.place.names_identity(name)
    }

    /// The fields that pass; none where that is none of them.
    pub fn filtered(&self, mut trailers: Headers) -> Option<Headers> {
        trailers.retain(|_, name, _| self.passes(name));
        (!trailers.is_empty()).then_some(trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Place for Nowhere {
        fn listener(&self) -> &str {
            ""
        }

        fn route(&self, _: Option<u32>) -> &str {
            ""
        }

        fn params(&self, _: Option<u32>) -> &[Name] {
            &[]
        }

        fn upstream(&self, _: u32) -> &str {
            ""
        }

        fn names_identity(&self, name: &[u8]) -> bool {
            super::super::headers::same_folded(name, b"x-user-id")
        }
    }

    #[test]
    fn what_a_head_may_not_say_no_spelling_says_behind_a_body() {
        let place: Rc<dyn Place> = Rc::new(Nowhere);
        let all = Passing::all(&place);
        for name in [
            "host",
            "content-length",
            "content_length",
            "content.type",
            "transfer-encoding",
            "transfer_encoding",
            "te",
            "trailer",
            "connection",
            "keep_alive",
            "upgrade",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x.forwarded.host",
            "x-forwarded-user",
            "x_forwarded_anything",
            "x-real-ip",
            "x_request_id",
            "traceparent",
            "authorization",
            "proxy_authorization",
            "cookie",
            "set-cookie",
            "cache-control",
            "if-match",
            "if_none_match",
            "range",
            "accept-encoding",
            "max-forwards",
            "x-http-method-override",
            "x_original_url",
            "x-rewrite-url",
            "x-user-id",
            "x_user_id",
            "x.user.id",
            "grpc-timeout",
            "expect",
        ] {
            assert!(!all.passes(name.as_bytes()), "{name}");
        }
        for name in ["x-sum", "digest", "repr-digest", "server-timing", "x_sum", "contents", "etag", "x-user"]
        {
            assert!(all.passes(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_is_listed_passes_in_its_own_spelling_alone() {
        let place: Rc<dyn Place> = Rc::new(Nowhere);
        let names: Arc<[Name]> = ["x-sum".into(), "x-user-id".into()].into();
        let listed = Passing::listed(&names, &place);
        assert!(listed.passes(b"x-sum"));
        for name in ["x_sum", "x-sums", "x-su", "x-user-id", "digest"] {
            assert!(!listed.passes(name.as_bytes()), "{name}");
        }
        let mut trailers = Headers::new();
        for (name, value) in [("x-sum", "1"), ("digest", "2")] {
            trailers.append(name, value.as_bytes()).unwrap();
        }
        assert_eq!(listed.filtered(trailers.clone()).map(|passing| passing.len()), Some(1));
        trailers.remove("x-sum");
        assert!(listed.filtered(trailers).is_none());
    }
}
