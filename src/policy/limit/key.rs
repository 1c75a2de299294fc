//! Whose budget a request spends: the key of a rate limit.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::exchange::Exchange;

/// The bytes of a key under construction.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// What came of asking for a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyOutcome {
    /// The key has been written.
    Written,
    /// The request has no such key (a header that is not there, a claim that is absent): why, for the log.
    Missing(Option<Box<str>>),
}

/// Names the budget that a request spends.
pub trait Key: Send + Sync {
    /// Adds the key to `out`, which may hold a prefix already. After [`KeyOutcome::Missing`] what was added is void.
    fn key(&self, exchange: &Exchange, out: &mut KeyBytes) -> KeyOutcome;
}

/// `client.ip`: an IPv4 address, or the network of an IPv6 address, since one subscriber is given a whole network.
#[derive(Clone, Copy, Debug)]
pub struct ClientIp {
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
        ClientIp { mask }
    }

    /// Adds the key of this address. IPv4 in IPv6 (`::ffff:1.2.3.4`) is IPv4.
    pub fn write(&self, ip: IpAddr, out: &mut KeyBytes) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&(ip.to_bits() & self.mask).to_be_bytes()),
        }
    }
}

impl Default for ClientIp {
    fn default() -> ClientIp {
        ClientIp::new(ClientIp::DEFAULT_PREFIX)
    }
}

impl Key for ClientIp {
    fn key(&self, exchange: &Exchange, out: &mut KeyBytes) -> KeyOutcome {
        self.write(exchange.client.ip, out);
        KeyOutcome::Written
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
}
