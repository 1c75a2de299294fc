//! Offers of other protocols than HTTP on a connection (RFC 9110 section 7.8): which of them may pass, and what a service
//! may make of them.

use http::Method;

use super::fields;
use crate::exchange::headers::is_token;
use crate::exchange::{HeaderId, Headers};

/// Names of protocols in which a client would send further requests: they would pass no policy of the gateway.
const HTTP_AGAIN: [&[u8]; 5] = [b"h2c", b"h2", b"h3", b"http", b"tls"];

/// The protocol of RFC 6455.
const WEBSOCKET: &[u8] = b"websocket";

/// Adds one Upgrade line with the members that may pass, as they were written; none where no member may.
#[cold]
pub(super) fn offer(section: &[u8], method: &Method, headers: &mut Headers) {
    let mut passing: Vec<&[u8]> = Vec::new();
    fields::each(section, HeaderId::Upgrade, |value| {
        passing.extend(fields::options(value).filter(|protocol| may_pass(protocol, method)));
    });
    if !passing.is_empty() {
        headers.push_id(HeaderId::Upgrade, &passing.join(&b", "[..]));
    }
}

/// Whether a member of Upgrade may be offered to a service.
fn may_pass(protocol: &[u8], method: &Method) -> bool {
    let Some((name, _)) = split(protocol) else { return false };
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    // A handshake of WebSocket is a GET (RFC 6455 section 4.1).
    !HTTP_AGAIN.iter().any(|other| is(other)) && (*method == Method::GET || !is(WEBSOCKET))
}

/// Whether a service may have switched to these protocols: it names at least one, and none that it was not offered.
///
/// `offered` is the line that `offer` has made, `taken` the lines of its 101. A version that only one side names is no
/// difference.
pub fn is_granted<'a>(offered: &[u8], taken: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut some = false;
    for protocol in taken.flat_map(fields::options) {
        if protocol.is_empty() {
            continue;
        }
        let Some((name, version)) = split(protocol) else { return false };
        let matches = |(other, of): (&[u8], Option<&[u8]>)| {
            let same = version.zip(of).is_none_or(|(one, other)| one.eq_ignore_ascii_case(other));
            same && name.eq_ignore_ascii_case(other)
        };
        if !fields::options(offered).filter_map(split).any(matches) {
            return false;
        }
        some = true;
    }
    some
}

/// Whether the lines of a 101 name WebSocket.
pub fn is_websocket<'a>(mut taken: impl Iterator<Item = &'a [u8]>) -> bool {
    let named = |protocol| split(protocol).is_some_and(|(name, _)| name.eq_ignore_ascii_case(WEBSOCKET));
    taken.any(|value| fields::options(value).any(named))
}

/// Name and version of a protocol; `None` where it is not in the form of one.
fn split(protocol: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| is_token(*byte));
    match protocol.iter().position(|byte| *byte == b'/') {
        None => token(protocol).then_some((protocol, None)),
        Some(slash) => {
            let (name, version) = (&protocol[..slash], &protocol[slash + 1..]);
            (token(name) && token(version)).then_some((name, Some(version)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(method: Method, lines: &str) -> Option<String> {
        let mut headers = Headers::new();
        offer(format!("{lines}\r\n").as_bytes(), &method, &mut headers);
        assert!(headers.len() <= 1);
        headers.get_id(HeaderId::Upgrade).map(|line| String::from_utf8_lossy(line).into_owned())
    }

    #[test]
    fn what_may_pass_is_one_line_as_it_was_written() {
        for (lines, passes) in [
            ("Upgrade: WebSocket\r\n", Some("WebSocket")),
            ("upgrade: foo/1 ,, bar\r\nx: y\r\nUPGRADE: baz/2.0\r\n", Some("foo/1, bar, baz/2.0")),
            ("upgrade: h2c, websocket\r\n", Some("websocket")),
            ("upgrade: H2C\r\n", None),
            ("upgrade: TLS/1.3, HTTP/2.0, h2, h3\r\n", None),
            ("upgrade: a b, /1, a/, \"a\", a/b/c, h2c;q=1\r\n", None),
            ("x-upgrade: foo\r\n", None),
        ] {
            assert_eq!(offered(Method::GET, lines).as_deref(), passes, "{lines:?}");
        }
        assert_eq!(offered(Method::POST, "upgrade: websocket, foo\r\n").as_deref(), Some("foo"));
    }

    #[test]
    fn a_service_takes_what_it_was_offered() {
        let granted = |offered: &str, taken: &[&str]| {
            is_granted(offered.as_bytes(), taken.iter().map(|line| line.as_bytes()))
        };
        assert!(granted("websocket", &["WebSocket"]));
        assert!(granted("foo/1, bar", &["bar"]) && granted("foo/1, bar", &["foo/1, bar"]));
        assert!(
            granted("foo", &["foo/1"]) && granted("foo/1", &["foo"]) && granted("foo, bar", &["foo", "bar"])
        );
        assert!(!granted("foo/1", &["foo/2"]) && !granted("foo", &["bar"]) && !granted("foo", &["foo, h2c"]));
        assert!(!granted("foo", &[]) && !granted("foo", &[""]) && !granted("foo", &["foo bar"]));
    }

    #[test]
    fn a_websocket_is_known_by_its_name() {
        let is = |line: &str| is_websocket(std::iter::once(line.as_bytes()));
        assert!(is("WebSocket") && is("websocket/13") && !is("websockets") && !is("foo"));
    }
}
