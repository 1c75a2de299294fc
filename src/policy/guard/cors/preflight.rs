//! What a preflight asks for, and what is granted to it (Fetch standard, "CORS-preflight fetch").

use http::Method;

use crate::exchange::headers::valid_name;
use crate::exchange::{HeaderId, Headers, Request};

pub(super) const METHODS: &[u8] = b"access-control-allow-methods";
pub(super) const HEADERS: &[u8] = b"access-control-allow-headers";
const ASKED_HEADERS: &str = "access-control-request-headers";

/// What an answer to a preflight may depend on.
pub(super) const VARY: &[u8] = b"origin, access-control-request-method, access-control-request-headers";

/// The method that a preflight asks for; none where the request is no preflight: an `OPTIONS` with an origin and with a
/// method to be asked for.
pub fn asked(request: &Request) -> Option<Method> {
    if request.method != Method::OPTIONS || !request.headers.has_id(HeaderId::Origin) {
        return None;
    }
    Method::from_bytes(request.headers.get("access-control-request-method")?).ok()
}

/// Methods or header fields that are granted.
#[derive(Debug)]
pub enum Grant {
    /// Every one. Of header fields, `authorization` is one only where it stands beside: so the Fetch standard reads `*`.
    All(Vec<String>),
    /// These.
    Only(Vec<String>),
}

/// Adds the line of a grant that is the same for everybody. To a request with credentials `*` would be a name like any
/// other, so nothing is said here then, and [`echo`] says what was asked for.
pub(super) fn fixed(grant: &Grant, line: &[u8], credentials: bool, out: &mut Headers) {
    let text = match grant {
        Grant::All(_) if credentials => return,
        Grant::All(beside) => {
            std::iter::once("*").chain(beside.iter().map(String::as_str)).collect::<Vec<_>>().join(", ")
        }
        Grant::Only(names) => names.join(", "),
    };
    if !text.is_empty() {
        out.push_judged(line, text.as_bytes());
    }
}

/// Grants a request with credentials what it asks for, where everything is granted.
pub(super) fn echo(methods: &Grant, headers: &Grant, request: &Headers, out: &mut Headers) {
    if let (Grant::All(_), Some(method)) = (methods, request.get("access-control-request-method")) {
        out.push_judged(METHODS, method);
    }
    let Grant::All(beside) = headers else { return };
    let listed = |name: &[u8]| beside.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(name));
    let covered = |name: &[u8]| !name.eq_ignore_ascii_case(b"authorization") || listed(name);
    let mut text = Vec::new();
    let names =
        request.all(ASKED_HEADERS).flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for name in names.filter(|name| valid_name(name) && covered(name)) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(name);
    }
    if !text.is_empty() {
        out.push_judged(HEADERS, &text);
    }
}
