//! Where a request came from, by the word of trusted proxies: the client's address, and the public scheme, host and port.
//!
//! Every list is read from the right. The address of the client is the first one that is no trusted proxy; the scheme,
//! host and port are those of the hop that reported this address (`docs/proxies.md`). A request of any other peer costs
//! one comparison for each trusted network and no look at its lines.

mod field;

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::config::{Cidr, TrustedHeader, TrustedHeaders};
use crate::exchange::authority::{host_address, port_number, without_empty_port};
use crate::exchange::target::PathRules;
use crate::exchange::{Authority, Client, Error, ErrorKind, HeaderId, Headers, Scheme, Target};
use crate::net::Facts;

/// Whose word about the client is believed, and which of their header fields.
#[derive(Debug, Default)]
pub struct Trust {
    /// The networks of the proxies.
    pub proxies: Vec<Cidr>,
    /// The fields.
    pub headers: TrustedHeaders,
}

/// A host, with its port if it has one.
pub type PublicHost = SmallVec<[u8; 64]>;

/// Where a request came from.
#[derive(Debug)]
pub struct Reported {
    /// The client, with the public scheme.
    pub client: Client,
    host: Option<Box<[u8]>>,
    port: Option<u16>,
}

/// The client where the other end of the connection is the client.
#[inline]
pub fn direct(connection: &Facts) -> Client {
    let peer = connection.peer;
    let scheme = if connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
    Client { peer, ip: peer.ip().to_canonical(), trusted: false, scheme }
}

impl Reported {
    /// A request that came straight from its client.
    pub fn direct(connection: &Facts) -> Reported {
        Reported { client: direct(connection), host: None, port: None }
    }

    /// The public host of a request whose own is `host`; `None` where that is the public one.
    pub fn authority(&self, host: &[u8]) -> Option<PublicHost> {
        let named = self.host.as_deref().unwrap_or(host);
        let port = self.port.filter(|_| !named.is_empty() && Authority::split(named).port.is_none());
        if self.host.is_none() && port.is_none() {
            return None;
        }
        let mut authority = PublicHost::from_slice(named);
        if let Some(port) = port {
            authority.push(b':');
            authority.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        Some(authority)
    }
}

/// Why the word of a trusted proxy is not taken: the request is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedError {
    /// `Forwarded` is not in its form (RFC 7239 section 4).
    Malformed,
    /// `Forwarded` and the `X-Forwarded-` fields name another client, scheme or host.
    Contradiction,
}

impl From<ForwardedError> for Error {
    fn from(error: ForwardedError) -> Error {
        Error::new(ErrorKind::MalformedRequest).reason("forwarded").detail(match error {
            ForwardedError::Malformed => "malformed Forwarded header field",
            ForwardedError::Contradiction => "Forwarded contradicts the X-Forwarded header fields",
        })
    }
}

/// What one kind of field says of the hop that the client's address came from.
#[derive(Default)]
struct Hop {
    ip: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<Box<[u8]>>,
    port: Option<u16>,
}

impl Trust {
    /// Whether a peer's word about the client is believed.
    #[inline]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|cidr| cidr.contains(ip))
    }

    /// Whether a line that only the gate may say stays in the request of a trusted proxy.
    pub fn keeps(&self, id: HeaderId, value: &[u8]) -> bool {
        let has = |header| self.headers.has(header);
        match id {
            HeaderId::Forwarded => has(TrustedHeader::Forwarded),
            HeaderId::XForwardedFor => has(TrustedHeader::ForwardedFor),
            HeaderId::XForwardedProto => has(TrustedHeader::ForwardedProto),
            HeaderId::XForwardedHost => has(TrustedHeader::ForwardedHost),
            HeaderId::XForwardedPort => has(TrustedHeader::ForwardedPort),
            HeaderId::XForwardedPrefix => has(TrustedHeader::ForwardedPrefix) && is_path(value),
            HeaderId::XRealIp => has(TrustedHeader::RealIp),
            _ => true,
        }
    }

    /// Where a request on this connection came from.
    ///
    /// # Errors
    /// The peer is trusted, and what it says cannot be believed.
    #[inline]
    pub fn reported(&self, connection: &Facts, headers: &Headers) -> Result<Reported, ForwardedError> {
        let direct = Reported::direct(connection);
        if self.trusts(direct.client.ip) { self.believed(direct, headers) } else { Ok(direct) }
    }

    /// What a trusted proxy says of the way of a request.
    fn believed(&self, mut reported: Reported, headers: &Headers) -> Result<Reported, ForwardedError> {
        reported.client.trusted = true;
        let lines = self.by_lines(headers);
        let standard = self.by_standard(headers)?;
        if let Some(ip) = agreed(standard.ip, lines.ip, |ip| *ip)?.or_else(|| self.real_ip(headers)) {
            reported.client.ip = ip;
        }
        if let Some(scheme) = agreed(standard.scheme, lines.scheme, |scheme| *scheme)? {
            reported.client.scheme = scheme;
        }
        let scheme = reported.client.scheme;
        reported.host = agreed(standard.host, lines.host, |host| parts(host, scheme))?;
        // Its scheme's own port goes without saying, and that of the other scheme is of another hop.
        reported.port = lines.port.filter(|port| !matches!(port, 80 | 443));
        Ok(reported)
    }

    /// By the `X-Forwarded-` fields.
    fn by_lines(&self, headers: &Headers) -> Hop {
        let has = |header| self.headers.has(header);
        let lines: SmallVec<[&[u8]; 4]> =
            headers.all_id(HeaderId::XForwardedFor).filter(|_| has(TrustedHeader::ForwardedFor)).collect();
        let (ip, hop) = self.walk(lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')));
        let value = |header, id| if has(header) { nth(headers, id, hop) } else { None };
        Hop {
            ip,
            scheme: value(TrustedHeader::ForwardedProto, HeaderId::XForwardedProto).and_then(scheme_of),
            host: value(TrustedHeader::ForwardedHost, HeaderId::XForwardedHost).and_then(host_of),
            port: value(TrustedHeader::ForwardedPort, HeaderId::XForwardedPort).and_then(number),
        }
    }

    /// By `Forwarded`, whose elements say everything of one hop.
    fn by_standard(&self, headers: &Headers) -> Result<Hop, ForwardedError> {
        if !self.headers.has(TrustedHeader::Forwarded) {
            return Ok(Hop::default());
        }
        let elements = field::read(headers.all_id(HeaderId::Forwarded)).ok_or(ForwardedError::Malformed)?;
        let (ip, hop) =
            self.walk(elements.iter().rev().map(|element| element.node.as_deref().unwrap_or_default()));
        let Some(element) = elements.len().checked_sub(hop).and_then(|at| elements.get(at)) else {
            return Ok(Hop::default());
        };
        Ok(Hop {
            ip,
            scheme: element.proto.as_deref().and_then(scheme_of),
            host: element.host.as_deref().and_then(host_of),
            port: None,
        })
    }

    /// By `X-Real-IP`, which names one address.
    fn real_ip(&self, headers: &Headers) -> Option<IpAddr> {
        let mut lines = headers.all_id(HeaderId::XRealIp).filter(|_| self.headers.has(TrustedHeader::RealIp));
        let only = lines.next()?;
        if lines.next().is_some() { None } else { address(only) }
    }

    /// The first address that is no trusted proxy, else the last one that could be read; and which entry, from 1, the
    /// nearest proxy's, it is. Whatever stands behind one that cannot be read is not looked at.
    fn walk<'a>(&self, entries: impl Iterator<Item = &'a [u8]>) -> (Option<IpAddr>, usize) {
        let (mut client, mut hop) = (None, 0);
        for entry in entries {
            let Some(ip) = address(entry) else { break };
            (client, hop) = (Some(ip), hop + 1);
            if !self.trusts(ip) {
                break;
            }
        }
        (client, hop.max(1))
    }
}

/// What two kinds of field say, unless both say something and mean another thing by it.
fn agreed<T, M: PartialEq>(
    one: Option<T>,
    other: Option<T>,
    meaning: impl Fn(&T) -> M,
) -> Result<Option<T>, ForwardedError> {
    match (&one, &other) {
        (Some(a), Some(b)) if meaning(a) != meaning(b) => Err(ForwardedError::Contradiction),
        _ => Ok(other.or(one)),
    }
}

/// The entry of this hop, counted from the right and from 1. A list that has fewer was not added to by every proxy: its
/// last entry is what the nearest one vouches for.
fn nth(headers: &Headers, id: HeaderId, hop: usize) -> Option<&[u8]> {
    let lines: SmallVec<[&[u8]; 4]> = headers.all_id(id).collect();
    let entries = || {
        let all = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        all.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
    };
    entries().nth(hop - 1).or_else(|| entries().next())
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let address =
        host_address(entry).or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|ip| ip.to_canonical())
}

fn scheme_of(value: &[u8]) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| value.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
}

fn host_of(value: &[u8]) -> Option<Box<[u8]>> {
    Authority::read(value).map(|_| without_empty_port(value).into())
}

/// A port but 0.
fn number(digits: &[u8]) -> Option<u16> {
    port_number(digits).filter(|port| *port > 0)
}

/// The same in one form: in lower case, and with the port that is meant.
fn parts(host: &[u8], scheme: Scheme) -> (Vec<u8>, Option<u16>) {
    let authority = Authority::split(host);
    (authority.host.to_ascii_lowercase(), authority.port_or(scheme))
}

/// Whether a value is a path in its normal form.
fn is_path(value: &[u8]) -> bool {
    Target::parse(value, PathRules::KEEP).is_ok_and(|parsed| {
        parsed.authority.is_none()
            && value.starts_with(b"/")
            && parsed.target.query().is_none()
            && parsed.target.path().as_bytes() == value
    })
}

#[cfg(test)]
mod tests;
