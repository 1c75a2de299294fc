//! Networks of client addresses.

use std::net::IpAddr;

/// An address range in CIDR form: the addresses that share its first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// A network; none if `prefix` is longer than the address. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`)
    /// stands for the IPv4 address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) if (96..=128).contains(&prefix) => {
                Some(Self { address: inner.into(), prefix: prefix - 96 })
            }
            (IpAddr::V4(_), _) if prefix <= 32 => Some(Self { address, prefix }),
            (IpAddr::V6(_), _) if prefix <= 128 => Some(Self { address, prefix }),
            _ => None,
        }
    }

    /// Whether `address` lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix: u8) -> Option<Network> {
        Network::new(address.parse().unwrap(), prefix)
    }

    #[test]
    fn the_prefix_decides() {
        let within =
            |network: Option<Network>, address: &str| network.unwrap().contains(address.parse().unwrap());
        assert!(within(network("10.1.2.3", 8), "10.255.0.1"));
        assert!(!within(network("10.0.0.0", 8), "11.0.0.1"));
        assert!(within(network("10.0.0.1", 32), "10.0.0.1"));
        assert!(!within(network("10.0.0.1", 32), "10.0.0.2"));
        assert!(within(network("0.0.0.0", 0), "255.1.1.1"));
        assert!(!within(network("0.0.0.0", 0), "2001:db8::1"));
        assert!(within(network("2001:db8::", 32), "2001:db8:1::1"));
        assert!(!within(network("2001:db8::", 32), "2001:db9::1"));
        assert!(within(network("10.0.0.0", 8), "::ffff:10.0.0.1"));
        assert!(within(network("::ffff:10.0.0.0", 104), "10.9.9.9"));
    }

    #[test]
    fn a_prefix_is_no_longer_than_its_address() {
        assert_eq!(network("10.0.0.0", 33), None);
        assert_eq!(network("::", 129), None);
    }
}
