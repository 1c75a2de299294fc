//! Addresses of services and names of hosts.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::units::Bad;

/// Who is called: a name to resolve, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name, in lower case.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// As resolvers and certificates have it: without the brackets of an authority.
    pub fn bare(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Ip(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Host {
    /// As in an authority: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// The address of a service: `http://host[:port][/base]`, or the same with `https`. Equal where it leads to the same, however it was written.
#[derive(Clone, Debug)]
pub struct Url {
    /// Whether TLS is spoken there: `https`.
    pub tls: bool,
    /// The host.
    pub host: Host,
    /// The port; that of the scheme where none is written.
    pub port: u16,
    /// What stands before every path: empty, or `/...` without a slash at the end.
    pub base: Arc<str>,
    /// Whether a reference such as `${NAME}` brought in a part of it, so that `base` must not be shown.
    pub referred: bool,
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.tls == other.tls && self.host == other.host && self.port == other.port && self.base == other.base
    }
}

impl Eq for Url {}

impl Hash for Url {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.tls, &self.host, self.port, &self.base).hash(state);
    }
}

impl Url {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// `host` or `host:port`, the port left out where it is the scheme's own: what a Host header carries.
    pub fn authority(&self) -> String {
        let usual = self.port == usual_port(self.tls);
        if usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.base)
    }
}

/// The port of `http` or `https` where none is written (RFC 9110 sections 4.2.1 and 4.2.2).
fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Which hosts are meant: a name, or `*.` and a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host alone (lower case; an IPv6 address in brackets).
    Exact(Arc<str>),
    /// Every name that ends in `.` and this (lower case), however many labels stand before.
    Below(Arc<str>),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// Reads a service address.
pub(super) fn url(text: &str) -> Result<Url, Bad> {
    let bad = |what: &str, help: &str| (what.to_owned(), help.to_owned());
    let form = || {
        bad(
            "not the URL of a service",
            "write `http://host:port` or `https://host:port`, with a base path if need be",
        )
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => {
            let what = "the scheme of a service is `http` or `https`";
            return Err(bad(what, "write `http://host:port` or `https://host:port`"));
        }
    };
    if rest.contains(['?', '#']) {
        return Err(bad(
            "a service URL has no query and no fragment",
            "keep scheme, host, port and base path",
        ));
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(bad("a service URL carries no user or password", "remove what stands before the `@`"));
    }
    let (host, port) = authority_parts(authority).ok_or_else(form)?;
    let base = path.trim_end_matches('/');
    let odd = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    let visible =
        base.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'{' | b'}'));
    if !visible || (!base.is_empty() && base.split('/').skip(1).any(odd)) {
        return Err(bad(
            "the base path of this URL is not in its plain form",
            "write `/a/b`, percent-encoded",
        ));
    }
    Ok(Url { tls, host, port: port.unwrap_or(usual_port(tls)), base: base.into(), referred: false })
}

pub(super) fn authority_parts(authority: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let host = Host::Ip(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?));
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => {
            let (name, port) = match authority.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (authority, None),
            };
            (host_name(name)?, port)
        }
    };
    match port {
        None => Some((host, None)),
        Some(digits) => Some((host, Some(port_number(digits)?))),
    }
}

fn port_number(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok().filter(|port| *port > 0) } else { None }
}

/// A DNS name or an IPv4 address. Underscores pass: service names in container networks have them.
fn host_name(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::Ip(IpAddr::V4(address)));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    // A last label of digits alone would be read as an address by some resolvers and as a name by others.
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let good = name.len() <= 253 && name.split('.').all(label) && !last_is_number;
    good.then(|| Host::Name(name.to_ascii_lowercase().into()))
}

/// Reads a host as a route or listener names it: `shop.example.com`, `*.example.com`, an address.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Bad> {
    let form = || {
        let help = "write `shop.example.com` or `*.example.com`, without scheme, port or path";
        ("not a host".to_owned(), help.to_owned())
    };
    if let Some(below) = text.strip_prefix("*.") {
        return match host_name(below) {
            Some(Host::Name(name)) => Ok(HostPattern::Below(name)),
            _ => Err(form()),
        };
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>() {
        return Ok(HostPattern::Exact(format!("[{address}]").into()));
    }
    host_name(text).map(|host| HostPattern::Exact(host.to_string().into())).ok_or_else(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_services() {
        let plain = url("http://users-service:3001").unwrap();
        assert_eq!((plain.to_string().as_str(), plain.port), ("http://users-service:3001", 3001));
        let based = url("HTTP://Users.Internal/base/").unwrap();
        assert_eq!((based.authority().as_str(), &*based.base), ("users.internal", "/base"));
        assert_eq!(url("http://[::1]:81").unwrap().to_string(), "http://[::1]:81");
    }

    #[test]
    fn refuses_what_is_no_service() {
        for wrong in [
            "",
            "users",
            "users:3001",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a b",
            "http://a/../b",
            "http://a//b",
            "http://u:p@a",
            "http://a?x",
            "http://a#x",
            "http://1.2.3",
            "http://[::1",
            "http://[::1]x",
            "ftp://a",
            "http://-a",
            "http://a/{x}",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scheme_has_its_own_port() {
        for (written, text, port) in [
            ("https://users", "https://users", 443),
            ("HTTPS://Users:443/base", "https://users/base", 443),
            ("https://users:80", "https://users:80", 80),
            ("http://users:443", "http://users:443", 443),
            ("https://[::1]", "https://[::1]", 443),
        ] {
            let url = url(written).unwrap();
            assert_eq!((url.to_string().as_str(), url.port), (text, port), "{written}");
        }
        assert_ne!(url("https://users:80"), url("http://users:80"), "they are spoken to differently");
    }

    #[test]
    fn reads_host_patterns() {
        assert_eq!(host_pattern("*.Example.com"), Ok(HostPattern::Below("example.com".into())));
        assert_eq!(host_pattern("127.0.0.1"), Ok(HostPattern::Exact("127.0.0.1".into())));
        assert_eq!(host_pattern("::1"), Ok(HostPattern::Exact("[::1]".into())));
        for wrong in ["", "*", "a.*", "http://a", "a:80", "a/b", "*.1.2.3.4"] {
            assert!(host_pattern(wrong).is_err(), "{wrong}");
        }
    }
}
