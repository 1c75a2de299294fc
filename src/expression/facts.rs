//! What expressions read of an exchange.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::exchange::target::percent_decode;
use crate::exchange::{
    Authority, Client, HeaderId, Headers, Identity, JsonValue as Json, Name, Param, Request,
};

use super::error::Why;
use super::ground::{Answered, Ground};

/// The readable part of an exchange: unlike the exchange itself it may be shown to the interpreter, which wants
/// `Sync`.
pub(super) struct Facts<'a> {
    pub(super) client: &'a Client,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a Headers,
    pub(super) identity: Option<&'a Identity>,
    pub(super) params: &'a [Param],
    pub(super) param_names: &'a [Name],
    pub(super) rest: &'a str,
    pub(super) listener: &'a str,
    pub(super) route: &'a str,
    pub(super) sources: &'a [OnceLock<Answered>],
    pub(super) item: Option<&'a Json>,
    pub(super) response: Option<&'a Answered>,
}

impl<'a> Facts<'a> {
    /// `names`: whether `listener`, `route` or the names of parameters will be read.
    #[inline]
    pub(super) fn of(ground: Ground<'a>, names: bool) -> Facts<'a> {
        let Ground { exchange, sources, item, response } = ground;
        let Request { method, target, headers, .. } = &exchange.request;
        let (place, rule) = (&exchange.place, exchange.rule);
        let (listener, route, param_names) = match names {
            true => (place.listener(), place.route(rule), place.params(rule)),
            false => ("", "", &[][..]),
        };
        Facts {
            client: &exchange.client,
            method: method.as_str(),
            path: target.path(),
            query: target.query(),
            headers,
            identity: exchange.identity.as_deref(),
            params: &exchange.params,
            param_names,
            rest: exchange.rest(),
            listener,
            route,
            sources,
            item,
            response,
        }
    }

    /// The host without its port, in lower case.
    pub(super) fn host(&self) -> Result<Cow<'a, str>, Why> {
        let host = self.headers.get_id(HeaderId::Host).ok_or(Why::Absent)?;
        let host = std::str::from_utf8(host).map_err(|_| Why::NotUtf8)?;
        let host = Authority::split(host).host;
        Ok(match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(host.to_ascii_lowercase()),
            false => Cow::Borrowed(host),
        })
    }

    /// A header's value; several lines are one value (RFC 9110 section 5.3, RFC 9113 section 8.2.3 for cookies).
    pub(super) fn header(&self, id: HeaderId, name: &'a str) -> Result<Cow<'a, str>, Why> {
        header(self.headers, id, name)
    }

    /// Whether there is a line of that name.
    pub(super) fn has_header(&self, id: HeaderId, name: &str) -> bool {
        if id == HeaderId::Other { self.headers.get(name).is_some() } else { self.headers.has_id(id) }
    }

    /// Whether there is a path parameter of that name.
    pub(super) fn has_param(&self, name: &str) -> bool {
        self.param_names.iter().any(|other| **other == *name)
    }

    fn raw(&self, param: &Param) -> Option<&'a str> {
        self.path.get(param.start as usize..param.end as usize)
    }

    /// The value of the path parameter at this position, percent-decoded once.
    pub(super) fn param(&self, position: usize) -> Result<Cow<'a, str>, Why> {
        let raw = self.params.get(position).and_then(|param| self.raw(param));
        text(percent_decode(raw.ok_or(Why::Absent)?))
    }

    /// The first value of that name in the query, decoded as a form is (WHATWG URL, section 5.1): `+` is a space.
    pub(super) fn query(&self, name: &str) -> Result<Cow<'a, str>, Why> {
        let (_, value) = self.pairs().find(|(raw, _)| *form(raw) == *name.as_bytes()).ok_or(Why::Absent)?;
        text(form(value))
    }

    /// Whether there is a value of that name in the query.
    pub(super) fn has_query(&self, name: &str) -> bool {
        self.pairs().any(|(raw, _)| *form(raw) == *name.as_bytes())
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let pieces = self.query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty());
        pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")))
    }

    /// The first cookie of that name, as it was sent (RFC 6265 section 4.2).
    pub(super) fn cookie(&self, name: &str) -> Result<Cow<'a, str>, Why> {
        let mut all = self.cookies();
        let (_, value) = all.find(|(other, _)| *other == name.as_bytes()).ok_or(Why::Absent)?;
        std::str::from_utf8(value).map(Cow::Borrowed).map_err(|_| Why::NotUtf8)
    }

    /// Whether there is a cookie of that name.
    pub(super) fn has_cookie(&self, name: &str) -> bool {
        self.cookies().any(|(other, _)| other == name.as_bytes())
    }

    fn cookies(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers.all_id(HeaderId::Cookie).flat_map(|line| line.split(|byte| *byte == b';')).filter_map(
            |piece| {
                let piece = piece.trim_ascii();
                let equals = memchr::memchr(b'=', piece)?;
                Some((&piece[..equals], &piece[equals + 1..]))
            },
        )
    }

    /// Every header, as a map is made of them.
    pub(super) fn all_headers(&self) -> Result<Pairs<'a>, Why> {
        all_headers(self.headers)
    }

    /// Every query value, the first of each name.
    pub(super) fn all_query(&self) -> Result<Pairs<'a>, Why> {
        let mut pairs = Vec::new();
        for (name, value) in self.pairs() {
            pairs.push((text(form(name))?, text(form(value))?));
        }
        Ok(pairs)
    }

    /// Every cookie, the first of each name.
    pub(super) fn all_cookies(&self) -> Result<Pairs<'a>, Why> {
        let utf8 = |bytes| std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Why::NotUtf8);
        self.cookies().map(|(name, value)| Ok((utf8(name)?, utf8(value)?))).collect()
    }

    /// Every path parameter.
    pub(super) fn all_params(&self) -> Result<Pairs<'a>, Why> {
        let mut pairs = Vec::new();
        for (position, name) in self.param_names.iter().enumerate() {
            pairs.push((Cow::Borrowed(&**name), self.param(position)?));
        }
        Ok(pairs)
    }
}

/// A header's value; several lines are one value (RFC 9110 section 5.3, RFC 9113 section 8.2.3 for cookies).
pub(super) fn header<'a>(headers: &'a Headers, id: HeaderId, name: &'a str) -> Result<Cow<'a, str>, Why> {
    if id == HeaderId::Other {
        join(headers.all(name), ", ")
    } else {
        join(headers.all_id(id), if id == HeaderId::Cookie { "; " } else { ", " })
    }
}

/// Every header, as a map is made of them.
pub(super) fn all_headers(headers: &Headers) -> Result<Pairs<'_>, Why> {
    let mut pairs: Pairs<'_> = Vec::new();
    for (id, name, value) in headers.iter() {
        let name = std::str::from_utf8(name).map_err(|_| Why::NotUtf8)?;
        let value = std::str::from_utf8(value).map_err(|_| Why::NotUtf8)?;
        match pairs.iter_mut().find(|(other, _)| other == name) {
            Some((_, joined)) => {
                let joined = joined.to_mut();
                joined.push_str(if id == HeaderId::Cookie { "; " } else { ", " });
                joined.push_str(value);
            }
            None => pairs.push((name.into(), value.into())),
        }
    }
    Ok(pairs)
}

/// Names and values; where a name stands twice the first counts.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn join<'a>(mut lines: impl Iterator<Item = &'a [u8]>, between: &str) -> Result<Cow<'a, str>, Why> {
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| Why::NotUtf8);
    let first = utf8(lines.next().ok_or(Why::Absent)?)?;
    let Some(second) = lines.next() else { return Ok(Cow::Borrowed(first)) };
    let mut joined = [first, between, utf8(second)?].concat();
    for line in lines {
        joined.push_str(between);
        joined.push_str(utf8(line)?);
    }
    Ok(Cow::Owned(joined))
}

fn form(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return percent_decode(text);
    }
    Cow::Owned(percent_decode(&text.replace('+', " ")).into_owned())
}

fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Why> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Why::NotUtf8),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Why::NotUtf8),
    }
}
