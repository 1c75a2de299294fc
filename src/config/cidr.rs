//! Networks of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: an address and how many leading bits of it count.
///
/// An IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`) is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Whether every address of its family is in the network.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether the address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Why a text is no network, as the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCidr(pub String);

impl FromStr for Cidr {
    type Err = NotCidr;

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone, which is a network of one.
    fn from_str(text: &str) -> Result<Self, NotCidr> {
        let form = || NotCidr("write a network such as `10.0.0.0/8` or `\"2001:db8::/32\"`".to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let widest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let plain = |bits: &str| bits.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            Some(bits) if plain(bits) => bits.parse().ok().filter(|bits| *bits <= widest).ok_or_else(form)?,
            Some(_) => return Err(form()),
            None => widest,
        };
        let network = match address {
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if bits >= 96 => Self { base: IpAddr::V4(v4), bits: bits - 96 },
                _ => Self { base: address, bits },
            },
            IpAddr::V4(_) => Self { base: address, bits },
        };
        if network.contains(network.base) {
            return Ok(network);
        }
        // Bits beyond the mask are a slip: the operator meant another mask or another address.
        let base = match network.base {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(network.bits)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(network.bits)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        };
        Err(NotCidr(format!("bits beyond the mask are set: write `{base}/{}`", network.bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, address: &str) -> bool {
        network.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn contains_by_leading_bits() {
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "203.0.113.9"));
        assert!(!has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(has("127.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(has("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!has("::/0", "::ffff:10.1.2.3"));
    }

    #[test]
    fn refuses_what_is_no_network() {
        for wrong in ["", "10", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "host/8"]
        {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
        let slip = "10.1.2.3/8".parse::<Cidr>().unwrap_err();
        assert!(slip.0.contains("`10.0.0.0/8`"), "{}", slip.0);
    }
}
