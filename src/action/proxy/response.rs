//! Hides the inside of the house in an answer: software, names, addresses and inner paths (rules of the edge, "Hidden").

use crate::config::{Cookies, Rewrites};
use crate::exchange::{Exchange, HeaderId, Headers, Response};

use crate::upstream::Upstream;

use super::Proxy;
use super::public::Map;
use super::request::Mapping;

/// Rewrites what points inside, as far as the route wants it, and drops what reveals it.
// In place: every proxied answer passes here.
#[inline(always)]
pub(super) fn hide(proxy: &Proxy, exchange: &Exchange, mapping: &Mapping, answer: &mut Response) {
    let told = |id| matches!(id, HeaderId::Server | HeaderId::XPoweredBy | HeaderId::Via);
    let Rewrites { location, cookies } = proxy.rewrites;
    let pointing = |id| match id {
        HeaderId::Location | HeaderId::ContentLocation | HeaderId::Refresh | HeaderId::Link => location,
        HeaderId::SetCookie => cookies != Cookies::None,
        _ => false,
    };
    let mut points = false;
    answer.headers.retain(|id, _, _| {
        points |= pointing(id);
        !told(id)
    });
    if !points {
        return;
    }
    let map = Map {
        inside: &*proxy.upstream,
        public: &mapping.public_path(exchange),
        inner: &mapping.inner,
        scheme: exchange.client.scheme.as_str(),
        public_host: exchange.request.host(),
    };
    let mut lines = Headers::with_capacity(16, 512);
    for (id, name, value) in answer.headers.iter() {
        let text = if pointing(id) { std::str::from_utf8(value).ok() } else { None };
        let mapped = match (id, text) {
            (HeaderId::Location | HeaderId::ContentLocation, Some(text)) => map.location(text),
            (HeaderId::Refresh, Some(text)) => map.refresh(text),
            (HeaderId::Link, Some(text)) => map.links(text),
            (HeaderId::SetCookie, Some(text)) => map.cookie(text, cookies == Cookies::All),
            _ => None,
        };
        lines.push_judged(name, mapped.as_ref().map_or(value, |mapped| mapped.as_bytes()));
    }
    answer.headers = lines;
}

/// A `Set-Cookie` of a service that was not called for one public path: its Domain becomes the public one. `None` where it stays
/// as it is.
pub(in crate::action) fn public_cookie(
    upstream: &Upstream,
    exchange: &Exchange,
    text: &str,
) -> Option<String> {
    let map = Map {
        inside: upstream,
        public: "",
        inner: "",
        scheme: exchange.client.scheme.as_str(),
        public_host: exchange.request.host(),
    };
    map.cookie(text, false)
}
