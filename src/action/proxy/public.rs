//! What points inside the house, in the words of a service, turned into what a client can follow: `Location`, `Refresh`,
//! `Link` and `Set-Cookie`.

use std::net::IpAddr;

/// What follows `http://`, `https://` or `//`.
fn after_scheme(text: &str) -> Option<&str> {
    ["http://", "https://", "//"].iter().find_map(|scheme| {
        text.get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .map(|_| &text[scheme.len()..])
    })
}

/// How what a service says of itself becomes what a client may know.
pub struct Map<'a> {
    /// Whether an authority, or a host alone, names the service: any of its endpoints.
    pub inside: &'a dyn Fn(&str) -> bool,
    /// The public path that leads to the service, without a slash at its end.
    pub public: &'a str,
    /// The path at the service that it leads to, without a slash at its end.
    pub inner: &'a str,
    /// The scheme that the client used.
    pub scheme: &'a str,
    /// The host that the client asked for, with its port if it sent one.
    pub public_host: &'a str,
}

impl Map<'_> {
    /// A `Location` or `Content-Location` as the client can follow it; `None` where it stays as it is.
    pub fn location(&self, text: &str) -> Option<String> {
        if after_scheme(text).is_some() {
            return self.absolute(text);
        }
        text.starts_with('/').then(|| self.path(text))
    }

    /// The target of a `Refresh` as that of a `Location`: after the seconds, with or without `url=` and quotes
    /// (HTML Living Standard, "shared declarative refresh steps").
    pub fn refresh(&self, text: &str) -> Option<String> {
        let (_, rest) = text.split_once([';', ','])?;
        let blank = |letter: char| letter.is_ascii_whitespace();
        let mut target = rest.trim_start_matches(blank);
        if target.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"))
            && let Some(value) = target[3..].trim_start_matches(blank).strip_prefix('=')
        {
            target = value.trim_start_matches(blank);
        }
        let quote = target.chars().next().filter(|first| matches!(first, '"' | '\''));
        target = quote.map_or(target, |_| &target[1..]);
        let start = text.len() - target.len();
        if let Some((inside, _)) = quote.and_then(|quote| target.split_once(quote)) {
            target = inside;
        }
        let mapped = self.location(target)?;
        Some([&text[..start], mapped.as_str(), &text[start + target.len()..]].concat())
    }

    /// A `Link` (RFC 8288 section 3) none of whose whole URLs points inside. What is relative says nothing of the
    /// house, and stays as the service's own content has it.
    pub fn links(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let (mut copied, mut at, mut quoted) = (0, 0, false);
        let bytes = text.as_bytes();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b'<' if !quoted => {
                    let Some(length) = memchr::memchr(b'>', &bytes[at..]) else { break };
                    if let Some(mapped) = self.absolute(&text[at + 1..at + length]) {
                        out.push_str(&text[copied..=at]);
                        out.push_str(&mapped);
                        copied = at + length;
                    }
                    at += length;
                }
                _ => {}
            }
            at += 1;
        }
        (copied > 0).then(|| out + &text[copied..])
    }

    /// A whole URL that points inside, as the client can follow it.
    fn absolute(&self, text: &str) -> Option<String> {
        let rest = after_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !(self.inside)(authority) {
            return None;
        }
        let path = if path.starts_with('/') { self.path(path) } else { format!("{}{path}", self.path("/")) };
        Some(format!("{}://{}{path}", self.scheme, self.public_host))
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
    pub fn cookie(&self, text: &str) -> Option<String> {
        let mut changed = false;
        let mut out = String::with_capacity(text.len() + self.public.len());
        for (index, part) in text.split(';').enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let mapped = if index == 0 {
                None
            } else if name.eq_ignore_ascii_case("domain") && (self.inside)(value.trim_start_matches('.')) {
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
            inside: &|authority| {
                matches!(authority, "users.internal:3001" | "users.internal" | "10.0.0.1:3001")
            },
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
    fn a_refresh_leads_outside_however_it_is_written() {
        let map = map("/api/users", "");
        for (given, mapped) in [
            ("0; url=http://10.0.0.1:3001/x", "0; url=https://shop.example.com/api/users/x"),
            ("5;URL = '//users.internal/x'; a", "5;URL = 'https://shop.example.com/api/users/x'; a"),
            ("5, \"/x\"", "5, \"/api/users/x\""),
            ("5; http://users.internal:3001", "5; https://shop.example.com/api/users/"),
        ] {
            assert_eq!(map.refresh(given).as_deref(), Some(mapped));
        }
        for given in ["5", "5;", "0; url=https://other.example.com/x", "0; url='"] {
            assert_eq!(map.refresh(given), None, "{given}");
        }
    }

    #[test]
    fn links_that_point_inside_lead_outside() {
        let map = map("/api/users", "");
        assert_eq!(
            map.links("</a>; rel=up, <http://users.internal:3001/b?p=2>; title=\"<http://users.internal/>\\\"\", <//10.0.0.1:3001>; rel=x").as_deref(),
            Some("</a>; rel=up, <https://shop.example.com/api/users/b?p=2>; title=\"<http://users.internal/>\\\"\", <https://shop.example.com/api/users/>; rel=x"),
        );
        for told in ["</a>; rel=up", "<https://other.example.com/>; rel=next", "<http://users.internal", ""] {
            assert_eq!(map.links(told), None, "{told}");
        }
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
