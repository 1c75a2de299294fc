use super::*;

struct Users;

impl Inside for Users {
    fn is_named(&self, authority: &str) -> bool {
        matches!(authority, "users.internal:3001" | "users.internal" | "10.0.0.1:3001" | "api.example.com")
    }

    fn is_below(&self, domain: &str) -> bool {
        matches!(domain, "internal" | "example.com" | "com")
    }
}

fn map<'a>(public: &'a str, inner: &'a str) -> Map<'a> {
    Map { inside: &Users, public, inner, scheme: "https", public_host: "shop.example.com" }
}

#[test]
fn a_location_that_points_inside_leads_outside() {
    let stripped = map("/api/users", "");
    let location = |text: &str| stripped.location(text);
    assert_eq!(
        location("http://users.internal:3001/next?a=1").as_deref(),
        Some("https://shop.example.com/api/users/next?a=1")
    );
    assert_eq!(location("http://10.0.0.1:3001").as_deref(), Some("https://shop.example.com/api/users/"));
    assert_eq!(location("/next").as_deref(), Some("/api/users/next"));
    assert_eq!(location("next"), None, "a relative one already leads there");
    assert_eq!(location("https://other.example.com/x"), None);
    let mapped = map("/shop", "/v2");
    assert_eq!(mapped.location("/v2/next").as_deref(), Some("/shop/next"));
    assert_eq!(mapped.location("/v20/next"), None);
    assert_eq!(map("", "").location("/next"), None);
    assert_eq!(map("", "/base").location("/base?x").as_deref(), Some("/?x"));
    assert_eq!(map("", "/base").location("/base").as_deref(), Some("/"));
}

#[test]
fn a_path_stays_a_path() {
    let inner = map("", "/v1");
    assert_eq!(inner.location("/v1//elsewhere.test/a").as_deref(), Some("/.//elsewhere.test/a"));
    assert_eq!(inner.location("/v1/\\elsewhere.test/a").as_deref(), Some("/./\\elsewhere.test/a"));
    assert_eq!(inner.location("/v1/\t/elsewhere.test/a").as_deref(), Some("/./\t/elsewhere.test/a"));
    assert_eq!(inner.refresh("0; url=/v1//elsewhere.test/a").as_deref(), Some("0; url=/.//elsewhere.test/a"));
    assert_eq!(map("/r", "/v1").location("/v1//elsewhere.test/a").as_deref(), Some("/r//elsewhere.test/a"));
    assert_eq!(
        map("", "").location("http://users.internal//elsewhere.test/").as_deref(),
        Some("https://shop.example.com//elsewhere.test/")
    );
    let nameless = Map { public_host: "", ..map("", "") };
    assert_eq!(
        nameless.location("http://users.internal//elsewhere.test/").as_deref(),
        Some("/.//elsewhere.test/")
    );
}

#[test]
fn a_refresh_leads_outside_however_it_is_written() {
    let map = map("/api/users", "");
    for (given, mapped) in [
        ("0; url=http://10.0.0.1:3001/x", "0; url=https://shop.example.com/api/users/x"),
        ("5;URL = '//users.internal/x'; a", "5;URL = 'https://shop.example.com/api/users/x'; a"),
        ("5, \"/x\"", "5, \"/api/users/x\""),
        ("5; http://users.internal:3001", "5; https://shop.example.com/api/users/"),
    ] {
        assert_eq!(map.refresh(given).as_deref(), Some(mapped));
    }
    for given in ["5", "5;", "0; url=https://other.example.com/x", "0; url='"] {
        assert_eq!(map.refresh(given), None, "{given}");
    }
}

#[test]
fn links_that_point_inside_lead_outside() {
    let map = map("/api/users", "");
    assert_eq!(
        map.links("</a>; rel=up, <http://users.internal:3001/b?p=2>; title=\"<http://users.internal/>\\\"\", <//10.0.0.1:3001>; rel=x").as_deref(),
        Some("</a>; rel=up, <https://shop.example.com/api/users/b?p=2>; title=\"<http://users.internal/>\\\"\", <https://shop.example.com/api/users/>; rel=x"),
    );
    for unchanged in ["</a>; rel=up", "<https://other.example.com/>; rel=next", "<http://users.internal", ""]
    {
        assert_eq!(map.links(unchanged), None, "{unchanged}");
    }
}

#[test]
fn what_lies_below_the_public_prefix_stays_there() {
    let wiki = map("/wiki", "");
    for stays in ["/wiki", "/wiki/login", "/wiki?x", "/wiki#top", "https://shop.example.com/elsewhere"] {
        assert_eq!(wiki.location(stays), None, "{stays}");
    }
    assert_eq!(wiki.location("/wikis").as_deref(), Some("/wiki/wikis"));
    assert_eq!(
        wiki.location("http://users.internal/wiki/a").as_deref(),
        Some("https://shop.example.com/wiki/a")
    );
    assert_eq!(wiki.cookie("a=1; Path=/wiki", true), None);
    assert_eq!(wiki.cookie("a=1; Path=/wiki/x", true), None);
}

#[test]
fn the_service_is_known_however_it_is_written() {
    let stripped = map("/api", "");
    for inside in [
        "http://users.internal:80/x",
        "https://users.internal:443/x",
        "HTTP://me:secret@users.internal:3001/x",
        "//users.internal/x",
    ] {
        assert_eq!(stripped.location(inside).as_deref(), Some("https://shop.example.com/api/x"), "{inside}");
    }
    // The public host is outside, with the port of its scheme too.
    let same = Map { public_host: "api.example.com:443", ..stripped };
    assert_eq!(same.location("https://api.example.com/x"), None);
    // A client that named no host.
    let unknown = Map { public_host: "", ..map("/api", "") };
    assert_eq!(unknown.location("http://users.internal/x?y").as_deref(), Some("/api/x?y"));
    assert_eq!(unknown.cookie("a=1; Domain=users.internal", false).as_deref(), Some("a=1"));
}

#[test]
fn a_cookie_belongs_to_the_public_host() {
    let stripped = map("/api/users", "");
    for (given, mapped) in [
        (
            "a=1; Domain=users.internal; Path=/; HttpOnly",
            Some("a=1; Domain=shop.example.com; Path=/; HttpOnly"),
        ),
        ("a=1; domain=.internal", Some("a=1; Domain=shop.example.com")),
        ("a=1;DOMAIN=users.internal;Secure", Some("a=1; Domain=shop.example.com;Secure")),
        // Both hosts are below it.
        ("a=1; Domain=example.com", None),
        ("a=1; Domain=api.example.com", Some("a=1; Domain=shop.example.com")),
        ("a=1; Domain=elsewhere.test", None),
        ("a=1; Domain=", None),
        ("Domain=users.internal", None),
        ("a=1; HttpOnly", None),
        ("a=1; Path=/", None),
        // A browser takes it with the Path `/` and no Domain alone.
        ("__Host-a=1; Secure; Path=/", None),
        ("__host-a=1; Domain=users.internal; Secure; Path=/", Some("__host-a=1; Secure; Path=/")),
        (
            "__Secure-a=1; Secure; Domain=users.internal",
            Some("__Secure-a=1; Secure; Domain=shop.example.com"),
        ),
    ] {
        assert_eq!(stripped.cookie(given, false).as_deref(), mapped, "{given}");
    }
    let by_address = Map { public_host: "127.0.0.1:8080", ..map("", "") };
    assert_eq!(by_address.cookie("a=1; domain=users.internal", false).as_deref(), Some("a=1"));
    let by_address = Map { public_host: "[::1]", ..map("", "") };
    assert_eq!(by_address.cookie("a=1; domain=users.internal", false).as_deref(), Some("a=1"));
}

#[test]
fn a_path_of_a_cookie_is_mapped_where_it_is_asked_for() {
    let paths = |public, inner, given: &str| map(public, inner).cookie(given, true);
    for (public, inner, given, mapped) in [
        ("/auth", "", "a=1; Path=/", Some("a=1; Path=/auth")),
        ("/auth", "", "a=1; path=/x/; Secure", Some("a=1; path=/auth/x/; Secure")),
        ("/auth", "", "a=1; Path=/authors", Some("a=1; Path=/auth/authors")),
        ("/auth", "/v2", "a=1; Path=/v2", Some("a=1; Path=/auth")),
        ("/auth", "/v2", "a=1; Path=/v2/", Some("a=1; Path=/auth")),
        ("/auth", "/v2", "a=1; Path=/v2/x", Some("a=1; Path=/auth/x")),
        ("/auth", "/v2/a", "a=1; Path=/v2", Some("a=1; Path=/auth")),
        ("/auth", "/v2", "a=1; Path=/v3", None),
        ("", "/v2", "a=1; Path=/v2/x", Some("a=1; Path=/x")),
        ("", "/v2", "a=1; Path=/", None),
        ("", "/v2", "a=1; Path=/v2", Some("a=1; Path=/")),
        ("/auth", "", "a=1; Path=relative", None),
        ("/auth", "", "a=1", None),
        ("/auth", "", "__Host-a=1; Secure; Path=/", None),
        ("/auth", "", "__Secure-a=1; Secure; Path=/", Some("__Secure-a=1; Secure; Path=/auth")),
    ] {
        assert_eq!(paths(public, inner, given).as_deref(), mapped, "{public} {inner} {given}");
    }
}
