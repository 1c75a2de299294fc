//! Any lines of a trusted proxy: what is taken of them is an address, a scheme and a valid host, and what a client has written
//! in front of what its proxies add changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::{TrustedHeader, TrustedHeaders};
use portcullis::exchange::authority::valid;
use portcullis::exchange::headers::valid_value;
use portcullis::exchange::{Headers, Scheme};
use portcullis::net::Facts;
use portcullis::snapshot::Trust;
use portcullis::snapshot::forwarded::ForwardedError;

const LISTS: [TrustedHeader; 4] = [
    TrustedHeader::ForwardedFor,
    TrustedHeader::ForwardedProto,
    TrustedHeader::ForwardedHost,
    TrustedHeader::ForwardedPort,
];

fn trust(headers: TrustedHeaders) -> Trust {
    Trust { proxies: vec!["10.0.0.0/8".parse().expect("a network")], headers }
}

/// Address, scheme and host.
type Seen = (std::net::IpAddr, Scheme, Option<Vec<u8>>);

fn seen(trust: &Trust, lines: &[(&str, &[u8])]) -> Result<Seen, ForwardedError> {
    let mut headers = Headers::new();
    lines.iter().for_each(|(name, value)| headers.append(name, value).expect("it was judged"));
    let connection = Facts::plain("10.0.0.1:4000".parse().expect("an address"));
    let reported = trust.reported(&connection, &headers)?;
    let host = reported.authority(b"gw.internal:8080").map(|host| host.to_vec());
    assert!(host.iter().all(|host| valid(host)));
    Ok((reported.client.ip, reported.client.scheme, host))
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines: Vec<(&str, &[u8])> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((kind, value)) = line.split_first().filter(|(_, value)| valid_value(value)) else {
            continue;
        };
        lines.push(match kind {
            b'f' => ("forwarded", value),
            b'a' => ("x-forwarded-for", value),
            b'p' => ("x-forwarded-proto", value),
            b'h' => ("x-forwarded-host", value),
            b'o' => ("x-forwarded-port", value),
            b'r' => ("x-real-ip", value),
            _ => continue,
        });
    }
    let all: TrustedHeaders =
        LISTS.into_iter().chain([TrustedHeader::Forwarded, TrustedHeader::RealIp]).collect();
    let _ = seen(&trust(all), &lines);
    // Two proxies that add to every list.
    let mut added = lines.clone();
    for (name, values) in [
        ("x-forwarded-for", ["203.0.113.9", "10.0.0.2"]),
        ("x-forwarded-proto", ["https", "http"]),
        ("x-forwarded-host", ["shop.test", "inner.test"]),
        ("x-forwarded-port", ["8443", "8080"]),
    ] {
        added.extend(values.map(|value| (name, value.as_bytes())));
    }
    let known = ([203, 0, 113, 9].into(), Scheme::Https, Some(b"shop.test:8443".to_vec()));
    assert_eq!(seen(&trust(LISTS.into_iter().collect()), &added), Ok(known));
    // The same by the standard field, unless the client has spoilt its form.
    let by_standard = trust([TrustedHeader::Forwarded].into_iter().collect());
    let element = "for=203.0.113.9;proto=https;host=shop.test, for=10.0.0.2;proto=http;host=inner.test";
    lines.push(("forwarded", element.as_bytes()));
    let known = ([203, 0, 113, 9].into(), Scheme::Https, Some(b"shop.test".to_vec()));
    match seen(&by_standard, &lines) {
        Ok(seen) => assert_eq!(seen, known),
        Err(error) => assert_eq!(error, ForwardedError::Malformed),
    }
});
