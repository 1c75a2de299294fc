//! Keeps web pages out: a browser on the operator's machine can reach loopback addresses, and must not be made to.

use std::net::IpAddr;

use super::http::Asked;
use crate::exchange::Authority;
use crate::exchange::authority::is_below;

/// Whether a request comes from somebody who meant to ask this listener, and not from a page whose name was made to
/// point here (DNS rebinding) or that sends requests across origins.
pub(super) fn admit(asked: &Asked) -> Result<(), &'static str> {
    // A browser always sends Host; a client of HTTP/1.0 may leave it out.
    let host = asked.headers.get("host");
    if host.is_some_and(|host| !is_local(host)) {
        return Err("the admin listener answers for loopback names and addresses alone");
    }
    let Some(origin) = asked.headers.get("origin") else { return Ok(()) };
    let from = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    if from.is_some_and(is_loopback) {
        return Ok(());
    }
    Err("the admin listener answers no page of another origin")
}

/// Whether a host, with or without a port, is `localhost` or an address: no name that somebody could point here.
fn is_local(host: &[u8]) -> bool {
    matches!(named(host), Named::Localhost | Named::Address(_))
}

/// Whether a page from this host was served by this machine: from any other address comes anybody's.
fn is_loopback(host: &[u8]) -> bool {
    match named(host) {
        Named::Localhost => true,
        Named::Address(address) => address.to_canonical().is_loopback(),
        Named::Other => false,
    }
}

enum Named {
    Localhost,
    Address(IpAddr),
    Other,
}

fn named(host: &[u8]) -> Named {
    let Some(host) = Authority::read(host) else { return Named::Other };
    let name = host.name();
    if name.eq_ignore_ascii_case(b"localhost") || is_below(name, b"localhost") {
        return Named::Localhost;
    }
    host.address().map_or(Named::Other, Named::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_loopback_names_pass() {
        for host in [
            "localhost",
            "LocalHost:9901",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.1:9901",
            "[::1]",
            "[::1]:9901",
        ] {
            assert!(is_local(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_page_of_this_machine_alone_is_let_in() {
        let admitted = |origin: &[u8]| {
            let mut headers = crate::exchange::Headers::new();
            headers.append("host", b"127.0.0.1:9901").unwrap();
            headers.append("origin", origin).unwrap();
            admit(&Asked { method: http::Method::POST, path: "/reload".into(), headers }).is_ok()
        };
        for origin in
            ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1", "http://[::ffff:127.0.0.1]"]
        {
            assert!(admitted(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["http://6.6.6.6", "http://192.168.0.2:80", "http://[2001:db8::1]", "http://evil.example", "null"]
        {
            assert!(!admitted(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn names_that_somebody_can_point_here_do_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[x]",
            "[::1].evil.example",
            "127.0.0.1:evil.example",
            ".localhost",
        ] {
            assert!(!is_local(host.as_bytes()), "{host}");
        }
    }
}
