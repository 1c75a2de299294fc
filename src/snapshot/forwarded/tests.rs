use proptest::prelude::*;

use super::*;

const PEER: &str = "10.0.0.1:4000";

/// What a gate believes that trusts 10.0.0.0/8 with these fields: address, scheme and host, where its own is
/// `gw.internal:8080`.
fn believed(fields: &[TrustedHeader], peer: &str, lines: &[(&str, &str)]) -> Result<String, ForwardedError> {
    let trust =
        Trust { proxies: vec!["10.0.0.0/8".parse().unwrap()], headers: fields.iter().copied().collect() };
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let reported = trust.reported(&Facts::plain(peer.parse().unwrap()), &headers)?;
    let host = reported.authority(b"gw.internal:8080");
    let host = host.as_deref().unwrap_or(b"-");
    let (ip, scheme) = (reported.client.ip, reported.client.scheme.as_str());
    Ok(format!("{ip} {scheme} {}", String::from_utf8_lossy(host)))
}

const USUAL: &[TrustedHeader] = &[
    TrustedHeader::ForwardedFor,
    TrustedHeader::ForwardedProto,
    TrustedHeader::ForwardedHost,
    TrustedHeader::ForwardedPort,
];

const ALL: &[TrustedHeader] = &[
    TrustedHeader::Forwarded,
    TrustedHeader::ForwardedFor,
    TrustedHeader::ForwardedProto,
    TrustedHeader::ForwardedHost,
    TrustedHeader::ForwardedPort,
    TrustedHeader::RealIp,
];

#[test]
fn the_four_usual_fields_are_the_default() {
    for field in ALL {
        assert_eq!(TrustedHeaders::default().has(*field), USUAL.contains(field), "{field:?}");
    }
}

#[test]
fn nothing_of_a_stranger_is_believed() {
    let lines =
        [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.test")];
    assert_eq!(believed(ALL, "192.0.2.1:1", &lines).unwrap(), "192.0.2.1 http -");
    assert_eq!(believed(ALL, "192.0.2.1:1", &[("forwarded", "for=\"")]).unwrap(), "192.0.2.1 http -");
    assert_eq!(believed(USUAL, "[::ffff:10.0.0.1]:1", &lines).unwrap(), "1.2.3.4 https a.test");
}

#[test]
fn only_the_fields_that_are_named_are_believed() {
    let lines = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.test"),
        ("x-forwarded-port", "8443"),
        ("x-real-ip", "5.6.7.8"),
        ("forwarded", "for=1.2.3.4;proto=https;host=\"a.test:8443\""),
    ];
    for (fields, outcome) in [
        (&[][..], "10.0.0.1 http -"),
        (&[TrustedHeader::ForwardedFor], "1.2.3.4 http -"),
        (&[TrustedHeader::ForwardedProto], "10.0.0.1 https -"),
        (&[TrustedHeader::ForwardedHost], "10.0.0.1 http a.test"),
        (&[TrustedHeader::ForwardedHost, TrustedHeader::ForwardedPort], "10.0.0.1 http a.test:8443"),
        (&[TrustedHeader::RealIp], "5.6.7.8 http -"),
        (&[TrustedHeader::ForwardedFor, TrustedHeader::RealIp], "1.2.3.4 http -"),
        (&[TrustedHeader::Forwarded], "1.2.3.4 https a.test:8443"),
        (USUAL, "1.2.3.4 https a.test:8443"),
    ] {
        assert_eq!(believed(fields, PEER, &lines).unwrap(), outcome, "{fields:?}");
    }
}

#[test]
fn a_port_is_added_where_it_says_something() {
    let port = |host: &str, proto: &str, port: &str| {
        let lines = [("x-forwarded-host", host), ("x-forwarded-proto", proto), ("x-forwarded-port", port)];
        believed(USUAL, PEER, &lines).unwrap()
    };
    assert_eq!(port("a.test", "https", "8443"), "10.0.0.1 https a.test:8443");
    assert_eq!(port("a.test:", "https", "8443"), "10.0.0.1 https a.test:8443", "an empty port is none");
    assert_eq!(port("[::1]:", "https", "443"), "10.0.0.1 https [::1]");
    assert_eq!(port("a.test:9", "https", "8443"), "10.0.0.1 https a.test:9");
    assert_eq!(port("[2001:db8::1]", "https", "8443"), "10.0.0.1 https [2001:db8::1]:8443");
    for usual in ["80", "443", "0", "65536", "x", "-1", "", "8443 1"] {
        assert_eq!(port("a.test", "https", usual), "10.0.0.1 https a.test", "{usual}");
    }
    assert_eq!(port("", "http", "8081"), "10.0.0.1 http -", "its own host has a port");
}

#[test]
fn what_cannot_be_a_host_or_scheme_is_not_taken() {
    for host in ["a b", "a/b", "user@a", "a:x", "[::1", "a..b", "http://a", "a;b"] {
        assert_eq!(
            believed(USUAL, PEER, &[("x-forwarded-host", host)]).unwrap(),
            "10.0.0.1 http -",
            "{host}"
        );
    }
    for proto in ["", "ftp", "httpsx", "https/1.1"] {
        let outcome = believed(USUAL, PEER, &[("x-forwarded-proto", proto)]).unwrap();
        assert_eq!(outcome, "10.0.0.1 http -", "{proto}");
    }
    assert_eq!(believed(USUAL, PEER, &[("x-forwarded-proto", "HTTPS")]).unwrap(), "10.0.0.1 https -");
    for lines in [
        &[("x-real-ip", "1.1.1.1"), ("x-real-ip", "1.1.1.1")][..],
        &[("x-real-ip", "1.1.1.1, 2.2.2.2")],
        &[("x-real-ip", "")],
    ] {
        assert_eq!(believed(ALL, PEER, lines).unwrap(), "10.0.0.1 http -", "{lines:?}");
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let conflict = Err(ForwardedError::Contradiction);
    let with = |forwarded: &str, name: &str, value: &str| {
        believed(ALL, PEER, &[("forwarded", forwarded), (name, value)])
    };
    assert_eq!(with("for=1.2.3.4", "x-forwarded-for", "5.6.7.8"), conflict);
    assert_eq!(with("for=1.2.3.4;proto=http", "x-forwarded-proto", "https"), conflict);
    assert_eq!(with("for=1.2.3.4;host=a.test", "x-forwarded-host", "b.test"), conflict);
    assert_eq!(with("for=1.2.3.4;host=\"a.test:81\"", "x-forwarded-host", "a.test"), conflict);
    assert_eq!(with("for=\"1.2.3.4", "x-forwarded-for", "1.2.3.4"), Err(ForwardedError::Malformed));
    // The same in other words, and what one of them leaves open.
    assert_eq!(
        with("for=1.2.3.4;host=\"A.test:80\"", "x-forwarded-host", "a.test").unwrap(),
        "1.2.3.4 http a.test"
    );
    assert_eq!(
        with("for=1.2.3.4;host=\"a.test:\"", "x-forwarded-host", "a.test").unwrap(),
        "1.2.3.4 http a.test"
    );
    assert_eq!(with("for=\"[::ffff:1.2.3.4]:5\"", "x-forwarded-for", "1.2.3.4").unwrap(), "1.2.3.4 http -");
    assert_eq!(with("for=_hidden;proto=https", "x-forwarded-for", "1.2.3.4").unwrap(), "1.2.3.4 https -");
    assert_eq!(with("for=1.2.3.4", "x-real-ip", "10.0.0.2").unwrap(), "1.2.3.4 http -", "the nearest hop's");
    // The other one is not read.
    let lines = [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "5.6.7.8")];
    assert_eq!(believed(USUAL, PEER, &lines).unwrap(), "5.6.7.8 http -");
    assert_eq!(believed(&[TrustedHeader::Forwarded], PEER, &lines).unwrap(), "1.2.3.4 http -");
}

#[test]
fn a_prefix_is_a_plain_path() {
    let trust = Trust { proxies: Vec::new(), headers: TrustedHeaders::default() };
    assert!(!trust.keeps(HeaderId::XForwardedPrefix, b"/a"), "only where it is named");
    for good in ["/a", "/a/", "/a/b-1", "/%20"] {
        assert!(is_path(good.as_bytes()), "{good}");
    }
    for bad in ["", "a", "//evil.test", "/a/../b", "/a?b", "/a b", "http://a/b", "/a, /b", "/a\"", "/%41"] {
        assert!(!is_path(bad.as_bytes()), "{bad}");
    }
}

/// Lines as a client may write them, of all fields.
fn written() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = prop::sample::select(vec![
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
    ]);
    let word = prop::sample::select(vec![
        "10.0.0.9",
        "6.6.6.6",
        "[::1]:80",
        "unknown",
        "http",
        "https",
        "a.test",
        "a.test:81",
        "8443",
        "443",
        "",
        "\"",
        "x y",
    ]);
    let line = prop::collection::vec(word, 0..4).prop_map(|words| words.join(","));
    prop::collection::vec((name, line), 0..6)
}

proptest! {
    /// What a client writes is left of what its proxies add, and changes nothing.
    #[test]
    fn a_client_says_nothing_by_the_fields_that_its_proxies_add_to(lines in written(), hops in 1..4usize) {
        let mut added = Vec::new();
        for hop in 0..hops {
            let address = if hop == 0 { "203.0.113.9".to_owned() } else { format!("10.0.0.{hop}") };
            let (scheme, host) = if hop == 0 { ("https", "shop.test") } else { ("http", "inner.test") };
            added.push(("x-forwarded-for", address));
            added.push(("x-forwarded-proto", scheme.to_owned()));
            added.push(("x-forwarded-host", host.to_owned()));
            added.push(("x-forwarded-port", "8443".to_owned()));
        }
        let all: Vec<(&str, &str)> =
            lines.iter().chain(&added).map(|(name, value)| (*name, value.as_str())).collect();
        prop_assert_eq!(believed(USUAL, PEER, &all).unwrap(), "203.0.113.9 https shop.test:8443");
    }
}
