//! Which rule answers, and what its upstream is asked. Ids in comments are rows (P, H) and cases (s) of the catalogue
//! of behaviour.

use crate::support::{Client, Gateway, Origin};

/// The routes that most rows are about: three services under `/api`, each with its prefix cut.
const SHOP: &str = "
    routes:
      /api/users/*: { upstream: ORIGIN1, rewrite: / }
      /api/orders/*: { upstream: ORIGIN2, rewrite: / }
";

/// An open gate to one echo service under `/api`, the prefix cut.
const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }";

struct Shop {
    users: Origin,
    orders: Origin,
    gateway: Gateway,
}

impl Shop {
    fn open() -> Self {
        let (users, orders) = (Origin::echo(), Origin::echo());
        let gateway = Gateway::start(&[&users, &orders], SHOP);
        Self { users, orders, gateway }
    }

    /// Asserts that a GET of each target reaches that service as that target.
    #[track_caller]
    fn reaches(&self, service: &Origin, pairs: &[(&str, &str)]) {
        for (target, seen) in pairs {
            let before = self.users.count() + self.orders.count();
            let answer = self.gateway.get(target);
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            assert_eq!(self.users.count() + self.orders.count(), before + 1, "{target}");
            assert_eq!(service.last().line, format!("GET {seen} HTTP/1.1"), "{target}");
        }
    }

    /// Asserts that each target is refused with that status and reaches nobody.
    #[track_caller]
    fn refuses(&self, status: u16, phrase: &str, targets: &[&str]) {
        for target in targets {
            let before = self.users.count() + self.orders.count();
            let answer = self.gateway.get(target);
            assert_eq!((answer.status, target), (status, target), "{}", answer.text());
            assert_eq!(answer.problem(status), phrase, "{target}");
            assert_eq!(self.users.count() + self.orders.count(), before, "{target}");
        }
    }
}

#[test]
fn a_prefix_is_cut_once_and_the_rest_kept() {
    let shop = Shop::open();
    shop.reaches(
        &shop.users,
        &[
            ("/api/users/42", "/42"),                                       // P01
            ("/api/users/42/", "/42/"),                                     // P02
            ("/api/users/api/users/1", "/api/users/1"),                     // P08
            ("/api/users/api/orders/1", "/api/orders/1"),                   // P09
            ("/api/users//double//slash", "/double/slash"),                 // P12
            ("/api/users/a?url=http://x.y//z?b", "/a?url=http://x.y//z?b"), // P17
            ("http://gw.example.com/api/users/42", "/42"),                  // P19
            ("//api/users/42", "/42"),                                      // P13
        ],
    );
    shop.reaches(
        &shop.orders,
        &[
            ("/api/orders", "/"),         // P03
            ("/api/orders/", "/"),        // P04
            ("/api/orders?x=1", "/?x=1"), // P05
        ],
    );
}

#[test]
fn the_query_is_kept_byte_for_byte() {
    let shop = Shop::open();
    shop.reaches(
        &shop.users,
        &[
            ("/api/users/a%20c?q=a+b&q=%C3%A9&empty=&flag", "/a%20c?q=a+b&q=%C3%A9&empty=&flag"), // P10
            (
                // s-022
                "/api/users/echo?z=9&y=1&z=2&flag&sg=%FE%E8&l=1;2&t=two%20words",
                "/echo?z=9&y=1&z=2&flag&sg=%FE%E8&l=1;2&t=two%20words",
            ),
            ("/api/users/echo?p1=a;p2=b;p3", "/echo?p1=a;p2=b;p3"), // s-023
            ("/api/users/echo?", "/echo?"),
            ("/api/users/echo?a=/../b//c", "/echo?a=/../b//c"),
        ],
    );
}

#[test]
fn the_matched_path_is_the_one_that_travels() {
    let shop = Shop::open();
    // P14, P15: resolved before a rule is sought, so the other service is asked.
    shop.reaches(
        &shop.orders,
        &[
            ("/api/users/../orders/1", "/1"),
            ("/api/users/%2e%2e/orders/1", "/1"),
            ("/api/users/.%2E/orders/./1", "/1"),
        ],
    );
    shop.reaches(&shop.users, &[("/api/%75sers/%7Ea", "/~a"), ("/api/users/x/..", "/")]);
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let shop = Shop::open();
    shop.refuses(
        400,
        "malformed request",
        &[
            "/api/users/%zz",           // P11
            "/api/users/%4",            // P11
            "/api/users/..%2forders/1", // P15
            "/api/users/..%5corders/1", // P15
            "/api%2Fusers/42",          // P16
            "/api/users/a%2Fb",         // P10, P16
            "/api/users/a\\b",          // P18
            "/api/users/a\"b",          // P18
            "/api/users/a<b>",          // P18
            "/api/users/a{b}",          // P18
            "/api/users/a`b",           // P18, but for what browsers send: see `browser_paths.rs`
            "/api/users/%00",
            "/api/users/%0d%0a",
            "/api/users/../../../etc", // a climb above the root
            "/api/users/..;/x",        // s-016
            "/api/users/a#b",          // s-015
            "/api/users/a;v=1/b",
            "/api;v=1/users/a",
        ],
    );
}

#[test]
fn no_route_is_404_without_an_echo_of_the_path() {
    let shop = Shop::open();
    // P06, P07, P20
    shop.refuses(404, "no route", &["/api/ordersX", "/API/Orders/7", "/api/nothing", "/", "/api", "/api/"]);
    let answer = shop.gateway.get("/api/nothing-like-this?secret=1");
    assert!(
        !answer.text().contains("nothing-like") && !answer.text().contains("secret"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_base_path_of_the_upstream_is_joined_with_one_slash() {
    // P21
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { users: { url: ORIGIN1/base } }
        routes:
          /cut/*: { upstream: users, rewrite: / }
          /kept/*: { upstream: users }
        ",
    );
    for (target, seen) in
        [("/cut/42", "/base/42"), ("/kept/42?a=1", "/base/kept/42?a=1"), ("/cut/", "/base/")]
    {
        assert_eq!(gateway.get(target).status, 200);
        assert_eq!(origin.last().target(), seen);
    }
    assert_eq!(gateway.get("/cut").status, 200);
    assert!(["/base", "/base/"].contains(&origin.last().target()), "{}", origin.last().target());
}

#[test]
fn alternatives_are_tried_in_the_order_written() {
    // P22: the first that matches, once, on the path alone.
    let (old, new) = (Origin::echo(), Origin::echo());
    let gateway = Gateway::start(
        &[&old, &new],
        r#"
        routes:
          /api/orders/*:
            - { match: { headers: { x-api-version: "2" } }, upstream: ORIGIN2, rewrite: /v2 }
            - { match: { query: { beta: { present: true } } }, upstream: ORIGIN2, rewrite: /beta }
            - { upstream: ORIGIN1, rewrite: / }
        "#,
    );
    let asked = |headers: &[(&str, &str)], target: &str| gateway.request("GET", target, headers, b"").status;
    assert_eq!(asked(&[("X-Api-Version", "2")], "/api/orders/7?beta=1"), 200);
    assert_eq!(new.last().target(), "/v2/7?beta=1");
    assert_eq!(asked(&[("X-Api-Version", "3")], "/api/orders/7?beta"), 200);
    assert_eq!(new.last().target(), "/beta/7?beta");
    assert_eq!(asked(&[], "/api/orders/7?x=/api/orders/"), 200);
    assert_eq!(old.only().target(), "/7?x=/api/orders/");
}

#[test]
fn prefixes_end_at_segment_borders_and_an_empty_rest_is_a_slash() {
    let (a, b) = (Origin::echo(), Origin::echo());
    let gateway = Gateway::start(
        &[&a, &b],
        "
        routes:
          /forecast/v1/*: { upstream: ORIGIN1, rewrite: / }
          /container1/*: { upstream: ORIGIN1, rewrite: / }
          /api/v1/*: { upstream: ORIGIN1, rewrite: / }
          /api/*: { upstream: ORIGIN2, rewrite: / }
          /stat/*: { upstream: ORIGIN1, rewrite: / }
          /cgi/*: { upstream: ORIGIN1, rewrite: /pre/bin }
          /dir/*: { upstream: ORIGIN1, rewrite: /pre/dir/ }
          /own/*: { upstream: ORIGIN1, rewrite: '/pre?own=1' }
        ",
    );
    for (origin, target, seen) in [
        (&a, "/forecast/v1/today", "/today"), // s-017
        (&a, "/container1", "/"),             // s-018
        (&b, "/api?x=1", "/?x=1"),            // s-019
        (&a, "/api/v1", "/"),
        (&b, "/api/v12/a", "/v12/a"),
        (&a, "/stat/us", "/us"),
        (&a, "/cgi", "/pre/bin"), // the prefix as it was written
        (&a, "/dir", "/pre/dir/"),
        (&a, "/dir/x", "/pre/dir/x"),
        (&a, "/own/x", "/pre/x?own=1"),
        (&a, "/own/x?theirs=1", "/pre/x?own=1"), // a query that the rewrite names
        // s-024
        (
            &a,
            "/cgi/ajax?m=get&ua=Thing/2.1%20(Box;%20Rev%209_3)%20(AB,%20cd)",
            "/pre/bin/ajax?m=get&ua=Thing/2.1%20(Box;%20Rev%209_3)%20(AB,%20cd)",
        ),
    ] {
        assert_eq!(gateway.get(target).status, 200, "{target}");
        assert_eq!(origin.last().target(), seen, "{target}");
    }
    assert_eq!(gateway.get("/status").problem(404), "no route"); // s-020
}

#[test]
fn an_open_route_does_not_swallow_a_longer_protected_name() {
    // s-021
    let (a, b) = (Origin::echo(), Origin::echo());
    let gateway = Gateway::start(
        &[&a, &b],
        r#"
        auth: { user: { jwt: { secret: "a secret of the tests, at least 32 bytes", algorithms: [HS256] } } }
        routes:
          /api/users/*: { upstream: ORIGIN1, rewrite: / }
          /api/users2/*: { upstream: ORIGIN2, rewrite: /, policies: { auth: user } }
        "#,
    );
    assert_eq!(gateway.get("/api/users2/1").problem(401), "missing token");
    assert_eq!((a.count(), b.count()), (0, 0));
    assert_eq!(gateway.get("/api/users/2/1").status, 200);
    assert_eq!(a.count(), 1);
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let gateway = Gateway::start(
        &[],
        "
        routes:
          /*: { respond: { body: everything } }
          /a/*: { respond: { body: below a } }
          /a/{x}: { respond: { body: one below a } }
          /a/{x}/c: { respond: { body: parameter then c } }
          /a/b/*: { respond: { body: below a b } }
          /a/b: { respond: { body: a b } }
          GET /m/{x}: { respond: { body: get m } }
          /m/{x}: { respond: { body: any m } }
          POST,PUT /n: { respond: { body: write n } }
          GET /n: { respond: { body: read n } }
        ",
    );
    let mut client = gateway.client();
    for (request, body) in [
        ("GET /", "everything"),
        ("GET /b", "everything"),
        ("GET /a", "below a"),
        ("GET /a/", "below a"),
        ("GET /a/z", "one below a"),
        ("GET /a/z/c", "parameter then c"),
        ("GET /a/z/d", "below a"),
        ("GET /a/b", "a b"),
        ("GET /a/b/c", "below a b"),
        ("GET /a/bb", "one below a"),
        ("GET /m/1", "get m"),
        ("PUT /m/1", "any m"),
        ("PUT /n", "write n"),
        ("POST /n", "write n"),
        ("GET /n", "read n"),
    ] {
        let (method, target) = request.split_once(' ').unwrap();
        let answer = client.request(method, target, &[], b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{request}");
    }
}

#[test]
fn another_method_is_405_with_what_is_allowed() {
    let gateway = Gateway::start(
        &[],
        "
        routes:
          GET /x: { respond: { body: x } }
          PUT,DELETE /x: { respond: { body: put x } }
          /x/*: { respond: { body: wider } }
          /*: { respond: { body: wider still } }
        ",
    );
    let answer = gateway.request("POST", "/x", &[], b"");
    assert_eq!(answer.problem(405), "method not allowed");
    let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    // H17, H18: TRACE and CONNECT never; a method nobody knows passes where no list is.
    assert_eq!(gateway.request("TRACE", "/x/1", &[], b"").status, 405);
    assert_eq!(gateway.request("BREW", "/x/1", &[], b"").status, 200);
    assert_eq!(gateway.request("BREW", "/x", &[], b"").problem(405), "method not allowed");
}

#[test]
fn head_is_served_by_get_routes() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          GET /here: { respond: { body: hello } }
          GET /there: { upstream: ORIGIN1 }
        ",
    );
    let mut client = gateway.client();
    let answer = client.request("HEAD", "/here", &[], b"");
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("5"), 0));
    let answer = client.request("HEAD", "/there", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(origin.only().method(), "HEAD");
    assert_eq!(client.request("HEAD", "/nowhere", &[], b"").status, 404);
    assert_eq!(client.get("/here").text(), "hello", "the same connection serves on");
}

#[test]
fn match_asks_headers_query_and_cookies() {
    let gateway = Gateway::start(
        &[],
        r#"
        routes:
          /h:
            - { match: { headers: { x-a: "1", x-b: { present: true } } }, respond: { body: both } }
            - { match: { headers: { x-a: { regex: '^v\d+$' } } }, respond: { body: version } }
            - { match: { headers: { x-c: { present: false } } }, respond: { body: without c } }
          /q:
            - { match: { query: { a: "x y" } }, respond: { body: text } }
            - { match: { query: { b: { regex: '^\d+$' } } }, respond: { body: digits } }
            - { match: { query: { flag: { present: true } } }, respond: { body: flag } }
          /c:
            - { match: { cookies: { side: new } }, respond: { body: new } }
            - { match: { cookies: { side: { present: true } } }, respond: { body: some } }
        "#,
    );
    let body = |target: &str, headers: &[(&str, &str)]| {
        let answer = gateway.request("GET", target, headers, b"");
        if answer.status == 404 { format!("404 {}", answer.problem(404)) } else { answer.text() }
    };
    assert_eq!(body("/h", &[("X-A", "1"), ("X-B", "")]), "both");
    assert_eq!(body("/h", &[("X-A", "1")]), "without c");
    assert_eq!(body("/h", &[("x-a", "v12"), ("x-c", "")]), "version");
    assert_eq!(body("/h", &[("x-a", "v1x"), ("x-c", "")]), "404 no route");
    assert_eq!(body("/q?a=x%20y", &[]), "text");
    assert_eq!(body("/q?a=x+y", &[]), "text");
    assert_eq!(body("/q?b=12", &[]), "digits");
    assert_eq!(body("/q?b=12x&flag", &[]), "flag");
    assert_eq!(body("/q?a=z", &[]), "404 no route");
    assert_eq!(body("/c", &[("Cookie", "a=b; side=new")]), "new");
    assert_eq!(body("/c", &[("Cookie", "side=old")]), "some");
    assert_eq!(body("/c", &[("Cookie", "sidex=new")]), "404 no route");
}

#[test]
fn match_asks_hosts_addresses_and_conditions() {
    let gateway = Gateway::start(
        &[],
        r#"
        routes:
          /host:
            - { match: { hosts: [a.test] }, respond: { body: a } }
            - { match: { hosts: ["*.b.test"] }, respond: { body: below b } }
          /ip:
            - { match: { client_ip: [10.0.0.0/8] }, respond: { body: inside } }
            - { match: { client_ip: [127.0.0.0/8] }, respond: { body: loopback } }
          /when/*:
            - { match: { when: 'request.method == "PUT" && rest == "/x/y"' }, respond: { body: put } }
            - { match: { when: '"x-a" in request.headers && request.headers["x-a"].startsWith("v")' }, respond: { body: v } }
            - { match: { when: 'request.headers["x-gone"] == "1"' }, respond: { body: gone } }
        "#,
    );
    let body = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let answer = gateway.request(method, target, headers, b"");
        if answer.status == 404 { "404".to_owned() } else { answer.text() }
    };
    assert_eq!(body("GET", "/host", &[("Host", "A.test:8080")]), "a");
    assert_eq!(body("GET", "/host", &[("Host", "x.b.test")]), "below b");
    assert_eq!(body("GET", "/host", &[("Host", "b.test")]), "404");
    assert_eq!(body("GET", "/ip", &[("X-Forwarded-For", "10.0.0.1")]), "loopback");
    assert_eq!(body("PUT", "/when/x/y", &[]), "put");
    assert_eq!(body("GET", "/when/x", &[("x-a", "v1")]), "v");
    // What is absent is an error, and an error never matches.
    assert_eq!(body("GET", "/when/x", &[]), "404");
}

#[test]
fn hosts_are_told_apart_by_the_target_and_one_host_line() {
    let (a, b) = (Origin::echo(), Origin::echo());
    let gateway = Gateway::start(
        &[&a, &b],
        "
        routes:
          /api/*:
            - { match: { hosts: [a.test] }, upstream: ORIGIN1, rewrite: / }
            - { match: { hosts: [b.test] }, upstream: ORIGIN2, rewrite: / }
        ",
    );
    // s-025: Host never wins over the target.
    let answer = gateway.raw("GET http://a.test/api/x HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(b.count(), 0);
    match answer.status {
        200 => assert_eq!(a.only().line, "GET /x HTTP/1.1"),
        status => assert_eq!((status, a.count()), (400, 0)),
    }
    let before = a.count();
    // s-026, H22
    for head in ["Host: a.test\r\nHost: b.test\r\n", "Host: a.test\r\nHost: a.test\r\n", "", "Host: a b\r\n"]
    {
        let mut client = gateway.client();
        let answer = client.send(format!("GET /api/x HTTP/1.1\r\n{head}\r\n")).read();
        assert_eq!(answer.problem(400), "malformed request", "{head:?}");
        assert!(client.closed(), "{head:?}");
    }
    assert_eq!((a.count(), b.count()), (before, 0));
}

#[test]
fn the_upstream_gets_the_host_that_the_route_says() {
    // H01, s-027
    let origin = Origin::echo();
    let named = format!("http://localhost:{}", origin.address().port());
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "
            upstreams: {{ named: {{ url: {named} }} }}
            routes:
              /default/*: {{ upstream: named }}
              /upstream/*: {{ upstream: ORIGIN1, host: upstream }}
              /client/*: {{ upstream: named, host: client }}
              /fixed/*: {{ upstream: named, host: inner.test }}
            "
        ),
    );
    let port = origin.address().port();
    for (target, host) in [
        ("/default/x", format!("localhost:{port}")),
        ("/upstream/x", format!("127.0.0.1:{port}")),
        ("/client/x", "gw.test".to_owned()),
        ("/fixed/x", "inner.test".to_owned()),
    ] {
        assert_eq!(gateway.get(target).status, 200, "{target}");
        assert_eq!(origin.last().header("host"), Some(host.as_str()), "{target}");
        assert_eq!(origin.last().header("x-forwarded-host"), Some("gw.test"), "{target}");
    }
}

#[test]
fn a_rewrite_is_a_template_whose_values_stay_in_their_place() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        r#"
        routes:
          /u/{id}/orders/{order}: { upstream: ORIGIN1, rewrite: "/orders/{order}?user={id}" }
          /p/{id}: { upstream: ORIGIN1, rewrite: "/people/{id}/card" }
          /host/*: { upstream: ORIGIN1, rewrite: "/{request.host}" }
        "#,
    );
    for (target, seen) in [
        ("/u/42/orders/7", "/orders/7?user=42"),
        ("/u/a%26role=admin/orders/7", "/orders/7?user=a%26role%3Dadmin"),
        // D14, D15: a value can never add a segment or a query.
        ("/p/1%3Frole=admin%26x", "/people/1%3Frole=admin&x/card"),
        ("/p/a%20b?q=1&q=2", "/people/a%20b/card?q=1&q=2"),
        ("/host/a/b", "/gw.test/a/b"),
    ] {
        let answer = gateway.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let got = origin.last().target().to_owned();
        // Which of the harmless bytes are escaped is not laid down.
        let plain = |text: &str| text.replace("%3D", "=").replace("%26", "&");
        assert_eq!(plain(&got), plain(seen), "{target} as {got}");
    }
    assert_eq!(gateway.get("/u/a%26role=admin/orders/7").status, 200);
    assert!(origin.last().target().contains("%26role"), "{}", origin.last().target());
    assert_eq!(gateway.get("/u//orders/7").problem(404), "no route");
}

#[test]
fn redirects_name_what_changes() {
    let gateway = Gateway::start(
        &[],
        r#"
        routes:
          /old/{id}: { redirect: { to: "https://new.test/items/{id}", status: 301 } }
          /usual: { redirect: { to: "/elsewhere" } }
          /secure/*: { redirect: { scheme: https, status: 308 } }
          /moved/*: { redirect: { host: other.test, path: "/there", status: 307 } }
        "#,
    );
    for (target, status, location) in [
        ("/old/a%20b", 301, "https://new.test/items/a%20b"),
        ("/usual", 308, "/elsewhere"),
        ("/secure/x/y?a=1&b", 308, "https://gw.test/secure/x/y?a=1&b"),
        ("/moved/x?a=1", 307, "http://other.test/there?a=1"),
    ] {
        let answer = gateway.get(target);
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{target}");
        assert!(answer.headers.has("x-request-id"));
    }
    // Without a host there is no URL, unless the redirect names one.
    assert_eq!(gateway.raw("GET /secure/x HTTP/1.0\r\n\r\n").status, 400);
    let answer = gateway.raw("GET /moved/x HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (307, Some("http://other.test/there")));
    // s-011: two slashes at the start never become a host.
    let answer = gateway.get("//evil.test/x");
    assert_eq!(answer.status, 404);
    assert!(!answer.headers.has("location"));
}

#[test]
fn a_route_can_answer_in_place() {
    let gateway = Gateway::start(
        &[],
        r#"
        routes:
          /text: { respond: { body: "as it {stands}" } }
          /teapot: { respond: { status: 418, body: short, headers: { x-who: "{request.method}" } } }
          /empty: { respond: { status: 204 } }
          /json/{id}: { respond: { body: { id: "{id}", count: 3, list: [true, null], host: "at {request.host}", n: "{1 + 1}" } } }
        "#,
    );
    let mut client = gateway.client();
    let answer = client.get("/text");
    assert_eq!((answer.status, answer.text().as_str()), (200, "as it {stands}"));
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let answer = client.get("/teapot");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-who")), (418, "short", Some("GET")));
    let answer = client.get("/empty");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(!answer.headers.has("transfer-encoding") && !answer.headers.has("content-length"));
    let answer = client.get("/json/a%22b");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), r#"{"id":"a\"b","count":3,"list":[true,null],"host":"at gw.test","n":2}"#);
}

#[test]
fn listeners_share_routes_and_add_their_own() {
    let gateway = Gateway::start(
        &[],
        r#"
        listeners:
          public:
            listen: 127.0.0.1:0
            hosts: [shop.test, "*.shop.test"]
            routes:
              /home: { respond: { body: public home } }
              /own: { respond: { body: public alone } }
          inner:
            listen: 127.0.0.1:0
        routes:
          /home: { respond: { body: shared home } }
          /shared: { respond: { body: shared } }
        "#,
    );
    let body = |listener: &str, host: &str, target: &str| {
        let answer =
            Client::connect(gateway.listener(listener)).request("GET", target, &[("Host", host)], b"");
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    };
    assert_eq!(body("public", "shop.test", "/home"), "public home");
    assert_eq!(body("public", "www.shop.test", "/own"), "public alone");
    assert_eq!(body("public", "shop.test", "/shared"), "shared");
    assert_eq!(body("inner", "anything.test", "/home"), "shared home");
    assert_eq!(body("inner", "anything.test", "/own"), "404");
    // A host that the listener does not serve finds nothing there.
    assert!(["404", "421"].contains(&body("public", "other.test", "/shared").as_str()));
}

#[test]
fn a_miss_is_guarded_like_a_hit() {
    // Section 3: 404 and 405 come after the policies, so that nobody probes routes without a token.
    let gateway = Gateway::start(
        &[],
        r#"
        auth: { user: { jwt: { secret: "a secret of the tests, at least 32 bytes", algorithms: [HS256] } } }
        policies: { auth: user }
        routes:
          GET /x: { respond: { body: x } }
          /open: { respond: { body: open }, policies: { auth: none } }
        "#,
    );
    assert_eq!(gateway.get("/nowhere").problem(401), "missing token");
    assert_eq!(gateway.request("POST", "/x", &[], b"").problem(401), "missing token");
    assert_eq!(gateway.get("/open").text(), "open");
    let token = format!("Bearer {}", crate::support::token::for_subject("alice"));
    let with = [("Authorization", token.as_str())];
    assert_eq!(gateway.request("GET", "/nowhere", &with, b"").problem(404), "no route");
    assert_eq!(gateway.request("POST", "/x", &with, b"").problem(405), "method not allowed");
}

#[test]
fn an_open_route_is_an_open_route() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let echoed = gateway.request("PATCH", "/api/a?b", &[("X-A", "1")], b"body").json();
    assert_eq!(echoed["line"], "PATCH /a?b HTTP/1.1");
    assert_eq!(echoed["body"], "body");
}
