use super::*;

fn list(names: &[&str]) -> HostList {
    HostList::parse(names).unwrap()
}

#[test]
fn port_case_and_trailing_dot_do_not_count() {
    let hosts = list(&["API.example.com", "plain.", "[::1]"]);
    for name in [
        "api.example.com",
        "Api.Example.COM:8080",
        "api.example.com.",
        "api.example.com.:80",
        "plain",
        "[::1]",
        "[::1]:80",
    ] {
        assert!(hosts.matches(name), "{name}");
    }
    for name in
        ["", "example.com", "xapi.example.com", "api.example.com..", "api.example.com.evil", "[::2]", "::1"]
    {
        assert!(!hosts.matches(name), "{name}");
    }
}

#[test]
fn a_star_stands_for_one_label_or_more() {
    let hosts = list(&["*.example.com"]);
    for name in ["a.example.com", "a.b.EXAMPLE.com:1", "a.example.com."] {
        assert!(hosts.matches(name), "{name}");
    }
    for name in ["example.com", ".example.com", "aexample.com", "a.example.org", "com", ""] {
        assert!(!hosts.matches(name), "{name}");
    }
}

#[test]
fn wrong_names_are_named() {
    for (name, error) in [
        ("", HostError::Empty),
        ("a..b", HostError::Empty),
        (".a", HostError::Empty),
        ("*.", HostError::Star),
        ("*", HostError::Star),
        ("a.*.b", HostError::Star),
        ("a*.b", HostError::Star),
        ("a:80", HostError::Port),
        ("[::1]:80", HostError::Port),
        ("a/b", HostError::Character('/')),
        ("bücher.example", HostError::Character('ü')),
    ] {
        assert_eq!(HostList::parse(&["ok", name]), Err((1, error)), "{name}");
    }
}

#[test]
fn the_closest_name_wins() {
    let list = HostList::parse(&["*.test", "*.shop.test", "www.shop.test"]).unwrap();
    let of = |host| list.closeness(host);
    assert_eq!(of("other.example"), None);
    assert!(of("a.test").is_some() && of("a.test") < of("a.shop.test"));
    assert_eq!(of("WWW.shop.test:81"), Some(usize::MAX));
}
