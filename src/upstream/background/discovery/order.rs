//! In which order addresses are told, and how the weights of SRV records become those of endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::{Found, MAX_ENDPOINTS};

/// Both families in turn, IPv6 first (RFC 8305 section 4), each address once. Addresses that this machine has no
/// route to are left out, as long as any other is there.
pub(super) fn interleave(
    v4: &[Ipv4Addr],
    v6: &[Ipv6Addr],
    has_route: impl Fn(IpAddr) -> bool,
) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::with_capacity(v4.len() + v6.len());
    for at in 0..v4.len().max(v6.len()) {
        let pair = [v6.get(at).copied().map(IpAddr::V6), v4.get(at).copied().map(IpAddr::V4)];
        all.extend(pair.into_iter().flatten());
    }
    let mut seen =
        crate::runtime::hash::HashSet::with_capacity_and_hasher(all.len(), crate::runtime::hash::Seed::new());
    all.retain(|address| seen.insert(*address));
    if all.len() > 1 && !v6.is_empty() {
        let routed: Vec<IpAddr> = all.iter().copied().filter(|address| has_route(*address)).collect();
        if !routed.is_empty() {
            return routed;
        }
    }
    all
}

/// Whether this machine knows a way to the address: a datagram socket that is connected sends nothing.
pub(super) fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 9))).is_ok()
}

/// What a target's weight counts against the 0 of another one, which is to be chosen rarely (RFC 2782).
const AGAINST_ZERO: u32 = 10;
/// A target's weight is shared by its addresses: divisible by the numbers of addresses that are common.
const SHARES: u32 = 60;

/// The weight of each address of every target, out of the targets' SRV weights and how many addresses each has (at
/// least 1), in the smallest numbers.
pub(super) fn shares(targets: &[(u16, usize)]) -> Vec<u32> {
    let some = targets.iter().any(|(weight, _)| *weight > 0);
    let none = targets.iter().any(|(weight, _)| *weight == 0);
    let split = targets.iter().any(|(_, addresses)| *addresses > 1);
    let share = |(weight, addresses): &(u16, usize)| {
        let weight = match (*weight, some && none) {
            (0, _) => 1,
            (weight, true) => u32::from(weight) * AGAINST_ZERO,
            (weight, false) => u32::from(weight),
        };
        let addresses = u32::try_from(*addresses).unwrap_or(u32::MAX).max(1);
        if split { (weight * SHARES / addresses).max(1) } else { weight }
    };
    let shares: Vec<u32> = targets.iter().map(share).collect();
    let common = shares.iter().copied().reduce(divisor).unwrap_or(1).max(1);
    shares.into_iter().map(|share| share / common).collect()
}

/// One endpoint for each address, with the sum of the weights that it is found with. `bool`: the addresses are those of
/// a name.
pub(super) fn merged<'a>(
    found: impl Iterator<Item = ((&'a [SocketAddr], bool), u32)>,
    priority: u16,
) -> Vec<Found> {
    let mut at: crate::runtime::hash::HashMap<SocketAddr, usize> = Default::default();
    let mut set: Vec<Found> = Vec::new();
    for ((addresses, by_name), weight) in found {
        for &address in addresses {
            match at.get(&address) {
                Some(&at) => {
                    set[at].weight = set[at].weight.saturating_add(weight);
                    set[at].by_name &= by_name;
                }
                None => {
                    at.insert(address, set.len());
                    set.push(Found { address, weight, priority, by_name });
                }
            }
        }
    }
    set.truncate(MAX_ENDPOINTS);
    set
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let v4 = [1, 2, 3].map(|n| Ipv4Addr::new(10, 0, 0, n));
        let v6 = [1, 2, 1].map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
        let shown = |has_route: &dyn Fn(IpAddr) -> bool| {
            let all = interleave(&v4, &v6, has_route);
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(&|_| true), ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(shown(&|address| address.is_ipv4()), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(shown(&|_| false).len(), 5, "nothing is better than what may not work");
        assert!(has_route(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_address_that_is_found_twice_is_one_endpoint_with_both_weights() {
        let address = |n| SocketAddr::from(([10, 0, 0, n], 80));
        let (a, b, c) = ([address(1), address(2)], [address(3)], [address(2), address(4)]);
        let set = merged([((&a[..], true), 1), ((&b[..], true), 2), ((&c[..], false), 4)].into_iter(), 7);
        let shown: Vec<_> = set.iter().map(|one| (one.address, one.weight)).collect();
        assert_eq!(shown, [(address(1), 1), (address(2), 5), (address(3), 2), (address(4), 4)]);
        assert_eq!(set.iter().map(|one| one.by_name).collect::<Vec<_>>(), [true, false, true, false]);
    }

    #[test]
    fn weights_are_shared_by_the_addresses_of_a_target() {
        assert_eq!(shares(&[]), [0_u32; 0]);
        assert_eq!(shares(&[(0, 1), (0, 1)]), [1, 1], "no weights at all");
        assert_eq!(shares(&[(10, 1), (20, 1)]), [1, 2]);
        assert_eq!(shares(&[(10, 2), (10, 1)]), [1, 2], "the target with two addresses gets no more calls");
        assert_eq!(shares(&[(3, 1), (0, 1)]), [30, 1], "0 is a small chance");
        assert_eq!(shares(&[(u16::MAX, 1), (0, 7)])[1], 1);
    }
}
