//! Which hosts may be reached from anywhere, as far as an address or a name tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::url::Host;

/// Last labels of names that are not resolved on the internet (RFC 6761, RFC 6762, RFC 8375, RFC 9476 and the
/// domain that ICANN keeps for private use), and what clusters call their own.
const PRIVATE: [&str; 14] = [
    "internal",
    "local",
    "localhost",
    "test",
    "invalid",
    "example",
    "alt",
    "arpa",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "consul",
];

/// Whether a host can be expected to lie on the internet: a global address, or a name of more than one label whose
/// last label is not a private one.
pub(super) fn is_public(host: &Host) -> bool {
    match host {
        Host::Name(name) => {
            let name = name.trim_end_matches('.');
            // A cluster's `users.shop.svc` has no domain behind it.
            name.rsplit_once('.').is_some_and(|(_, last)| !PRIVATE.contains(&last) && last != "svc")
        }
        Host::Ip(IpAddr::V4(ip)) => is_global(*ip),
        Host::Ip(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => is_global(ip),
            None => is_global_v6(*ip),
        },
    }
}

/// The blocks of RFC 6890 that are not reached from elsewhere.
fn is_global(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let benchmark = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 224
        || shared
        || benchmark
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation())
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    // Only 2000::/3 is given out (RFC 4291 section 2.4); 2001:db8::/32 is for documents.
    let [first, second, ..] = ip.segments();
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && second == 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(host: &str) -> bool {
        let ip = host.parse::<IpAddr>();
        is_public(&ip.map_or_else(|_| Host::Name(host.into()), Host::Ip))
    }

    #[test]
    fn private_names_and_addresses_are_told_from_public_ones() {
        for host in ["api.partner.com", "192.9.9.9", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(public(host), "{host}");
        }
        let private = [
            "users",
            "users.internal",
            "users.shop.svc",
            "db.svc.cluster.local",
            "localhost",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "203.0.113.7",
            "::1",
            "fd00::1",
            "fe80::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ];
        for host in private {
            assert!(!public(host), "{host}");
        }
    }
}
