//! What a request says of the gates on its way: `Via` and `Max-Forwards` (RFC 9110 sections 7.6.2 and 7.6.3), and what the
//! gate answers to `OPTIONS` by itself.

use http::{Method, StatusCode};

use crate::exchange::syntax::digits;
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Headers, Response};
use crate::upstream::Upstream;

/// How many gates more a request may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// It does not say.
    Unbounded,
    /// The gate is the last: it answers.
    None,
    /// So many behind this one.
    Some(u64),
}

/// Reads `Max-Forwards`, which counts for `OPTIONS` and `TRACE` alone.
///
/// # Errors
/// It is no number, or there are two.
#[inline]
pub(super) fn left(method: &Method, headers: &Headers) -> Result<Left, Error> {
    if matches!(*method, Method::OPTIONS | Method::TRACE) { counted(headers) } else { Ok(Left::Unbounded) }
}

fn counted(headers: &Headers) -> Result<Left, Error> {
    let mut lines = headers.all("max-forwards");
    let Some(first) = lines.next() else { return Ok(Left::Unbounded) };
    match digits(first).filter(|_| lines.next().is_none()) {
        Some(left) => Ok(left.checked_sub(1).map_or(Left::None, Left::Some)),
        None => Err(Error::new(ErrorKind::MalformedRequest).reason("head").detail("bad max-forwards")),
    }
}

/// The answer to `OPTIONS` where the gate is the one that is asked: the methods of the path.
pub(super) fn allow(exchange: &Exchange) -> Response {
    let mut answer = Response::new(StatusCode::NO_CONTENT);
    let methods = exchange.place.allow(exchange.request.target.path());
    // What the table of routes says is a list of tokens.
    let _ = answer.headers.append("allow", methods.as_bytes());
    answer
}

/// The answer to a request whose last gate this is. A `TRACE` is not reflected: it has credentials and what other gates
/// have added in it.
///
/// # Errors
/// [`ErrorKind::MethodNotAllowed`] for `TRACE`.
pub(super) fn last(exchange: &Exchange) -> Result<Response, Error> {
    if exchange.request.method == Method::OPTIONS {
        return Ok(allow(exchange));
    }
    let methods = exchange.place.allow(exchange.request.target.path());
    let others: Vec<&str> = methods.split(", ").filter(|method| *method != "TRACE").collect();
    Err(Error::new(ErrorKind::MethodNotAllowed).header("allow", others.join(", ")))
}

/// Adds the gate to the `Via` of a request to a service, unless the configuration leaves it out.
#[inline]
pub(super) fn pass(upstream: &Upstream, exchange: &Exchange, out: &mut Headers) {
    if let Some(own) = exchange.place.pseudonym().filter(|_| upstream.settings().written.via) {
        out.push_prepared(HeaderId::Via, own.line(exchange.request.version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_and_trace_count_their_gates() {
        let read = |method: Method, lines: &[&str]| {
            let mut headers = Headers::new();
            for line in lines {
                headers.append("max-forwards", line.as_bytes()).unwrap();
            }
            left(&method, &headers).ok()
        };
        assert_eq!(read(Method::GET, &["0"]), Some(Left::Unbounded));
        assert_eq!(read(Method::OPTIONS, &[]), Some(Left::Unbounded));
        for method in [Method::OPTIONS, Method::TRACE] {
            assert_eq!(read(method.clone(), &["0"]), Some(Left::None));
            assert_eq!(read(method.clone(), &["1"]), Some(Left::Some(0)));
            assert_eq!(read(method.clone(), &["0010"]), Some(Left::Some(9)));
            assert_eq!(read(method.clone(), &[&"9".repeat(40)]), Some(Left::Some(u64::MAX - 1)));
            for bad in [&[""][..], &["-1"], &["1, 2"], &["x"], &["1", "1"]] {
                assert_eq!(read(method.clone(), bad), None, "{bad:?}");
            }
        }
    }
}
