//! The `match` of a route's alternatives, compiled: all of it must hold.

use super::host::HostList;
use crate::config::Cidr;
use regex::bytes::Regex;
use std::borrow::Cow;
use std::net::IpAddr;

/// What a predicate reads of a request.
pub trait Subject {
    /// Hands each line of the header `name` (lower case) to `visit` until it answers yes; tells whether it did.
    fn any_header(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool;
    /// The query as sent, without its `?`.
    fn query(&self) -> Option<&str>;
    /// The host that was asked for, with or without a port.
    fn host(&self) -> Option<&str>;
    /// The address of the client.
    fn client_ip(&self) -> IpAddr;
}

/// A condition that its builder brings, such as a compiled `when`.
pub trait Condition<S: ?Sized>: Send + Sync {
    /// Whether it holds; one that cannot be judged does not.
    fn holds(&self, subject: &S) -> bool;
}

/// What a header, a query parameter or a cookie must be. Where it comes several times, one that fits is enough.
#[derive(Debug, Clone)]
pub enum Expect {
    /// Exactly this.
    Value(Box<str>),
    /// There, whatever its value.
    Present,
    /// Not there.
    Absent,
    /// A value in which the expression finds a match; `^` and `$` make it the whole value.
    Regex(Regex),
}

impl Expect {
    /// What finding a value that fits means.
    fn wanted(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Value(text) => value == text.as_bytes(),
            // Of what must be absent, every value is one too many.
            Self::Present | Self::Absent => true,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// What of a `match` does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing<'a> {
    /// `hosts`.
    Hosts,
    /// `client_ip`.
    ClientIp,
    /// This header.
    Header(&'a str),
    /// This query parameter.
    Query(&'a str),
    /// This cookie.
    Cookie(&'a str),
    /// `when`.
    When,
}

/// A compiled `match`. An empty one always holds.
pub struct Predicate<S: ?Sized> {
    headers: Vec<(Box<str>, Expect)>,
    query: Vec<(Box<str>, Expect)>,
    cookies: Vec<(Box<str>, Expect)>,
    hosts: Option<HostList>,
    client_ip: Option<Vec<Cidr>>,
    when: Option<Box<dyn Condition<S>>>,
}

impl<S: ?Sized> Default for Predicate<S> {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            hosts: None,
            client_ip: None,
            when: None,
        }
    }
}

impl<S: Subject + ?Sized> Predicate<S> {
    /// Also asks for a header; names are compared without case.
    #[must_use]
    pub fn header(mut self, name: &str, expect: Expect) -> Self {
        self.headers.push((name.to_ascii_lowercase().into(), expect));
        self
    }

    /// Also asks for a query parameter. Names and values are compared decoded, with `+` for a space.
    #[must_use]
    pub fn query(mut self, name: &str, expect: Expect) -> Self {
        self.query.push((name.into(), expect));
        self
    }

    /// Also asks for a cookie (RFC 6265 section 5.4); quotes around a value do not count.
    #[must_use]
    pub fn cookie(mut self, name: &str, expect: Expect) -> Self {
        self.cookies.push((name.into(), expect));
        self
    }

    /// Also asks for one of these hosts.
    #[must_use]
    pub fn hosts(mut self, hosts: HostList) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// Also asks for a client in one of these networks.
    #[must_use]
    pub fn client_ip(mut self, networks: Vec<Cidr>) -> Self {
        self.client_ip = Some(networks);
        self
    }

    /// Also asks for a condition; it is judged last, being the dearest.
    #[must_use]
    pub fn when(mut self, condition: Box<dyn Condition<S>>) -> Self {
        self.when = Some(condition);
        self
    }

    /// Whether everything asked for holds.
    pub fn holds(&self, subject: &S) -> bool {
        self.failing(subject).is_none()
    }

    /// The first of what is asked for that does not hold.
    pub fn failing(&self, subject: &S) -> Option<Failing<'_>> {
        if let Some(hosts) = &self.hosts
            && !subject.host().is_some_and(|host| hosts.matches(host))
        {
            return Some(Failing::Hosts);
        }
        if let Some(networks) = &self.client_ip {
            let client = subject.client_ip();
            if !networks.iter().any(|network| network.contains(client)) {
                return Some(Failing::ClientIp);
            }
        }
        let header = |(name, expect): &&(Box<str>, Expect)| {
            subject.any_header(name, &mut |value| expect.fits(value)) != expect.wanted()
        };
        if let Some((name, _)) = self.headers.iter().find(header) {
            return Some(Failing::Header(name));
        }
        let query = |(name, expect): &&(Box<str>, Expect)| {
            subject.query().is_some_and(|query| query_has(query, name, expect)) != expect.wanted()
        };
        if let Some((name, _)) = self.query.iter().find(query) {
            return Some(Failing::Query(name));
        }
        let cookie = |(name, expect): &&(Box<str>, Expect)| {
            subject.any_header("cookie", &mut |line| cookie_has(line, name, expect)) != expect.wanted()
        };
        if let Some((name, _)) = self.cookies.iter().find(cookie) {
            return Some(Failing::Cookie(name));
        }
        self.when.as_ref().filter(|condition| !condition.holds(subject)).map(|_| Failing::When)
    }
}

fn query_has(query: &str, name: &str, expect: &Expect) -> bool {
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        *form_decode(key) == *name.as_bytes() && expect.fits(&form_decode(value))
    })
}

fn form_decode(text: &str) -> Cow<'_, [u8]> {
    use crate::exchange::target::percent_decode;
    if text.contains('+') {
        Cow::Owned(percent_decode(&text.replace('+', " ")).into_owned())
    } else {
        percent_decode(text)
    }
}

fn cookie_has(line: &[u8], name: &str, expect: &Expect) -> bool {
    line.split(|&byte| byte == b';').any(|pair| {
        let Some(equals) = memchr::memchr(b'=', pair) else { return false };
        let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            bare => bare,
        };
        key == name.as_bytes() && expect.fits(value)
    })
}

#[cfg(test)]
mod tests;
