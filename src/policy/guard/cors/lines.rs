//! The lines that the policy reads, and those that it takes out of an answer.

use smallvec::SmallVec;

use crate::exchange::authority::without_default_port;
use crate::exchange::{HeaderId, Headers, Scheme};

/// The line that lets a page read an answer.
pub(super) const ALLOW_ORIGIN: &[u8] = b"access-control-allow-origin";

/// The origin of the page that asks. Two lines, which no browser sends, are an origin that no list names.
pub(super) fn origin(headers: &Headers) -> Option<&[u8]> {
    let mut lines = headers.all_id(HeaderId::Origin);
    let first = lines.next()?;
    Some(if lines.next().is_some() { b"" } else { first })
}

/// Whether an origin is that of the public host, each with its scheme's port understood. A page that came by TLS is at
/// home whatever scheme is known here, for the gate may stand behind one that ends TLS and does not say so. A page that came
/// without is not the one that is served by TLS.
pub(super) fn is_own(origin: &[u8], host: &[u8], scheme: Scheme) -> bool {
    let (page, own) = match (origin.strip_prefix(b"https://"), origin.strip_prefix(b"http://")) {
        (Some(page), _) => (page, Scheme::Https),
        (None, Some(page)) if scheme == Scheme::Http => (page, Scheme::Http),
        _ => return false,
    };
    !host.is_empty() && without_default_port(page, own).eq_ignore_ascii_case(without_default_port(host, own))
}

/// Takes out of an answer what only the gate says to browsers, in one pass over its lines; where the answer depends on
/// the origin (`varies`) its `vary` says so, in one line.
pub(super) fn take_out(headers: &mut Headers, varies: bool) {
    let mut known = false;
    let mut vary: SmallVec<[u8; 128]> = SmallVec::new();
    headers.retain(|id, name, value| {
        if id != HeaderId::Other {
            return true;
        }
        if name == b"vary" && varies {
            known |= names_origin(value);
            if !value.is_empty() {
                vary.extend_from_slice(value);
                vary.extend_from_slice(b", ");
            }
            return true;
        }
        !is_ours(name)
    });
    if !varies || known {
        return;
    }
    if !vary.is_empty() {
        headers.remove("vary");
    }
    vary.extend_from_slice(b"origin");
    headers.push_judged(b"vary", &vary);
}

/// Whether a `vary` covers the origin already; `*` covers all.
fn names_origin(value: &[u8]) -> bool {
    let mut names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

/// Whether a line of an answer belongs to the CORS protocol.
fn is_ours(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"access-control-") else { return false };
    rest.starts_with(b"allow-") || rest == b"expose-headers" || rest == b"max-age"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[(&str, &str)], varies: bool) -> String {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name, value.as_bytes()).unwrap();
        }
        take_out(&mut headers, varies);
        let mut text = Vec::new();
        headers.write_to(&mut text);
        String::from_utf8(text).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn what_a_service_says_to_browsers_is_taken_out() {
        let lines = [
            ("Access-Control-Allow-Origin", "*"),
            ("access-control-allow-origin", "https://evil.test"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-private-network", "true"),
            ("access-control-expose-headers", "x-a"),
            ("access-control-max-age", "5"),
            ("access-control-request-headers", "a"),
            ("x-access-control-allow-origin", "*"),
            ("server", "s"),
        ];
        let left = "access-control-request-headers: a|x-access-control-allow-origin: *|server: s|";
        assert_eq!(taken(&lines, false), left);
        assert_eq!(taken(&lines, true), format!("{left}vary: origin|"));
    }

    #[test]
    fn vary_names_the_origin_once() {
        for (had, has) in [
            (&[][..], "vary: origin|"),
            (&[("Vary", "accept-encoding")], "vary: accept-encoding, origin|"),
            (&[("vary", "a, b"), ("vary", "c")], "vary: a, b, c, origin|"),
            (&[("vary", "")], "vary: |vary: origin|"),
            (&[("vary", "accept, ORIGIN")], "vary: accept, ORIGIN|"),
            (&[("vary", "x-origin")], "vary: x-origin, origin|"),
            (&[("vary", "*")], "vary: *|"),
            (&[("vary", "a"), ("vary", "b ,* ")], "vary: a|vary: b ,* |"),
        ] {
            assert_eq!(taken(had, true), has);
            let plain: String =
                had.iter().map(|(name, value)| format!("{}: {value}|", name.to_lowercase())).collect();
            assert_eq!(taken(had, false), plain, "untouched where nothing depends on the origin");
        }
    }

    #[test]
    fn an_origin_is_one_line() {
        let mut headers = Headers::new();
        assert_eq!(origin(&headers), None);
        headers.append("origin", b"https://a.test").unwrap();
        assert_eq!(origin(&headers), Some(&b"https://a.test"[..]));
        headers.append("origin", b"https://a.test").unwrap();
        assert_eq!(origin(&headers), Some(&b""[..]));
    }

    #[test]
    fn a_page_of_the_same_host_is_no_stranger() {
        let own = |origin: &str, host: &str| is_own(origin.as_bytes(), host.as_bytes(), Scheme::Http);
        assert!(own("https://gw.test", "gw.test") && own("http://gw.test:8080", "GW.test:8080"));
        assert!(own("https://gw.test", "gw.test:443") && own("http://gw.test:80", "gw.test"));
        assert!(!own("https://gw.test", "gw.test:8080") && !own("https://gw.test.evil", "gw.test"));
        assert!(!own("https://gw.test", "gw.test:80") && !own("https://gw.test:80", "gw.test"));
        assert!(!own("null", "null") && !own("https://", "x") && !own("https://", ""));
        let secure = |origin: &str| is_own(origin.as_bytes(), b"gw.test", Scheme::Https);
        assert!(secure("https://gw.test") && secure("https://gw.test:443"));
        assert!(!secure("http://gw.test"), "who answers without TLS may be anybody");
    }
}
