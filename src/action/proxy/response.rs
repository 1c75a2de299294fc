//! Hides the inside of the house in an answer: software, names, addresses and inner paths (rules of the edge, "Hidden").

use std::net::{IpAddr, SocketAddr};

use crate::exchange::{Exchange, HeaderId, Headers, Response};

use super::Proxy;
use super::request::Mapping;

/// Rewrites what points inside, drops what tells of it.
pub(super) fn hide(
    proxy: &Proxy,
    exchange: &Exchange,
    mapping: &Mapping,
    endpoint: Option<SocketAddr>,
    answer: &mut Response,
) {
    let told = |id| matches!(id, HeaderId::Server | HeaderId::XPoweredBy | HeaderId::Via);
    let pointing = |id| matches!(id, HeaderId::Location | HeaderId::SetCookie);
    let mut points = false;
    answer.headers.retain(|id, _, _| {
        points |= pointing(id);
        !told(id)
    });
    if !points {
        return;
    }
    let map = Map {
        authority: &proxy.upstream.settings().authority,
        host: &proxy.upstream.settings().host,
        endpoint,
        public: exchange
            .request
            .target
            .path()
            .get(..mapping.public)
            .unwrap_or_default()
            .trim_end_matches('/'),
        inner: &mapping.inner,
        scheme: exchange.client.scheme.as_str(),
        public_host: exchange.request.host(),
    };
    let mut lines = Headers::with_capacity(16, 512);
    for (id, name, value) in answer.headers.iter() {
        let text = if pointing(id) { std::str::from_utf8(value).ok() } else { None };
        let mapped = match (id, text) {
            (HeaderId::Location, Some(text)) => map.location(text),
            (HeaderId::SetCookie, Some(text)) => map.cookie(text),
            _ => None,
        };
        lines.push_judged(name, mapped.as_ref().map_or(value, |mapped| mapped.as_bytes()));
    }
    answer.headers = lines;
}

struct Map<'a> {
    authority: &'a str,
    host: &'a str,
    endpoint: Option<SocketAddr>,
    public: &'a str,
    inner: &'a str,
    scheme: &'a str,
    public_host: &'a str,
}

impl Map<'_> {
    /// A `Location` as the client can follow it; `None` where it stays as it is.
    fn location(&self, text: &str) -> Option<String> {
        let after_scheme = ["http://", "https://", "//"].iter().find_map(|scheme| {
            text.get(..scheme.len())
                .filter(|start| start.eq_ignore_ascii_case(scheme))
                .map(|_| &text[scheme.len()..])
        });
        let Some(rest) = after_scheme else {
            return text.starts_with('/').then(|| self.path(text));
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !self.is_inside(authority) {
            return None;
        }
        let path = if path.starts_with('/') { self.path(path) } else { format!("{}{path}", self.path("/")) };
        Some(format!("{}://{}{path}", self.scheme, self.public_host))
    }

    fn is_inside(&self, authority: &str) -> bool {
        let endpoint = self.endpoint.is_some_and(|endpoint| authority == endpoint.to_string());
        authority.eq_ignore_ascii_case(self.authority)
            || authority.eq_ignore_ascii_case(self.host)
            || endpoint
    }

    /// A path of the service as the public path that leads to it.
    fn path(&self, path: &str) -> String {
        match path.strip_prefix(self.inner) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
                format!(
                    "{}{}",
                    self.public,
                    if self.public.is_empty() && !rest.starts_with('/') { path } else { rest }
                )
            }
            _ => path.to_owned(),
        }
    }

    /// A `Set-Cookie` whose Domain and Path are the public ones (RFC 6265 section 4.1).
    fn cookie(&self, text: &str) -> Option<String> {
        let mut changed = false;
        let mut out = String::with_capacity(text.len() + self.public.len());
        for (index, part) in text.split(';').enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let mapped = if index == 0 {
                None
            } else if name.eq_ignore_ascii_case("domain")
                && value.trim_start_matches('.').eq_ignore_ascii_case(self.host)
            {
                Some(self.public_domain())
            } else if name.eq_ignore_ascii_case("path") && value.starts_with('/') {
                let path = self.path(value);
                (path != value).then(|| Some(format!(" {name}={path}")))
            } else {
                None
            };
            changed |= mapped.is_some();
            let part = match &mapped {
                Some(None) => continue,
                Some(Some(mapped)) => mapped.as_str(),
                None => part,
            };
            if index > 0 {
                out.push(';');
            }
            out.push_str(part);
        }
        changed.then_some(out)
    }

    /// The Domain attribute for the public host; none where that is an address, so that the cookie stays with it.
    fn public_domain(&self) -> Option<String> {
        let host = match self.public_host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => self.public_host,
        };
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address).then(|| format!(" Domain={host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<'a>(public: &'a str, inner: &'a str) -> Map<'a> {
        Map {
            authority: "users.internal:3001",
            host: "users.internal",
            endpoint: "10.0.0.1:3001".parse().ok(),
            public,
            inner,
            scheme: "https",
            public_host: "shop.example.com",
        }
    }

    #[test]
    fn a_location_that_points_inside_leads_outside() {
        let stripped = map("/api/users", "");
        let location = |text: &str| stripped.location(text);
        assert_eq!(
            location("http://users.internal:3001/next?a=1").as_deref(),
            Some("https://shop.example.com/api/users/next?a=1")
        );
        assert_eq!(location("http://10.0.0.1:3001").as_deref(), Some("https://shop.example.com/api/users/"));
        assert_eq!(location("/next").as_deref(), Some("/api/users/next"));
        assert_eq!(location("next"), None, "a relative one already leads there");
        assert_eq!(location("https://other.example.com/x"), None);
        let mapped = map("/shop", "/v2");
        assert_eq!(mapped.location("/v2/next").as_deref(), Some("/shop/next"));
        assert_eq!(mapped.location("/v20/next").as_deref(), Some("/v20/next"));
        assert_eq!(map("", "").location("/next").as_deref(), Some("/next"));
    }

    #[test]
    fn a_cookie_belongs_to_the_public_host_and_path() {
        let stripped = map("/api/users", "");
        assert_eq!(
            stripped.cookie("a=1; Domain=users.internal; Path=/; HttpOnly").as_deref(),
            Some("a=1; Domain=shop.example.com; Path=/api/users/; HttpOnly")
        );
        assert_eq!(stripped.cookie("a=1; HttpOnly"), None);
        let by_address = Map { public_host: "127.0.0.1:8080", ..map("", "") };
        assert_eq!(by_address.cookie("a=1; domain=users.internal").as_deref(), Some("a=1"));
    }
}
