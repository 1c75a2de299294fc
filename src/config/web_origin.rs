//! Web origins as a policy names them: `https://app.example.com`, `https://*.example.com`, `*`, `null`.

use std::sync::Arc;

use super::units::Bad;
use super::url::{Host, authority_parts};

/// Which web origins are meant, in the form in which browsers send them (RFC 6454 section 6.2): scheme and host in lower
/// case, the port left out where it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every one.
    Any,
    /// `null`: what a browser says for a page that has no origin it could tell, a sandboxed frame for one.
    Null,
    /// This one alone.
    Exact(Arc<str>),
    /// Every one whose host ends so, with one label or more before it.
    Below {
        /// What it begins with, such as `https://`.
        scheme: Arc<str>,
        /// What it ends in, such as `.example.com` or `.example.com:8443`.
        end: Arc<str>,
    },
}

/// Reads one origin.
pub(super) fn origin_pattern(text: &str) -> Result<OriginPattern, Bad> {
    let bad = |what: &str, help: String| (what.to_owned(), help);
    let form = || "write `https://app.example.com`, with a port if it has one of its own".to_owned();
    match text {
        "*" => return Ok(OriginPattern::Any),
        "null" => return Ok(OriginPattern::Null),
        _ => {}
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let help = if authority_parts(text).is_some() { format!("write `https://{text}`") } else { form() };
        return Err(bad("an origin without its scheme", help));
    };
    let scheme = scheme.to_ascii_lowercase();
    let after_first = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(after_first) {
        return Err(bad("not an origin: no scheme is spelt so", form()));
    }
    if let "ws" | "wss" = scheme.as_str() {
        // A WebSocket has the origin of the page that opens it.
        let web = if scheme == "ws" { "http" } else { "https" };
        return Err(bad("the origin of no page", format!("write `{web}://{rest}`")));
    }
    if let Some(end) = rest.find(['/', '?', '#']) {
        let help = format!("it ends behind host and port: write `{scheme}://{}`", &rest[..end]);
        return Err(bad("more than an origin", help));
    }
    if let Some((_, host)) = rest.rsplit_once('@') {
        return Err(bad("more than an origin", format!("it has no user: write `{scheme}://{host}`")));
    }
    if !rest.is_ascii() {
        let help = "write the `xn--` form of its name".to_owned();
        return Err(bad("an origin in a form that browsers do not send", help));
    }
    let (below, named) = match rest.strip_prefix("*.") {
        Some(named) => (true, named),
        None => (false, rest),
    };
    if named.contains('*') {
        let help = "write `https://*.example.com`, or `\"*\"` for every origin".to_owned();
        return Err(bad("not an origin: `*` stands for whole labels before a name", help));
    }
    let Some((host, port)) = authority_parts(named) else { return Err(bad("not an origin", form())) };
    let port = match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    match (below, &host) {
        (false, _) => Ok(OriginPattern::Exact(format!("{scheme}://{host}{port}").into())),
        (true, Host::Name(name)) => Ok(OriginPattern::Below {
            scheme: format!("{scheme}://").into(),
            end: format!(".{name}{port}").into(),
        }),
        (true, Host::Ip(_)) => {
            Err(bad("an address, and nothing stands below it", format!("write `{scheme}://{host}{port}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match origin_pattern(text) {
            Ok(OriginPattern::Any) => "any".to_owned(),
            Ok(OriginPattern::Null) => "null".to_owned(),
            Ok(OriginPattern::Exact(text)) => text.to_string(),
            Ok(OriginPattern::Below { scheme, end }) => format!("{scheme}..{end}"),
            Err((what, help)) => format!("{what}: {help}"),
        }
    }

    #[test]
    fn origins_take_the_form_that_browsers_send() {
        for (written, meant) in [
            ("*", "any"),
            ("null", "null"),
            ("https://app.test", "https://app.test"),
            ("HTTPS://App.Test:443", "https://app.test"),
            ("http://app.test:80", "http://app.test"),
            ("http://app.test:443", "http://app.test:443"),
            ("https://app.test:80", "https://app.test:80"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("capacitor://localhost", "capacitor://localhost"),
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
            ("https://*.Example.com", "https://...example.com"),
            ("https://*.example.com:8443", "https://...example.com:8443"),
            ("https://*.example.com:443", "https://...example.com"),
        ] {
            assert_eq!(read(written), meant, "{written}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_the_mend() {
        for (written, told) in [
            ("app.test", "an origin without its scheme: write `https://app.test`"),
            ("app.test:8080", "an origin without its scheme: write `https://app.test:8080`"),
            ("NULL ", "an origin without its scheme: write `https://app.example.com`"),
            ("", "an origin without its scheme: write `https://app.example.com`"),
            (
                "https://app.test/",
                "more than an origin: it ends behind host and port: write `https://app.test`",
            ),
            (
                "https://app.test:81/a?b",
                "more than an origin: it ends behind host and port: write `https://app.test:81`",
            ),
            (
                "https://app.test?b",
                "more than an origin: it ends behind host and port: write `https://app.test`",
            ),
            ("https://me:pw@app.test", "more than an origin: it has no user: write `https://app.test`"),
            (
                "https://b\u{fc}cher.test",
                "an origin in a form that browsers do not send: write the `xn--` form",
            ),
            ("https://*", "not an origin: `*` stands for whole labels"),
            ("https://app.*.test", "not an origin: `*` stands for whole labels"),
            ("https://*app.test", "not an origin: `*` stands for whole labels"),
            ("https://app.test:*", "not an origin: `*` stands for whole labels"),
            ("*://app.test", "not an origin: no scheme is spelt so"),
            ("https://*.192.0.2.1", "an address, and nothing stands below it: write `https://192.0.2.1`"),
            ("wss://app.test", "the origin of no page: write `https://app.test`"),
            ("https://", "not an origin"),
            ("https://app.test:", "not an origin"),
            ("https://app.test:0", "not an origin"),
            ("https://app.test:65536", "not an origin"),
            ("https://app .test", "not an origin"),
            ("https://app.test\r\nx: y", "not an origin"),
        ] {
            let said = read(written);
            assert!(said.starts_with(told), "{written:?}: {said}");
        }
    }
}
