//! Answers of services in the words of their clients: every row of the table of docs/proxies.md, over HTTP/1.1 and HTTP/2,
//! and the prefix that services are given.

use crate::support::h2::{Session, block_on, request};
use crate::support::parts::table;
use crate::support::{Gateway, Origin, Turn};

const PAGE: &str = include_str!("../../docs/proxies.md");

fn rows() -> Vec<Vec<&'static str>> {
    table(PAGE, "The service says")
}

/// What stands between backquotes.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or_else(|| panic!("{cell}"))
}

/// Name and value of a line.
fn line(cell: &str) -> (&str, &str) {
    let (name, value) = code(cell).split_once(": ").unwrap_or_else(|| panic!("{cell}"));
    (name, value)
}

/// What a public load balancer says for a client at `https://shop.example.com`.
const PUBLIC: [(&str, &str); 2] = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example.com")];

#[test]
fn every_row_of_the_page() {
    let rows = rows();
    assert!(rows.len() >= 30, "{}", rows.len());
    let routes: String = (rows.iter().enumerate())
        .map(|(at, row)| {
            format!(
                "    - {{ match: {{ headers: {{ x-row: \"{at}\" }} }}, upstream: app, {} }}\n",
                code(row[1])
            )
        })
        .collect();
    let origin = Origin::serve(|turn: &mut Turn| {
        let row: usize = turn.request().header("x-row").unwrap().parse().unwrap();
        turn.answer(200, &[line(table(PAGE, "The service says")[row][0])], "");
    });
    let gateway = Gateway::start(
        &[&origin],
        &format!(
            "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8]\n\
             upstreams: {{ app: {{ endpoints: [ORIGIN1, \"http://app.internal:3000\"] }} }}\n\
             routes:\n  /wiki/*:\n{routes}"
        ),
    );
    let mut client = gateway.client();
    for (at, row) in rows.iter().enumerate() {
        let (name, value) = line(row[2]);
        let number = at.to_string();
        let lines = [PUBLIC[0], PUBLIC[1], ("X-Row", number.as_str())];
        let answer = client.request("GET", "/wiki/x", &lines, b"");
        assert_eq!((answer.status, answer.header(name)), (200, Some(value)), "{row:?}");
        block_on(async {
            let session = Session::connect(gateway.address()).await;
            let answer = session.open(request("GET", "/wiki/x", &lines), true).await.unwrap();
            let answer = answer.whole().await.unwrap();
            assert_eq!(answer.headers.get(name).unwrap(), value, "HTTP/2: {row:?}");
        });
    }
}

#[test]
fn a_service_is_given_the_prefix_that_was_stripped() {
    let origin = Origin::echo();
    let routes = "
upstreams: { based: { url: ORIGIN1/base } }
routes:
  /wiki/*: { upstream: ORIGIN1, rewrite: / }
  /u/{id}/files/*: { upstream: ORIGIN1, rewrite: / }
  /shop/v2/*: { upstream: ORIGIN1, rewrite: /v2 }
  /other/*: { upstream: ORIGIN1, rewrite: /v3 }
  /plain/*: { upstream: ORIGIN1 }
  /based/*: { upstream: based, rewrite: / }
  /whole: { upstream: ORIGIN1, rewrite: /w }
  /: { redirect: { scheme: https } }
";
    let gateway = Gateway::start(&[&origin], routes);
    let forged = ("X-Forwarded-Prefix", "/forged");
    for (target, prefix) in [
        ("/wiki/x", &["/wiki"][..]),
        ("/wiki", &["/wiki"]),
        ("/u/a%20b/files/x", &["/u/a%20b/files"]),
        ("/shop/v2/x", &["/shop"]),
        ("/other/x", &[]),
        ("/plain/x", &[]),
        ("/based/x", &[]),
        ("/whole", &[]),
    ] {
        let answer = gateway.request("GET", target, &[forged, ("X_Forwarded_Prefix", "/forged")], b"");
        assert_eq!(
            (answer.status, origin.last().headers.all("x-forwarded-prefix")),
            (200, prefix.to_vec()),
            "{target}"
        );
    }
    // A proxy that is not asked for it, and one that is.
    let trusted = |fields: &str| {
        let text = format!(
            "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8]\ntrusted_headers: [{fields}]{routes}"
        );
        Gateway::start(&[&origin], &text)
    };
    let gateway = trusted("x-forwarded-for");
    gateway.request("GET", "/wiki/x", &[forged], b"");
    assert_eq!(origin.last().headers.all("x-forwarded-prefix"), ["/wiki"]);
    let gateway = trusted("x-forwarded-prefix");
    for (target, sent, prefix) in [
        ("/wiki/x", &["/outer"][..], &["/outer/wiki"][..]),
        ("/wiki/x", &["/outer/"], &["/outer/wiki"]),
        ("/plain/x", &["/outer"], &["/outer"]),
        ("/whole", &["/outer"], &["/outer"]),
        ("/wiki/x", &["/a", "/b"], &["/wiki"]),
        ("/wiki/x", &["//evil.test"], &["/wiki"]),
        ("/wiki/x", &["/a, /b"], &["/wiki"]),
        ("/wiki/x", &["/../x"], &["/wiki"]),
    ] {
        let lines: Vec<(&str, &str)> = sent.iter().map(|value| ("X-Forwarded-Prefix", *value)).collect();
        gateway.request("GET", target, &lines, b"");
        assert_eq!(origin.last().headers.all("x-forwarded-prefix"), prefix, "{target} {sent:?}");
    }
    let answer = gateway.request("GET", "/", &[("X-Forwarded-Prefix", "/outer")], b"");
    assert_eq!(answer.header("location"), Some("https://gw.test/outer/"));
}

#[test]
fn an_outer_prefix_is_a_part_of_what_is_rewritten() {
    let origin = Origin::serve(|turn| {
        let location = turn.request().target().split_once('=').unwrap().1.to_owned();
        turn.answer(302, &[("Location", &location)], "");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
listen: 127.0.0.1:0
trusted_proxies: [127.0.0.0/8]
trusted_headers: [x-forwarded-prefix]
routes: { /wiki/*: { upstream: ORIGIN1, rewrite: / }, /plain/*: { upstream: ORIGIN1 } }
",
    );
    for (target, given, location) in [
        ("/wiki/x", "/login", "/outer/wiki/login"),
        ("/wiki/x", "/outer/wiki/login", "/outer/wiki/login"),
        ("/plain/x", "/plain/y", "/outer/plain/y"),
    ] {
        let target = format!("{target}?to={given}");
        let answer = gateway.request("GET", &target, &[("X-Forwarded-Prefix", "/outer")], b"");
        assert_eq!(answer.header("location"), Some(location), "{target}");
    }
}

#[test]
fn a_client_that_names_no_host_is_sent_to_a_path() {
    let origin = Origin::serve(|turn| {
        let host = turn.request().header("host").unwrap().to_owned();
        let cookie = "a=1; Domain=127.0.0.1";
        turn.answer(302, &[("Location", &format!("http://{host}/next")), ("Set-Cookie", cookie)], "");
    });
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }");
    let answer = gateway.raw("GET /api/x HTTP/1.0\r\n\r\n");
    assert_eq!((answer.header("location"), answer.header("set-cookie")), (Some("/api/next"), Some("a=1")));
}

#[test]
fn an_endpoint_is_internal_by_its_bare_address_too() {
    let origin = Origin::serve(|turn| turn.answer(302, &[("Location", "http://127.0.0.1/next")], ""));
    let config = format!(
        "routes: {{ /api/*: {{ upstream: 'http://localhost:{}', rewrite: / }} }}",
        origin.address().port()
    );
    let answer = Gateway::start(&[], &config).get("/api/x");
    assert_eq!(answer.header("location"), Some("http://gw.test/api/next"));
}
