//! Whose budget a request spends: addresses as keys.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// The bytes of a key under construction.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// An address as text; the longest, with its prefix, fits.
pub type AddressText = SmallVec<[u8; 48]>;

/// An IPv4 address, or the network of an IPv6 address, since one subscriber is given a whole network.
#[derive(Clone, Copy, Debug)]
pub struct ClientIp {
    bits: u8,
    mask: u128,
}

impl ClientIp {
    /// The prefix of IPv6 addresses unless told otherwise: what a subscriber is usually given at least.
    pub const DEFAULT_PREFIX: u8 = 56;

    /// Counts IPv6 clients by the first so many bits of their address; 128 and above is the whole address.
    pub const fn new(ipv6_prefix: u8) -> ClientIp {
        let mask = match ipv6_prefix {
            0 => 0,
            bits if bits >= 128 => u128::MAX,
            bits => u128::MAX << (128 - bits as u32),
        };
        ClientIp { bits: if ipv6_prefix > 128 { 128 } else { ipv6_prefix }, mask }
    }

    /// Adds the key of this address. IPv4 in IPv6 is IPv4: as `::ffff:1.2.3.4`, and as the `::1.2.3.4` of old (RFC 4291
    /// section 2.5.5), which a proxy in front may still write.
    pub fn write(&self, ip: IpAddr, out: &mut KeyBytes) {
        match canonical(ip) {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&(ip.to_bits() & self.mask).to_be_bytes()),
        }
    }

    /// A key as text: `192.0.2.1`, `2001:db8:0:aa00::/56`; `None` for what [`ClientIp::write`] did not write.
    pub fn text(&self, key: &[u8]) -> Option<AddressText> {
        let mut text = AddressText::new();
        if let Ok(octets) = <[u8; 4]>::try_from(key) {
            write!(text, "{}", Ipv4Addr::from(octets)).ok()?;
        } else {
            let network = Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?);
            write!(text, "{network}/{}", self.bits).ok()?;
        }
        Some(text)
    }
}

/// `::` and `::1`, and what else begins with a zero octet, are no IPv4 address of anybody.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => match u32::try_from(ip.to_bits()) {
            Ok(bits) if bits >= 1 << 24 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(ip),
        },
        ip => ip,
    }
}

impl Default for ClientIp {
    fn default() -> ClientIp {
        ClientIp::new(ClientIp::DEFAULT_PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: u8, ip: &str) -> Vec<u8> {
        let mut out = KeyBytes::new();
        ClientIp::new(prefix).write(ip.parse().unwrap(), &mut out);
        out.to_vec()
    }

    fn bucket(prefix: u8, ip: &str) -> String {
        String::from_utf8(ClientIp::new(prefix).text(&key(prefix, ip)).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn ipv6_clients_share_their_network_and_mapped_ones_are_ipv4() {
        assert_eq!(key(56, "192.0.2.1"), [192, 0, 2, 1]);
        assert_eq!(key(56, "::ffff:192.0.2.1"), [192, 0, 2, 1]);
        assert_eq!(key(0, "::ffff:192.0.2.1"), [192, 0, 2, 1]);
        assert_eq!(key(56, "2001:db8:0:aa00::1"), key(56, "2001:db8:0:aaff:9::2"));
        assert_ne!(key(56, "2001:db8:0:aa00::1"), key(56, "2001:db8:0:ab00::1"));
        assert_ne!(key(128, "2001:db8::1"), key(128, "2001:db8::2"));
        assert_eq!(key(0, "2001:db8::1"), [0; 16]);
    }

    #[test]
    fn buckets_are_the_known_ones() {
        // Facts erl-ip-01 to erl-ip-15.
        for prefix in [16, 56, 128] {
            for same in ["1.2.3.4", "::ffff:1.2.3.4", "::1.2.3.4", "::ffff:102:304"] {
                assert_eq!(bucket(prefix, same), "1.2.3.4", "{same}/{prefix}");
            }
        }
        assert_eq!(bucket(56, "2001:db8:1234:5678::1.2.3.4"), "2001:db8:1234:5600::/56");
        assert_eq!(bucket(56, "64:ff9b::1.2.3.4"), "64:ff9b::/56");
        assert_eq!(bucket(56, "2001:db8::1.2.3.4"), "2001:db8::/56");
        assert_eq!(bucket(56, "::1"), "::/56");
        assert_eq!(bucket(56, "::"), "::/56");
        assert_eq!(bucket(56, "123:ABC::89"), "123:abc::/56");
        assert_eq!(bucket(56, "0123:4567:89ab:cdef:0123:4567:89ab:cdef"), "123:4567:89ab:cd00::/56");
        assert_eq!(bucket(63, "0123:4567:89ab:cdef:0123:4567:89ab:cdef"), "123:4567:89ab:cdee::/63");
        assert_eq!(
            bucket(128, "0123:4567:89ab:cdef:0123:4567:89ab:cdef"),
            "123:4567:89ab:cdef:123:4567:89ab:cdef/128"
        );
    }
}
