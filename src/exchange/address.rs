//! Addresses as text.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Appends an address; IPv4, which most are, without the formatting machinery.
pub fn push_ip(out: &mut impl Write, ip: IpAddr) {
    // Writing into memory cannot fail.
    let _ = match ip {
        IpAddr::V4(ip) => {
            let (text, length) = dotted(ip.octets());
            out.write_all(&text[..length])
        }
        IpAddr::V6(ip) => write!(out, "{ip}"),
    };
}

/// Appends an address with its port.
pub fn push_address(out: &mut impl Write, address: SocketAddr) {
    let _ = match address {
        SocketAddr::V4(address) => {
            let (mut text, mut length) = dotted(address.ip().octets());
            text[length] = b':';
            length += 1;
            let mut digits = itoa::Buffer::new();
            let port = digits.format(address.port()).as_bytes();
            text[length..length + port.len()].copy_from_slice(port);
            out.write_all(&text[..length + port.len()])
        }
        SocketAddr::V6(address) => write!(out, "{address}"),
    };
}

/// Four numbers with dots between them, and how long they are; there is room for a port behind them.
fn dotted(octets: [u8; 4]) -> ([u8; 24], usize) {
    let (mut text, mut length) = ([0; 24], 0);
    for octet in octets {
        if octet >= 100 {
            text[length] = b'0' + octet / 100;
            length += 1;
        }
        if octet >= 10 {
            text[length] = b'0' + octet / 10 % 10;
            length += 1;
        }
        text[length] = b'0' + octet % 10;
        text[length + 1] = b'.';
        length += 2;
    }
    (text, length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for ip in ["0.0.0.0", "10.1.200.255", "255.255.255.255", "192.168.99.100", "2001:db8::1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut out = Vec::new();
            push_ip(&mut out, ip);
            assert_eq!(out, ip.to_string().as_bytes());
            for port in [0, 9, 80, 65535] {
                let address = SocketAddr::new(ip, port);
                let mut out = Vec::new();
                push_address(&mut out, address);
                assert_eq!(out, address.to_string().as_bytes());
            }
        }
    }
}
