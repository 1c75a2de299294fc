//! One public address, by the word of trusted proxies: every row of the table of docs/proxies.md, over HTTP/1.1 and
//! HTTP/2, and every place that uses it.

use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use crate::support::h2::{Session, block_on, request};
use crate::support::parts::table;
use crate::support::{Client, Gateway, Origin};

const PAGE: &str = include_str!("../../docs/proxies.md");

/// What stands between backquotes in a cell, each piece of its own.
fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Name and value of a line.
fn line(text: &str) -> (&str, &str) {
    let (name, value) = text.split_once(':').unwrap_or_else(|| panic!("{text}"));
    (name, value.trim())
}

/// A gateway that trusts its client, and the proxies of the page, with these fields.
fn behind(origins: &[&Origin], fields: &str, routes: &str) -> Gateway {
    let fields = if fields == "default" { String::new() } else { format!("trusted_headers: {fields}\n") };
    let text = format!("listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n{fields}{routes}");
    Gateway::start(origins, &text)
}

const WHO: &str = "
routes:
  /map: { respond: { body: { is: '{client.ip} {request.scheme}://{request.headers[\"host\"]}' } } }
";

#[test]
fn every_row_of_the_page() {
    let rows = table(PAGE, "Lines");
    assert!(rows.len() >= 25, "{}", rows.len());
    let mut settings: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    settings.sort_unstable();
    settings.dedup();
    for setting in settings {
        let gateway = behind(&[], setting.trim_matches('`'), WHO);
        let mut client = gateway.client();
        for row in rows.iter().filter(|row| row[1] == setting) {
            let lines: Vec<(&str, &str)> = codes(row[0]).into_iter().map(line).collect();
            let refused = row[2] == "400";
            let ip = if row[2] == "the proxy" { "127.0.0.1" } else { row[2].trim_matches('`') };
            let expected = json!({ "is": format!("{ip} {}", row[3].trim_matches('`')) });
            let all: Vec<(&str, &str)> =
                [("Host", "gw.internal:8080")].into_iter().chain(lines.iter().copied()).collect();
            let answer = client.request("GET", "/map", &all, b"");
            if refused {
                assert_eq!(answer.problem(400), "malformed request", "{row:?}");
            } else {
                assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{row:?}");
            }
            block_on(async {
                let session = Session::connect(gateway.address()).await;
                let mut asked = request("GET", "/map", &lines);
                *asked.uri_mut() = "http://gw.internal:8080/map".parse().unwrap();
                let answer = session.open(asked, true).await.unwrap().whole().await.unwrap();
                if refused {
                    assert_eq!(answer.status, 400, "HTTP/2: {row:?}");
                } else {
                    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                    assert_eq!((answer.status, body), (200, expected), "HTTP/2: {row:?}");
                }
            });
        }
    }
}

/// What a public load balancer says for a client at `https://shop.example.com`.
const PUBLIC: [(&str, &str); 3] = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example.com"),
];

/// These lines behind those of the load balancer.
fn and<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    PUBLIC.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn all_that_asks_for_the_host_gets_the_public_one() {
    let origin = Origin::echo();
    let gateway = behind(
        &[&origin],
        "default",
        "
routes:
  /api/*: { upstream: ORIGIN1 }
  /as-client/*: { upstream: ORIGIN1, host: client }
  /kept/*: { redirect: { path: '/new{rest}' } }
  /secure/*: { redirect: { scheme: https } }
  /written: { redirect: { to: '{request.scheme}://{request.host}/there' } }
  /hosts:
    - { match: { hosts: [shop.example.com] }, respond: { body: public } }
    - { respond: { body: inner } }
  /header: { respond: { body: { is: '{request.headers[\"host\"]}' } } }
",
    );
    let mut client = gateway.client();
    let mut get = |target: &str| client.request("GET", target, &PUBLIC, b"");
    for (target, location) in [
        ("/kept/x?a=1", "https://shop.example.com/new/x?a=1"),
        ("/secure/x", "https://shop.example.com/secure/x"),
        ("/written", "https://shop.example.com/there"),
    ] {
        assert_eq!(get(target).header("location"), Some(location), "{target}");
    }
    assert_eq!(get("/hosts").text(), "public");
    assert_eq!(get("/header").json()["is"], "shop.example.com");
    get("/api/x");
    let outgoing = |name: &str| origin.last().headers.all(name).join("|");
    let service = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"].map(outgoing);
    assert_eq!(service, ["https", "shop.example.com", "443", "203.0.113.9"]);
    assert_eq!(outgoing("x-forwarded-for"), "203.0.113.9, 127.0.0.1");
    assert_eq!(outgoing("host"), origin.address().to_string(), "the upstream's own");
    get("/as-client/x");
    assert_eq!(outgoing("host"), "shop.example.com");
    let lines = and(&[("X-Forwarded-Port", "8443")]);
    client.request("GET", "/as-client/x", &lines, b"");
    let service = ["host", "x-forwarded-host", "x-forwarded-port"].map(outgoing);
    assert_eq!(service, ["shop.example.com:8443", "shop.example.com:8443", "8443"]);
    assert_eq!(gateway.log(8)[0]["host"], "shop.example.com");
}

#[test]
fn a_redirect_to_https_ends_behind_any_number_of_proxies() {
    let gateway = behind(
        &[],
        "default",
        "
routes:
  /*:
    - { match: { when: 'request.scheme == \"http\"' }, redirect: { scheme: https } }
    - { respond: { body: here } }
",
    );
    let mut client = gateway.client();
    for (way, schemes) in [
        ("203.0.113.9", "https"),
        ("203.0.113.9, 10.0.0.2", "https, https"),
        ("203.0.113.9, 10.0.0.2", "https,http"),
        ("203.0.113.9, 10.0.0.3, 10.0.0.2", "https, http, http"),
    ] {
        let lines = [("X-Forwarded-For", way), ("X-Forwarded-Proto", schemes)];
        assert_eq!(client.request("GET", "/x", &lines, b"").text(), "here", "{schemes}");
    }
    // What a client writes in front of what its proxy adds is no word of a proxy.
    for (way, schemes) in [("203.0.113.9", "https, http"), ("10.0.0.7, 203.0.113.9", "https, http")] {
        let lines = [("X-Forwarded-For", way), ("X-Forwarded-Proto", schemes)];
        let answer = client.request("GET", "/x", &lines, b"");
        assert_eq!(answer.header("location"), Some("https://gw.test/x"), "{schemes}");
    }
}

#[test]
fn an_empty_address_does_not_go_on() {
    let origin = Origin::echo();
    let gateway = behind(&[&origin], "default", "routes: { /*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    for (lines, sent) in [
        (&[""][..], "127.0.0.1"),
        (&["", ""], "127.0.0.1"),
        (&[" , ,"], "127.0.0.1"),
        (&["203.0.113.9,, 10.0.0.2,"], "203.0.113.9, 10.0.0.2, 127.0.0.1"),
        (&["203.0.113.9", "", "10.0.0.2"], "203.0.113.9, 10.0.0.2, 127.0.0.1"),
    ] {
        let lines: Vec<(&str, &str)> = lines.iter().map(|value| ("X-Forwarded-For", *value)).collect();
        assert_eq!(client.request("GET", "/x", &lines, b"").status, 200);
        assert_eq!(origin.last().headers.all("x-forwarded-for"), [sent], "{lines:?}");
    }
}

#[test]
fn an_address_that_another_field_gave_is_the_first_of_the_way() {
    let origin = Origin::echo();
    let gateway = behind(
        &[&origin],
        "[forwarded, x-real-ip]",
        "routes: { /*: { upstream: ORIGIN1 }, /seen: { respond: { body: { is: '{\"x-forwarded-for\" in request.headers}' } } } }",
    );
    let mut client = gateway.client();
    for line in [("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "203.0.113.9")] {
        client.request(
            "GET",
            "/x",
            &[line, ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil.test")],
            b"",
        );
        let seen = origin.last();
        assert_eq!(seen.headers.all("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
        assert_eq!(seen.headers.all("x-real-ip"), ["203.0.113.9"]);
        assert_eq!(seen.headers.all("x-forwarded-host"), ["gw.test"]);
        assert!(!seen.has("forwarded"));
    }
    let seen = client.request("GET", "/seen", &[("X-Forwarded-For", "6.6.6.6")], b"");
    assert_eq!(seen.json()["is"].to_string().trim_matches('"'), "false", "what is not believed is removed");
}

#[test]
fn an_id_of_a_proxy_is_one_line_of_a_bounded_length() {
    let origin = Origin::echo();
    let gateway = behind(&[&origin], "default", "routes: { /*: { upstream: ORIGIN1 } }");
    let mut client = gateway.client();
    let mut id = |ids: &[&str]| {
        let lines: Vec<(&str, &str)> = ids.iter().map(|id| ("X-Request-Id", *id)).collect();
        let answer = client.request("GET", "/x", &lines, b"");
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(origin.last().headers.all("x-request-id"), [id.as_str()]);
        id
    };
    let (least, most) = ("a".repeat(8), "b".repeat(128));
    assert_eq!([id(&[&least]), id(&[&most])], [least.clone(), most.clone()]);
    let (short, long) = ("a".repeat(7), "b".repeat(129));
    for ids in [
        &["first-id", "second-id"][..],
        &["same-id-1", "same-id-1"],
        &[&short],
        &[&long],
        &["first-id, second-id"],
    ] {
        let made = id(ids);
        assert_eq!(made.len(), 36, "{ids:?}: {made}");
    }
}

#[test]
fn listeners_of_one_address_are_chosen_by_the_host_that_each_believes() {
    let address: SocketAddr =
        TcpListener::bind(SocketAddr::from(([127, 0, 77, 9], 0))).unwrap().local_addr().unwrap();
    let gateway = Gateway::start(
        &[],
        &format!(
            r#"
listeners:
  shop:   {{ listen: {address}, hosts: [shop.example.com], trusted_proxies: [127.0.0.0/8] }}
  closed: {{ listen: {address}, hosts: [closed.example.com] }}
  wiki:   {{ listen: {address}, hosts: [wiki.example.com], trusted_proxies: [127.0.0.0/8], trusted_headers: [forwarded] }}
  rest:   {{ listen: {address} }}
routes:
  /who: {{ respond: {{ body: {{ is: "{{listener}} {{request.host}}" }} }} }}
"#
        ),
    );
    let mut client = Client::connect(address);
    let asked = [
        (("X-Forwarded-Host", "shop.example.com"), "shop shop.example.com"),
        (("X-Forwarded-Host", "closed.example.com"), "rest gw.test"),
        (("X-Forwarded-Host", "wiki.example.com"), "rest gw.test"),
        (("Forwarded", "host=wiki.example.com"), "wiki wiki.example.com"),
        (("Forwarded", "host=shop.example.com"), "rest gw.test"),
        (("Forwarded", "host=\"wiki.example.com"), "rest gw.test"),
    ];
    for (line, is) in asked {
        assert_eq!(client.request("GET", "/who", &[line], b"").json()["is"], is, "{line:?}");
        block_on(async {
            let session = Session::connect(address).await;
            let answer =
                session.open(request("GET", "/who", &[line]), true).await.unwrap().whole().await.unwrap();
            assert_eq!(answer.body, format!("{{\"is\":\"{is}\"}}").into_bytes(), "HTTP/2: {line:?}");
        });
    }
    // The host of a listener is the public one also where it is the only one that could be meant.
    let line = ("X-Forwarded-Host", "elsewhere.example.com");
    let answer = client.request("GET", "/who", &[("Host", "shop.example.com"), line], b"");
    assert_eq!(answer.json()["is"], "rest shop.example.com", "the shop is asked for another host");
    drop(gateway);
}

#[test]
fn an_origin_is_judged_by_the_public_address() {
    let gateway = behind(
        &[],
        "default",
        "
policies: { cors: { origins: ['https://app.test'] } }
routes: { /socket: { respond: { body: open } } }
",
    );
    let mut client = gateway.client();
    let mut open = |origin: &str, lines: &[(&str, &str)]| {
        let mut all = lines.to_vec();
        all.extend([("Origin", origin), ("Sec-WebSocket-Key", "a"), ("Sec-WebSocket-Version", "13")]);
        client.request("GET", "/socket", &all, b"").status
    };
    assert_eq!(open("https://shop.example.com", &PUBLIC), 200, "its own");
    assert_eq!(open("https://shop.example.com:443", &PUBLIC), 200);
    assert_eq!(open("https://shop.example.com", &and(&[("X-Forwarded-Port", "443")])), 200);
    assert_eq!(open("https://shop.example.com:8443", &and(&[("X-Forwarded-Port", "8443")])), 200);
    assert_eq!(open("https://app.test", &PUBLIC), 200, "named");
    assert_eq!(open("http://shop.example.com", &PUBLIC), 403, "another scheme");
    assert_eq!(open("https://shop.example.com:8443", &PUBLIC), 403, "another port");
    assert_eq!(open("https://gw.test", &PUBLIC), 403, "the inner host is nobody's origin");
    assert_eq!(open("http://gw.test", &[]), 200);
}

#[test]
fn what_was_kept_for_one_public_host_is_not_given_to_another() {
    let origin = Origin::serve(|turn| {
        let host = turn.request().header("x-forwarded-host").unwrap_or_default().to_owned();
        turn.answer(200, &[("Cache-Control", "max-age=60"), ("Vary", "X-Forwarded-Host")], host);
    });
    let gateway =
        behind(&[&origin], "default", "routes: { /*: { upstream: ORIGIN1, policies: { cache: {} } } }");
    let mut client = gateway.client();
    for _ in 0..2 {
        for host in ["a.test", "b.test", "b.test:8443"] {
            assert_eq!(client.request("GET", "/x", &[("X-Forwarded-Host", host)], b"").text(), host);
        }
    }
    assert_eq!(origin.count(), 3, "each was asked for once");
}

#[test]
fn a_port_that_goes_without_saying_makes_no_other_host() {
    let origin = Origin::serve(|turn| {
        let host = turn.request().headers.one("x-forwarded-host").unwrap_or("none").to_owned();
        turn.answer(200, &[("Cache-Control", "max-age=60")], format!("{host} {}", turn.number()));
    });
    let gateway = behind(
        &[&origin],
        "default",
        "routes: { /*: { upstream: ORIGIN1, policies: { cache: {} } }, /new/*: { upstream: ORIGIN1 } }",
    );
    let mut client = gateway.client();
    let mut ask = |method: &str, target: &str, scheme: &str, host: &str| {
        let lines = [("X-Forwarded-Proto", scheme), ("X-Forwarded-Host", host)];
        client.request(method, target, &lines, b"").text()
    };
    assert_eq!(ask("GET", "/new/x", "https", "a.test:"), "a.test 0", "an empty port is none");
    for host in ["a.test", "a.test:", "A.test:443"] {
        assert_eq!(ask("GET", "/x", "https", host), "a.test 1", "{host}");
    }
    assert_eq!(ask("GET", "/x", "https", "a.test:80"), "a.test:80 2");
    ask("POST", "/x", "https", "a.test:443");
    assert_eq!(ask("GET", "/x", "https", "a.test"), "a.test 4", "what was changed under another spelling");
}

#[test]
fn an_explanation_has_the_public_address_and_its_listener() {
    let config = "
listeners:
  shop: { listen: 127.0.0.1:8081, hosts: [shop.example.com], trusted_proxies: [10.0.0.0/8] }
  rest: { listen: 127.0.0.1:8081 }
routes: { /x: { redirect: { path: /y } } }
";
    let explain = |client: &str| {
        let arguments = [
            ["explain", "-c", "CONFIG"].as_slice(),
            &["GET", "http://gw.internal/x", "--client-ip", client, "--output", "json"],
            &["-H", "x-forwarded-host: shop.example.com", "-H", "x-forwarded-proto: https"],
        ];
        let out = Gateway::prepare(&[]).run(&arguments.concat(), config);
        let outgoing: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        (outgoing["listener"]["name"].clone(), outgoing["action"].to_string())
    };
    let (listener, action) = explain("10.0.0.2");
    assert!(listener == "shop" && action.contains("https://shop.example.com/y"), "{listener} {action}");
    let (listener, action) = explain("192.0.2.1");
    assert!(listener == "rest" && action.contains("http://gw.internal/y"), "{listener} {action}");
}
