//! What points inside the house, in the words of a service, turned into what a client can follow: `Location`, `Refresh`,
//! `Link` and `Set-Cookie`.

use crate::exchange::Authority;
use crate::exchange::authority::{authority_length, is_below};
use crate::exchange::syntax::find_unquoted;
use crate::upstream::Upstream;

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
    /// The names of the service.
    pub inside: &'a dyn Inside,
    /// The public path that leads to the service, without a slash at its end.
    pub public: &'a str,
    /// The path at the service that it leads to, without a slash at its end.
    pub inner: &'a str,
    /// The public scheme.
    pub scheme: &'a str,
    /// The public host, with its port if it has one; empty where the client named none.
    pub public_host: &'a str,
}

/// What a service is called.
pub trait Inside {
    /// Whether an authority, or a host alone, names the service: any of its endpoints.
    fn is_named(&self, authority: &str) -> bool;
    /// Whether a name of the service lies below this domain.
    fn is_below(&self, domain: &str) -> bool;
}

impl Inside for Upstream {
    fn is_named(&self, authority: &str) -> bool {
        Upstream::is_named(self, authority)
    }

    fn is_below(&self, domain: &str) -> bool {
        Upstream::is_below(self, domain)
    }
}

/// An authority without the port of a scheme, whichever it is, for it goes without saying.
fn without_usual_port(text: &str) -> &str {
    let authority = Authority::split(text);
    let usual = authority.port.is_none() || matches!(authority.number(), Some(80 | 443));
    if usual { authority.host } else { text }
}

/// What stands behind `prefix` in a path, where the path is the prefix or lies below it.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

impl Map<'_> {
    /// A `Location` or `Content-Location` as the client can follow it; `None` where it stays as it is.
    pub fn location(&self, text: &str) -> Option<String> {
        if after_scheme(text).is_some() {
            return self.absolute(text);
        }
        text.starts_with('/').then(|| self.path(text)).filter(|path| path != text)
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
        let (mut copied, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while let Ok(Some(found)) = find_unquoted(&bytes[at..], b'<') {
            at += found;
            let Some(length) = memchr::memchr(b'>', &bytes[at..]) else { break };
            if let Some(mapped) = self.absolute(&text[at + 1..at + length]) {
                out.push_str(&text[copied..=at]);
                out.push_str(&mapped);
                copied = at + length;
            }
            at += length;
        }
        (copied > 0).then(|| out + &text[copied..])
    }

    /// A whole URL that points inside, as the client can follow it. One of the public host points outside, whatever the
    /// service is called.
    fn absolute(&self, text: &str) -> Option<String> {
        let rest = after_scheme(text)?;
        let (authority, path) = rest.split_at(authority_length(rest.as_bytes()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let bare = without_usual_port(authority);
        let is_public = bare.eq_ignore_ascii_case(without_usual_port(self.public_host));
        if is_public || !(self.inside.is_named(authority) || self.inside.is_named(bare)) {
            return None;
        }
        let path =
            if path.starts_with('/') { self.mapped(path) } else { format!("{}{path}", self.mapped("/")) };
        if self.public_host.is_empty() {
            // A client of HTTP/1.0 that named no host resolves a path against where it has asked.
            return Some(if names_a_host(&path) { format!("/.{path}") } else { path });
        }
        Some(format!("{}://{}{path}", self.scheme, self.public_host))
    }

    /// A path of the service as the public path that leads to it. It stays a path: two slashes at its start would name
    /// another host (RFC 3986 section 4.2), so a dot segment stands between them.
    fn path(&self, path: &str) -> String {
        let mapped = self.mapped(path);
        if mapped != path && names_a_host(&mapped) { format!("/.{mapped}") } else { mapped }
    }

    /// What lies below the public prefix already comes from a service that knows it, and stays.
    fn mapped(&self, path: &str) -> String {
        if !self.public.is_empty() && below(path, self.public).is_some() {
            return path.to_owned();
        }
        match below(path, self.inner) {
            Some(rest) if self.public.is_empty() && !rest.starts_with('/') => format!("/{rest}"),
            Some(rest) => format!("{}{rest}", self.public),
            None => path.to_owned(),
        }
    }

    /// The `Path` of a cookie as the public path that it stands for, without a slash at its end where it is the whole
    /// prefix: `/shop/` would not be sent to `/shop` (RFC 6265 section 5.1.4).
    fn cookie_path(&self, path: &str) -> String {
        let bare = path.trim_end_matches('/');
        if bare == self.inner || below(self.inner, bare).is_some() {
            // It covers all of the service that is public.
            return if self.public.is_empty() { "/".to_owned() } else { self.public.to_owned() };
        }
        self.mapped(path)
    }

    /// A `Set-Cookie` (RFC 6265 section 4.1) whose Domain is the public one where it covers the service and not the public
    /// host, and whose Path is the public one where `paths` asks for it; `None` where it stays as it is.
    ///
    /// A cookie of the prefix `__Host-` has no Domain and the Path `/`, else browsers refuse it (RFC 6265bis section
    /// 4.1.3.2): it keeps its Path, and gets no Domain.
    pub fn cookie(&self, text: &str, paths: bool) -> Option<String> {
        let is_host = text.trim_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__Host-"));
        let mut changed = false;
        let mut out = String::with_capacity(text.len() + self.public.len());
        for (index, part) in text.split(';').enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let mapped = if index == 0 {
                None
            } else if name.eq_ignore_ascii_case("domain") && self.is_foreign(value.trim_start_matches('.')) {
                Some(self.public_domain().filter(|_| !is_host))
            } else if paths && !is_host && name.eq_ignore_ascii_case("path") && value.starts_with('/') {
                let path = self.cookie_path(value);
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

    /// Whether a Domain covers the service and not the public host.
    fn is_foreign(&self, domain: &str) -> bool {
        let host = self.public_name();
        let covers = host.eq_ignore_ascii_case(domain) || is_below(host.as_bytes(), domain.as_bytes());
        !domain.is_empty() && !covers && (self.inside.is_named(domain) || self.inside.is_below(domain))
    }

    /// The public host without its port.
    fn public_name(&self) -> &str {
        Authority::split(self.public_host).host
    }

    /// The Domain attribute for the public host; none where that is an address or not known, so that the cookie stays with
    /// the host that the client has asked.
    fn public_domain(&self) -> Option<String> {
        let public = Authority::split(self.public_host);
        let is_name = !public.host.is_empty() && public.address().is_none();
        is_name.then(|| format!(" Domain={}", public.host))
    }
}

/// Whether a client may take a path for a reference that begins with a host: browsers read a backslash as a slash, and
/// leave out tabs.
fn names_a_host(path: &str) -> bool {
    let mut rest = path.bytes().filter(|byte| *byte != b'\t');
    rest.next() == Some(b'/') && matches!(rest.next(), Some(b'/' | b'\\'))
}

#[cfg(test)]
mod tests;
