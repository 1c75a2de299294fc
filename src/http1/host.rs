//! The value of a Host line: `host[:port]` (RFC 9110 section 7.2), where an empty port is none.

use std::net::Ipv6Addr;

/// The longest name (RFC 1035 section 2.3.4, with its closing dot) and the longest port with its colon.
const NAME: usize = 254;

/// Whether the value names one host and nothing else: an address, an address in brackets or a name, and perhaps a
/// port, which may be empty. Narrower than RFC 3986 (no percent-encoding, no sub-delimiters, no empty label): no name in
/// DNS needs those, and two readers seldom agree on them.
pub fn valid(value: &[u8]) -> bool {
    match value {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let address =
                std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            address.is_some() && (rest.len() == end + 1 || valid_port(&rest[end + 1..]))
        }
        _ => {
            let end = name_length(value);
            (1..=NAME).contains(&end) && (end == value.len() || valid_port(&value[end..]))
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

/// How many bytes of a name `value` begins with.
fn name_length(value: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let label = length;
        while value.get(length).is_some_and(|byte| ORDINARY[usize::from(*byte)]) {
            length += 1;
        }
        // A label is not empty; behind the last one a dot may stand.
        if length == label || value.get(length) != Some(&b'.') {
            return length;
        }
        length += 1;
    }
}

/// A host as `host[:port]` without an empty port, which says the same (RFC 3986 section 6.2.3).
pub fn without_empty_port(value: &[u8]) -> &[u8] {
    value.strip_suffix(b":").unwrap_or(value)
}

/// A colon, and nothing or 0 to 65535.
fn valid_port(port: &[u8]) -> bool {
    let add = |port: u32, digit: &u8| digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'));
    matches!(port, [b':', digits @ ..] if digits.len() <= 5
        && digits.iter().try_fold(0, add).is_some_and(|port| port <= 65535))
}
