//! `host[:port]`: the authority of a URL, the value of `Host` and of `:authority`.
//!
//! The grammar is that of RFC 3986 section 3.2 without user information (RFC 9110 section 4.2.4): an IPv6 address stands
//! in brackets, and an empty port is none (RFC 3986 section 6.2.3). Every room that splits, judges or compares hosts does
//! it here.

use std::net::{IpAddr, Ipv6Addr};

use super::Scheme;
use super::syntax::digits;

/// The longest name (RFC 1035 section 2.3.4, with its closing dot).
const NAME: usize = 254;

/// What an authority is read from: text, or bytes that need not be text.
pub trait Text: Copy + AsRef<[u8]> {
    /// Both sides of the ASCII byte at this index, without it.
    fn around(self, at: usize) -> (Self, Self);
    /// The first bytes, up to this index, where an ASCII byte stands.
    fn until(self, at: usize) -> Self;
}

impl Text for &str {
    fn around(self, at: usize) -> (Self, Self) {
        (&self[..at], &self[at + 1..])
    }

    fn until(self, at: usize) -> Self {
        &self[..at]
    }
}

impl Text for &[u8] {
    fn around(self, at: usize) -> (Self, Self) {
        (&self[..at], &self[at + 1..])
    }

    fn until(self, at: usize) -> Self {
        &self[..at]
    }
}

/// A host and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<T> {
    /// The host as it is written; an IPv6 address with its brackets.
    pub host: T,
    /// The port as it is written; none where nothing follows the colon.
    pub port: Option<T>,
}

impl<T: Text> Authority<T> {
    /// Splits at the colon of the port, which is the last one outside of brackets. Judges nothing.
    #[inline]
    pub fn split(text: T) -> Authority<T> {
        let bytes = text.as_ref();
        match bytes.iter().rposition(|byte| *byte == b':') {
            Some(colon) if !bytes[colon..].contains(&b']') => {
                let (host, port) = text.around(colon);
                Authority { host, port: Some(port).filter(|port| !port.as_ref().is_empty()) }
            }
            _ => Authority { host: text, port: None },
        }
    }

    /// Splits a text that is [`valid`]; `None` for any other.
    pub fn read(text: T) -> Option<Authority<T>> {
        valid(text.as_ref()).then(|| Authority::split(text))
    }

    /// The host without a closing dot, which makes no other name (RFC 1034 section 3.1).
    pub fn name(&self) -> T {
        match self.host.as_ref() {
            [name @ .., b'.'] => self.host.until(name.len()),
            _ => self.host,
        }
    }

    /// The address that the host is, where it is none of the names.
    pub fn address(&self) -> Option<IpAddr> {
        std::str::from_utf8(self.name().as_ref()).ok().and_then(host_address)
    }

    /// The port as a number; `None` where there is none, or what is written is no port.
    pub fn number(&self) -> Option<u16> {
        port_number(self.port?.as_ref())
    }

    /// The port that is meant: that of the scheme where none is written. `None` where what is written is no port.
    pub fn port_or(&self, scheme: Scheme) -> Option<u16> {
        self.port.map_or(Some(scheme.port()), |port| port_number(port.as_ref()))
    }
}

/// Whether the text names one host and nothing else: an IPv6 address in brackets, an IPv4 address or a name, and perhaps
/// a port, which may be empty. Narrower than RFC 3986 (no percent-encoding and so no zone identifier, no sub-delimiters,
/// no empty label): no name in DNS needs those, and two readers seldom agree on them.
pub fn valid(text: &[u8]) -> bool {
    match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let address =
                std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            address.is_some() && (rest.len() == end + 1 || valid_port(&rest[end + 1..]))
        }
        _ => {
            let end = name_length(text);
            (1..=NAME).contains(&end) && (end == text.len() || valid_port(&text[end..]))
        }
    }
}

/// The bytes that a label of a name may have.
static ORDINARY: [bool; 256] = ordinary();

const fn ordinary() -> [bool; 256] {
    let mut ordinary = [false; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        ordinary[index] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        index += 1;
    }
    ordinary
}

/// How many bytes of a name `text` begins with.
fn name_length(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let label = length;
        while text.get(length).is_some_and(|byte| ORDINARY[usize::from(*byte)]) {
            length += 1;
        }
        // A label is not empty; behind the last one a dot may stand.
        if length == label || text.get(length) != Some(&b'.') {
            return length;
        }
        length += 1;
    }
}

/// A colon, and nothing or 0 to 65535 in at most five digits.
fn valid_port(port: &[u8]) -> bool {
    let add = |port: u32, digit: &u8| digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'));
    matches!(port, [b':', digits @ ..] if digits.len() <= 5
        && digits.iter().try_fold(0, add).is_some_and(|port| port <= 65535))
}

/// A port from its digits.
pub fn port_number(port: &[u8]) -> Option<u16> {
    digits(port)?.try_into().ok()
}

/// An authority without an empty port (RFC 3986 section 6.2.3).
pub fn without_empty_port(text: &[u8]) -> &[u8] {
    text.strip_suffix(b":").unwrap_or(text)
}

/// An authority without its port where that is empty or the scheme's own (RFC 9110 section 4.2.3).
pub fn without_default_port<T: Text>(text: T, scheme: Scheme) -> T {
    let authority = Authority::split(text);
    if authority.port_or(scheme) == Some(scheme.port()) { authority.host } else { text }
}

/// How many bytes of what follows `//` in a URL are its authority (RFC 3986 section 3.2).
pub fn authority_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len())
}

/// The address that a host is: IPv4, or IPv6 bare or in brackets.
pub fn host_address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether a host without port and closing dot is a name below a domain: one label or more stand before it. Case does not
/// count, and no address is below anything (RFC 6265 section 5.1.3).
pub fn is_below(host: &[u8], domain: &[u8]) -> bool {
    let Some(dot) = host.len().checked_sub(domain.len() + 1) else { return false };
    if dot == 0 || host[0] == b'.' || host[dot] != b'.' || !host[dot + 1..].eq_ignore_ascii_case(domain) {
        return false;
    }
    // No other domain ends as an address does.
    !domain.last().is_some_and(u8::is_ascii_digit)
        || std::str::from_utf8(host).ok().and_then(host_address).is_none()
}

#[cfg(test)]
mod tests;
