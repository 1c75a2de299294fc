//! Keeps web pages out: a browser on the operator's machine can reach loopback addresses, and must not be made to.

use std::net::IpAddr;

use super::http::Asked;

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
    if from.is_some_and(is_local) {
        return Ok(());
    }
    Err("the admin listener answers no page of another origin")
}

/// Whether a host, with or without a port, is `localhost` or an address: no name that somebody could point here.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, bracketed) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => (name, true),
        None => (host.split_once(':').map_or(host, |(name, _)| name), false),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if bracketed {
        return name.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let lower = name.to_ascii_lowercase();
    lower == "localhost" || lower.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
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
    fn names_that_somebody_can_point_here_do_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[x]",
        ] {
            assert!(!is_local(host.as_bytes()), "{host}");
        }
    }
}
