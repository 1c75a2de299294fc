use proptest::prelude::*;

use super::*;

#[test]
fn the_port_is_what_follows_the_last_colon_outside_of_brackets() {
    for (text, host, port) in [
        ("a", "a", None),
        ("a:8080", "a", Some("8080")),
        ("a:", "a", None),
        ("[::1]", "[::1]", None),
        ("[::1]:", "[::1]", None),
        ("[::1]:8080", "[::1]", Some("8080")),
        ("127.0.0.1:0", "127.0.0.1", Some("0")),
        ("A.Test.:80", "A.Test.", Some("80")),
        ("", "", None),
        (":", "", None),
        (":80", "", Some("80")),
    ] {
        let split = Authority { host, port };
        assert_eq!(Authority::split(text), split, "{text}");
        let bytes = Authority { host: host.as_bytes(), port: port.map(str::as_bytes) };
        assert_eq!(Authority::split(text.as_bytes()), bytes, "{text}");
    }
}

#[test]
fn one_host_and_nothing_else_is_valid() {
    let longest = format!("{}a", "a.".repeat(126));
    for text in [
        "gw.test",
        "GW.Test",
        "gw.test.",
        "gw.test.:80",
        "gw.test:",
        "gw.test:8080",
        "gw.test:00080",
        "a_b-c~d.test",
        "localhost:65535",
        "127.0.0.1:0",
        "[::1]",
        "[::1]:",
        "[::1]:8080",
        "[2001:DB8::1]:443",
        "[::ffff:1.2.3.4]",
        &longest,
    ] {
        assert!(valid(text.as_bytes()), "{text}");
        assert_eq!(Authority::read(text), Some(Authority::split(text)), "{text}");
    }
    for text in [
        "",
        " ",
        ":",
        ":80",
        ".",
        ".a",
        "a..b",
        "a..",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "a;b",
        "a!b",
        "a%2fb",
        "a\"",
        "a\\b",
        "{a}",
        "a\u{fc}",
        "a\tb",
        "a::",
        "a:b",
        "a:80:80",
        "a:65536",
        "a:000080",
        "a:+1",
        "a:-1",
        "a: 1",
        "::1",
        "[::1",
        "[::1]x",
        "[::1]::",
        "[]",
        "[a]",
        "[1.2.3.4]",
        "[::1%eth0]",
        "[::1%25eth0]",
        "[v1.a]",
        "[::1]]",
    ] {
        assert!(!valid(text.as_bytes()), "{text}");
        assert_eq!(Authority::read(text), None, "{text}");
    }
    assert!(!valid("a".repeat(NAME + 1).as_bytes()));
}

#[test]
fn a_closing_dot_makes_no_other_name() {
    for (text, name) in [("a.test.:80", "a.test"), ("a.test", "a.test"), ("a..", "a."), ("[::1]:1", "[::1]")]
    {
        assert_eq!(Authority::split(text).name(), name, "{text}");
    }
}

#[test]
fn an_address_is_known_in_each_of_its_forms() {
    for (text, address) in [
        ("127.0.0.1:80", Some("127.0.0.1")),
        ("127.0.0.1.", Some("127.0.0.1")),
        ("[::1]:80", Some("::1")),
        ("a.test", None),
        ("[1.2.3.4]", None),
        ("1.2.3", None),
        ("", None),
    ] {
        assert_eq!(Authority::split(text).address(), address.map(|text| text.parse().unwrap()), "{text}");
    }
    assert_eq!(host_address("::1"), host_address("[::1]"));
    for none in ["[::1", "::1]", "[[::1]]", "[::1%1]", "::1%1", "01.2.3.4", "localhost"] {
        assert_eq!(host_address(none), None, "{none}");
    }
}

#[test]
fn a_port_that_goes_without_saying_makes_no_other_host() {
    for (text, http, https) in [
        ("a", "a", "a"),
        ("a:", "a", "a"),
        ("a:80", "a", "a:80"),
        ("a:0080", "a", "a:0080"),
        ("a:443", "a:443", "a"),
        ("a:8080", "a:8080", "a:8080"),
        ("a:x", "a:x", "a:x"),
        ("[::80]", "[::80]", "[::80]"),
        ("[::1]:80", "[::1]", "[::1]:80"),
        ("", "", ""),
    ] {
        assert_eq!(without_default_port(text, Scheme::Http), http, "{text}");
        assert_eq!(without_default_port(text, Scheme::Https), https, "{text}");
    }
    for (text, plain) in [("a:", "a"), ("a:80", "a:80"), ("[::1]:", "[::1]"), ("", "")] {
        assert_eq!(without_empty_port(text.as_bytes()), plain.as_bytes(), "{text}");
    }
}

#[test]
fn a_port_is_a_number_of_16_bits() {
    for (text, number) in [
        ("a:0", Some(0)),
        ("a:080", Some(80)),
        ("a:65535", Some(65535)),
        ("a:65536", None),
        ("a:99999999999999999999", None),
        ("a:+1", None),
        ("a:", None),
        ("a", None),
    ] {
        assert_eq!(Authority::split(text).number(), number, "{text}");
    }
    assert_eq!(Authority::split("a").port_or(Scheme::Https), Some(443));
    assert_eq!(Authority::split("a:x").port_or(Scheme::Https), None);
}

#[test]
fn an_authority_ends_where_the_path_the_query_or_the_fragment_begins() {
    for (rest, length) in [("a", 1), ("a/b?c", 1), ("a:80?b/c", 4), ("[::1]#x", 5), ("", 0), ("/a", 0)] {
        assert_eq!(authority_length(rest.as_bytes()), length, "{rest}");
    }
}

#[test]
fn what_is_below_a_domain_has_a_label_before_it() {
    let below = |host: &str, domain: &str| is_below(host.as_bytes(), domain.as_bytes());
    for host in ["a.example.com", "a.b.example.com", "A.Example.COM", "-.example.com"] {
        assert!(below(host, "example.com"), "{host}");
    }
    for host in [
        "example.com",
        ".example.com",
        ".a.example.com",
        "aexample.com",
        "a.example.org",
        "a.example.com.",
        "com",
        "",
    ] {
        assert!(!below(host, "example.com"), "{host}");
    }
    assert!(below("a.b2", "b2"), "a name may end in a digit");
    assert!(!below("1.2.3.4", "3.4") && !below("::ffff:1.2.3.4", "3.4"), "an address is below nothing");
}

proptest! {
    #[test]
    fn what_is_split_is_the_whole(text in "\\PC*") {
        let split = Authority::split(text.as_str());
        let whole = match split.port {
            Some(port) => format!("{}:{port}", split.host),
            None => split.host.to_owned(),
        };
        prop_assert!([whole.clone(), whole + ":"].contains(&text));
    }

    #[test]
    fn a_valid_one_has_a_host_and_a_port_that_can_be_read(
        host in "[a-zA-Z0-9_~-]{1,9}(\\.[a-zA-Z0-9_~-]{1,9}){0,3}\\.?|\\[::[0-9a-f]{1,4}\\]",
        port in proptest::option::of(any::<u16>()),
    ) {
        let text = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        let read = Authority::read(text.as_str()).unwrap();
        prop_assert_eq!((read.host, read.number()), (host.as_str(), port));
    }
}
