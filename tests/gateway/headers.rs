//! Who may say what: hop-by-hop lines, forwarded addresses, identities and ids. Ids in comments are rows (H, A) and
//! cases (s) of the catalogue of behaviour.

use serde_json::json;

use crate::support::{Gateway, Origin, Seen, token};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1 } }";

/// Tokens required on `/api`, none on `/public`; the upstream is told the subject.
fn guarded(origin: &Origin) -> Gateway {
    let config = format!(
        r#"
        auth:
          user:
            jwt: {{ secret: "{}", algorithms: [HS256], issuer: "https://idp.test", audience: portcullis }}
            identity: {{ x-user-id: sub }}
        routes:
          /api/*: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
          /public/*: {{ upstream: ORIGIN1 }}
        "#,
        token::SECRET
    );
    Gateway::start(&[origin], &config)
}

fn bearer(subject: &str) -> String {
    let claims = json!({
        "sub": subject, "aud": "portcullis", "iss": "https://idp.test", "iat": token::now(), "exp": token::now() + 300,
    });
    format!("Authorization: Bearer {}\r\n", token::with_claims(&claims))
}

/// Sends a GET with these header lines; gives the status and what the upstream saw, if it was asked.
fn ask(gateway: &Gateway, origin: &Origin, target: &str, lines: &str) -> (u16, Option<Seen>) {
    let before = origin.count();
    let answer = gateway.raw(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n"));
    (answer.status, origin.requests().into_iter().nth(before))
}

#[test]
fn a_stranger_cannot_say_where_it_comes_from() {
    // s-028, H02, H03
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let lines = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
        X-Forwarded-Port: 443\r\nForwarded: for=10.0.0.1;host=evil.test\r\nX-Real-IP: 10.0.0.1\r\nTraceparent: 00-x\r\n";
    let (status, seen) = ask(&gateway, &origin, "/api/x", lines);
    let seen = seen.unwrap();
    assert_eq!(status, 200);
    let port = gateway.address().port().to_string();
    for (name, values) in [
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-host", vec!["gw.test"]),
    ] {
        assert_eq!(seen.headers.all(name), values, "{name}");
    }
    assert!(["80", &port].contains(&seen.header("x-forwarded-port").unwrap_or("80")));
    let raw = origin.raw_all();
    assert!(!raw.contains("10.0.0.1") && !raw.contains("evil.test") && !raw.contains("00-x"), "{raw}");
}

#[test]
fn other_spellings_of_forwarded_names_are_dropped() {
    // s-029
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let lines = "X_Forwarded_For: 10.0.0.1\r\nX-Forwarded_Proto: https\r\nX_Real_Ip: 10.0.0.1\r\nX_REQUEST_ID: a\r\nX-FORWARDED-FOR: 10.0.0.1\r\n\
        X.Forwarded.For: 10.0.0.1\r\nX~Real!Ip: 10.0.0.1\r\n";
    let (status, seen) = ask(&gateway, &origin, "/api/x", lines);
    assert!([200, 400].contains(&status));
    if let Some(seen) = seen {
        for name in [
            "x_forwarded_for",
            "x-forwarded_proto",
            "x_real_ip",
            "x_request_id",
            "x.forwarded.for",
            "x~real!ip",
        ] {
            assert!(!seen.has(name), "{name}");
        }
        assert_eq!(seen.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    }
}

#[test]
fn a_second_spelling_of_a_name_that_the_gateway_reads_is_dropped() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let lines = "User-Agent: mine\r\nUser_Agent: other\r\nCOOKIE: a=1\r\nAccept_Encoding: gzip\r\nContent_Type: a/b\r\nX_Kept: 1\r\n";
    let (status, seen) = ask(&gateway, &origin, "/api/x", lines);
    let seen = seen.unwrap();
    assert_eq!((status, seen.headers.all("user-agent")), (200, vec!["mine"]));
    for name in ["user_agent", "accept_encoding", "content_type", "accept-encoding", "content-type"] {
        assert!(!seen.has(name), "{name}: {:?}", seen.headers);
    }
    assert_eq!(seen.header("x_kept"), Some("1"));
}

#[test]
fn no_rule_of_the_gateway_believes_a_stranger() {
    // s-028 inside the gateway: what a stranger says of its way is gone before a route or a condition reads it.
    let gateway = Gateway::start(
        &[],
        r#"
        routes:
          /x:
            - { match: { headers: { x-forwarded-proto: https } }, respond: { body: by match } }
            - { match: { when: '"x-forwarded-for" in request.headers' }, respond: { body: by condition } }
            - { match: { headers: { x-request-id: { present: true } } }, respond: { body: by id } }
            - { respond: { body: unmoved } }
        "#,
    );
    for line in ["X-Forwarded-Proto: https", "X-Forwarded-For: 10.0.0.1", "X-Request-Id: a"] {
        let answer = gateway.raw(format!("GET /x HTTP/1.1\r\nHost: gw.test\r\n{line}\r\n\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "unmoved"), "{line}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    // s-030, H03, L13
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        trusted_proxies: [127.0.0.0/8]
        routes:
          /api/*: { upstream: ORIGIN1 }
          /who: { respond: { body: { ip: '{client.ip}', scheme: '{request.scheme}' } } }
        ",
    );
    let chain =
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    let (status, seen) = ask(&gateway, &origin, "/api/x", chain);
    let seen = seen.unwrap();
    assert_eq!(status, 200);
    assert_eq!(seen.header("x-forwarded-for"), Some("203.0.113.9, 198.51.100.7, 127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let who = |lines: &str| gateway.raw(format!("GET /who HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n")).json();
    assert_eq!(who(chain), json!({ "ip": "198.51.100.7", "scheme": "https" }));
    assert_eq!(who("X-Forwarded-For: 6.6.6.6, 198.51.100.7, 127.0.0.9\r\n")["ip"], "198.51.100.7");
    assert_eq!(who("X-Forwarded-For: garbage\r\n")["ip"], "127.0.0.1");
    assert_eq!(who("X-Forwarded-For: 6.6.6.6, garbage\r\n")["ip"], "127.0.0.1", "nothing behind it counts");
    assert_eq!(who("X-Forwarded-For: 6.6.6.6, ::ffff:127.0.0.9\r\n")["ip"], "6.6.6.6", "an IPv4 address");
    assert_eq!(who("X-Forwarded-For: ::ffff:6.6.6.6\r\n")["ip"], "6.6.6.6");
    assert_eq!(who("X-Forwarded-For: [::ffff:6.6.6.6]:80\r\n")["ip"], "6.6.6.6");
    assert_eq!(who("")["ip"], "127.0.0.1");
    let (_, seen) = ask(&gateway, &origin, "/api/x", chain);
    assert_eq!(seen.unwrap().headers.all("x-real-ip"), ["198.51.100.7"], "the client, not the proxy");
    let (_, seen) = ask(&gateway, &origin, "/api/x", "X-Forwarded-For: ::ffff:6.6.6.6\r\n");
    assert_eq!(seen.unwrap().headers.all("x-real-ip"), ["6.6.6.6"]);
}

#[test]
fn hop_by_hop_lines_end_here() {
    // s-032, H05, H06
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let lines = "Connection: keep-alive, X-Hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
        TE: gzip\r\nProxy-Authorization: Basic Zm9v\r\nUpgrade: foo\r\nX-Kept: 1\r\n";
    let (status, seen) = ask(&gateway, &origin, "/api/x", lines);
    let seen = seen.unwrap();
    assert_eq!(status, 200);
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "proxy-authorization", "upgrade"] {
        assert!(!seen.has(name), "{name}: {:?}", seen.headers);
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
}

#[test]
fn hop_by_hop_lines_of_an_answer_end_here() {
    // H07
    let origin = Origin::serve(|turn| {
        let headers = [
            ("Connection", "x-private"),
            ("X-Private", "secret"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"),
            ("X-Kept", "1"),
        ];
        turn.answer(200, &headers, "ok");
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/api/x");
        for name in ["x-private", "keep-alive", "proxy-authenticate", "upgrade"] {
            assert!(!answer.headers.has(name), "{name}: {:?}", answer.headers);
        }
        assert_eq!((answer.header("x-kept"), answer.text().as_str()), (Some("1"), "ok"));
    }
}

#[test]
fn connection_cannot_remove_what_the_gateway_sets() {
    // s-031, A26
    let origin = Origin::echo();
    let gateway = guarded(&origin);
    let lines =
        format!("{}Connection: close, x-user-id, X-Forwarded-For, x-request-id, host\r\n", bearer("alice"));
    let (status, seen) = ask(&gateway, &origin, "/api/x", &lines);
    assert!([200, 400].contains(&status), "{status}");
    if let Some(seen) = seen {
        assert_eq!(seen.header("x-user-id"), Some("alice"));
        assert!(seen.has("x-forwarded-for") && seen.has("x-request-id") && seen.has("host"));
        for line in seen.headers.all("connection") {
            assert!(!line.to_ascii_lowercase().contains("x-"), "{line}");
        }
    }
}

#[test]
fn connection_cannot_change_the_framing_or_the_credential() {
    // s-033
    let origin = Origin::echo();
    let gateway = guarded(&origin);
    let answer = gateway.raw(format!(
        "POST /api/x HTTP/1.1\r\nHost: gw.test\r\n{}Connection: content-length\r\n\
         Connection: Authorization, X-USER-ID\r\nContent-Length: 5\r\n\r\nhello",
        bearer("alice")
    ));
    assert!([200, 400, 401].contains(&answer.status), "{}", answer.status);
    for seen in origin.requests() {
        assert_eq!((seen.header("x-user-id"), seen.text().as_str()), (Some("alice"), "hello"));
    }
    assert!(origin.faults().is_empty());
}

#[test]
fn nobody_but_the_token_says_who_the_client_is() {
    let origin = Origin::echo();
    let gateway = guarded(&origin);
    // s-034, A25
    let lines = format!("{}X-User_Id: admin\r\nX_User_Id: admin\r\nx_user-id: admin\r\n", bearer("alice"));
    let (status, seen) = ask(&gateway, &origin, "/api/x", &lines);
    assert!([200, 400].contains(&status), "{status}");
    if let Some(seen) = seen {
        assert_eq!(seen.headers.all("x-user-id"), ["alice"]);
        assert!(!["x-user_id", "x_user_id", "x_user-id"].iter().any(|name| seen.has(name)));
    }
    // s-037, A23
    let lines = format!("X-USER-ID: admin\r\nx-user-id: root\r\n{}X-User-Id: \r\n", bearer("bob"));
    let (status, seen) = ask(&gateway, &origin, "/api/x", &lines);
    assert_eq!((status, seen.unwrap().headers.all("x-user-id")), (200, vec!["bob"]));
    // s-035, A24: on routes without a token too.
    let lines = "X-User-Id: admin\r\nx-user-id: root\r\nX_USER_ID: admin\r\n";
    let (status, seen) = ask(&gateway, &origin, "/public/x", lines);
    let seen = seen.unwrap();
    assert_eq!(status, 200);
    assert!(!seen.has("x-user-id") && !seen.has("x_user_id"), "{:?}", seen.headers);
    // A29: the credential itself travels on.
    let (_, seen) = ask(&gateway, &origin, "/api/x", &bearer("alice"));
    assert!(seen.unwrap().has("authorization"));
}

#[test]
fn repeated_lines_stay() {
    // H08
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let (status, seen) =
        ask(&gateway, &origin, "/api/x", "X-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n");
    let seen = seen.unwrap();
    assert_eq!(status, 200);
    assert_eq!(seen.headers.all("x-a").join(", "), "1, 2");
    assert_eq!(seen.headers.all("cookie").join("; "), "a=1; b=2");
}

#[test]
fn a_request_has_one_id_all_the_way() {
    // H04, s-132
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let answer = gateway.request("GET", "/api/x", &[("X-Request-Id", "mine")], b"");
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_ne!(id, "mine", "a stranger does not choose it");
    assert_eq!(origin.only().headers.all("x-request-id"), [id.as_str()]);
    assert_eq!(gateway.log(1)[0]["id"], id.as_str());
    assert_ne!(gateway.get("/api/x").header("x-request-id"), Some(id.as_str()));
}

#[test]
fn the_id_of_a_service_does_not_stand_on_its_answer() {
    // H04
    let origin = Origin::serve(|turn| turn.answer(200, &[("X-Request-Id", "theirs")], "ok"));
    let gateway = Gateway::start(&[&origin], OPEN);
    let answer = gateway.get("/api/x");
    let sent = origin.only().header("x-request-id").unwrap().to_owned();
    assert_eq!(answer.headers.all("x-request-id"), [sent.as_str()]);
}

#[test]
fn an_id_from_a_trusted_proxy_is_kept_if_it_is_harmless() {
    // s-131, H04
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        trusted_proxies: [127.0.0.1/32]
        routes: { /api/*: { upstream: ORIGIN1 } }
        ",
    );
    let answer = gateway.request("GET", "/api/x", &[("X-Request-Id", "req-42_A.b")], b"");
    assert_eq!(answer.header("x-request-id"), Some("req-42_A.b"));
    assert_eq!(origin.last().headers.all("x-request-id"), ["req-42_A.b"]);
    assert_eq!(gateway.log(1)[0]["id"], "req-42_A.b");
    let long = "a".repeat(129);
    for bad in ["", "a b", "a\"b", "<x>", long.as_str()] {
        let answer = gateway.request("GET", "/api/x", &[("X-Request-Id", bad)], b"");
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_ne!(id, bad);
        assert_eq!(origin.last().headers.all("x-request-id"), [id.as_str()]);
    }
}
