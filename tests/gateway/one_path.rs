//! The path that policies and templates see is the path that the service gets, for every target that is let in.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::support::h2::{Session, block_on};
use crate::support::token::{self, SECRET, now};
use crate::support::{Client, Gateway, Origin};

/// Two pairs of listeners with the same patterns: one sends on, the other says what expressions see.
const PAIRS: &str = "
    listeners:
      kept-sent: { listen: 127.0.0.1:0, path: { encoded_slash: keep, semicolon: keep }, routes: SENT }
      kept-seen: { listen: 127.0.0.1:0, path: { encoded_slash: keep, semicolon: keep }, routes: SEEN }
      strict-sent: { listen: 127.0.0.1:0, routes: SENT }
      strict-seen: { listen: 127.0.0.1:0, routes: SEEN }
    ";

const SENT: &str = "{ '/p/{id}': { upstream: ORIGIN1, rewrite: '/u/{id}' }, '/q/{id}': { upstream: ORIGIN1 },
      '/r/*': { upstream: ORIGIN1, rewrite: / }, '/*': { upstream: ORIGIN1 } }";

const SEEN: &str = "{ '/p/{id}': { respond: { body: { route: param, below: /u/, id: '{id}' } } },
      '/q/{id}': { respond: { body: { route: param, below: /q/, id: '{id}' } } },
      '/r/*': { respond: { body: { route: rest, rest: '{rest}' } } },
      '/*': { respond: { body: { route: path, path: '{request.path}', rest: '{rest}' } } } }";

fn pairs() -> String {
    PAIRS.replace("SENT", SENT).replace("SEEN", SEEN)
}

/// The status and the body of what a target is answered.
fn ask(gateway: &Gateway, listener: &str, target: &[u8]) -> (u16, String) {
    let mut client = Client::connect(gateway.listener(listener));
    client.send([b"GET ", target, b" HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n"].concat());
    let answer = client.read();
    (answer.status, answer.text())
}

fn decoded(segment: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn targets() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "/", "/", "/", ".", "..", ";", ";", "a", "b=1", "%2e", "%2E", "%2f", "%2F", "%3b", "%3B", "%61",
        "%25", "%20", "%00", "%5c", "%c3%a9", "%ff", "%", "\\", ":", "?x;y/..", "#", "|", "*", "..;", "/p/",
        "/r",
    ]);
    let text = prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    let bytes =
        prop::collection::vec(any::<u8>().prop_filter("a head ends there", |byte| *byte > 0x20), 0..8);
    let start =
        prop::sample::select(vec!["/", "/p/", "/q/", "/r/", "/r", "http://gw.test/p/", "http://gw.test/"]);
    (start, prop_oneof![8 => text, 1 => bytes]).prop_map(|(start, end)| [start.as_bytes(), &end].concat())
}

#[test]
fn every_target_is_refused_or_reaches_the_service_as_policies_see_it() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], &pairs());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let judge = |(target, kept): (Vec<u8>, bool)| {
        let (sends, sees) = if kept { ("kept-sent", "kept-seen") } else { ("strict-sent", "strict-seen") };
        let before = origin.count();
        let (status, _) = ask(&gateway, sends, &target);
        let (seen_status, seen) = ask(&gateway, sees, &target);
        if status != 200 {
            prop_assert!([400, 414].contains(&status), "{}", status);
            prop_assert_eq!(origin.count(), before, "what is refused reaches nobody");
            return Ok(());
        }
        let sent = origin.last().target().to_owned();
        let path = sent.split('?').next().unwrap_or_default();
        prop_assert!(kept || !path.contains(';'), "{}", sent);
        if seen_status != 200 {
            // A parameter that is no UTF-8 is an error for every expression that reads it.
            prop_assert!(path.contains('%'), "{} {}", seen_status, sent);
            return Ok(());
        }
        let seen: Value = serde_json::from_str(&seen).unwrap();
        match seen["route"].as_str().unwrap() {
            "param" => {
                let segment = path.strip_prefix(seen["below"].as_str().unwrap()).unwrap();
                prop_assert!(!segment.contains('/'), "{}", sent);
                let id = seen["id"].as_str().unwrap();
                prop_assert_eq!(decoded(segment), id.as_bytes(), "{}", sent);
            }
            "rest" => {
                let rest = seen["rest"].as_str().unwrap();
                prop_assert_eq!(path, if rest.is_empty() { "/" } else { rest });
            }
            _ => {
                prop_assert_eq!(seen["path"].as_str().unwrap(), path);
                prop_assert_eq!(seen["rest"].as_str().unwrap(), path);
            }
        }
        Ok(())
    };
    runner.run(&(targets(), any::<bool>()), judge).unwrap();
}

const OWNERS: &str = "
    auth: { user: { jwt: { secret: '${SECRET}' } } }
    policies: { auth: user }
    listen: 127.0.0.1:0
    routes:
      /u/{userId}: { upstream: ORIGIN1, policies: { authorize: 'identity.id == params.userId' }PATH }
      /api/*: { upstream: ORIGIN1, rewrite: /PATH }
      /b/*: { upstream: ORIGIN1, rewrite: /PATH }
      /plain/*: { upstream: ORIGIN1 }
    ";

fn owners(origin: &Origin, path: &str) -> Gateway {
    Gateway::prepare(&[origin]).env("SECRET", SECRET).start(&OWNERS.replace("PATH", path))
}

fn as_user(gateway: &Gateway, id: &str, target: &str) -> crate::support::Answer {
    let claims = serde_json::json!({ "sub": id, "exp": now() + 300 });
    let credentials = format!("Bearer {}", token::with_claims(&claims));
    gateway.request("GET", target, &[("Authorization", &credentials)], b"")
}

#[test]
fn a_semicolon_is_refused_by_default() {
    let origin = Origin::echo();
    let gateway = owners(&origin, "");
    for target in ["/u/alice;bob", "/u/alice;", "/api;v=1/x", "/api/x;v=1", "/nowhere;x", "/u/..;alice"] {
        let answer = as_user(&gateway, "alice", target);
        assert_eq!(answer.problem(400), "malformed request", "{target}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(as_user(&gateway, "alice", "/u/alice?a;b").status, 200);
    assert_eq!(origin.last().target(), "/u/alice?a;b");
    // Encoded it is data, for the policy as for the service.
    assert_eq!(as_user(&gateway, "alice", "/u/alice%3Bbob").problem(403), "forbidden");
    assert_eq!(as_user(&gateway, "alice;bob", "/u/alice%3Bbob").status, 200);
    assert_eq!(origin.last().target(), "/u/alice%3Bbob");
}

#[test]
fn a_kept_semicolon_is_a_part_of_its_segment() {
    let origin = Origin::echo();
    let gateway = owners(&origin, ", path: { semicolon: keep }");
    assert_eq!(as_user(&gateway, "alice", "/u/alice;bob").problem(403), "forbidden");
    assert_eq!(as_user(&gateway, "alice", "/u/alice;").problem(403), "forbidden");
    assert_eq!(origin.count(), 0);
    assert_eq!(as_user(&gateway, "alice;bob", "/u/alice;bob").status, 200);
    assert_eq!(origin.last().target(), "/u/alice;bob");
    assert_eq!(as_user(&gateway, "alice", "/api;v=1/x").problem(404), "no route");
    assert_eq!(as_user(&gateway, "alice", "/api/x;v=1/y;z").status, 200);
    assert_eq!(origin.last().target(), "/x;v=1/y;z");
    let seen = origin.count();
    assert_eq!(as_user(&gateway, "alice", "/plain/x;v=1").problem(400), "malformed request");
    for target in ["/api/..;/x", "/api/.;x", "/api/..%3Bx", "/api/;x/y"] {
        assert_eq!(as_user(&gateway, "alice", target).problem(400), "malformed request", "{target}");
    }
    assert_eq!(origin.count(), seen, "a route that keeps it keeps it for itself alone");
}

#[test]
fn http2_and_absolute_targets_follow_the_same_rule() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        routes:
          /kept/{id}: { upstream: ORIGIN1, path: { semicolon: keep } }
          /strict/{id}: { upstream: ORIGIN1 }
        ",
    );
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/strict/a;b").await.unwrap().status, 400);
        assert_eq!(session.fetch("GET", "/kept/a;b").await.unwrap().status, 200);
    });
    assert_eq!(origin.only().target(), "/kept/a;b");
    let absolute =
        |path: &str| gateway.raw(format!("GET http://gw.test{path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
    assert_eq!(absolute("/strict/a;b").problem(400), "malformed request");
    assert_eq!(absolute("/kept/a;c").status, 200);
    assert_eq!(origin.last().target(), "/kept/a;c");
}

#[test]
fn every_station_reads_a_kept_semicolon_alike() {
    let origin = Origin::serve(|turn| {
        let said = format!("\"{} {}\"", turn.number(), turn.request().target());
        turn.answer(200, &[("Content-Type", "application/json"), ("Cache-Control", "max-age=600")], said);
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners:
          default:
            listen: 127.0.0.1:0
            path: { semicolon: keep }
            routes:
              /agg/{id}: { aggregate: { sources: { s: { upstream: ORIGIN1, path: '/s/{id}', headers: { x-path: '{request.path}' } } } } }
              /rest/*: { aggregate: { sources: { s: { upstream: ORIGIN1, path: '{rest}' } } } }
              /old/*: { redirect: { path: '/new{rest}' } }
              /away/{id}: { redirect: { to: 'https://x.test/{id}?from={request.path}' } }
              /limited/{id}: { upstream: ORIGIN1, policies: { rate_limit: { limit: 1, window: 1h, key: params.id } } }
              /kept/*: { upstream: ORIGIN1, policies: { cache: {} } }
              /when/{id}: [{ match: { when: 'params.id == \"a;b\" && request.path.endsWith(\";b\")' }, respond: { body: yes } }]
              POST /cors/{id}: { upstream: ORIGIN1, policies: { cors: { origins: ['https://a.test'] } } }
              /strict/{id}: { upstream: ORIGIN1, path: { semicolon: refuse } }
        ",
    );
    assert_eq!(gateway.get("/agg/a;b").status, 200);
    assert_eq!((origin.last().target(), origin.last().header("x-path")), ("/s/a%3Bb", Some("/agg/a;b")));
    assert_eq!(gateway.get("/rest/x;y/z;").status, 200);
    assert_eq!(origin.last().target(), "/x;y/z;");
    assert_eq!(gateway.get("/old/x;y").header("location"), Some("http://gw.test/new/x;y"));
    assert_eq!(
        gateway.get("/away/x;y").header("location"),
        Some("https://x.test/x%3By?from=%2Faway%2Fx%3By")
    );
    for target in ["/limited/a;b", "/limited/a;c", "/limited/a", "/limited/a%3Bd"] {
        assert_eq!((gateway.get(target).status, gateway.get(target).status), (200, 429), "{target}");
    }
    assert_eq!(gateway.get("/limited/a%3Bb").status, 429, "the same parameter");
    let stored = ["/kept/x;1", "/kept/x;2", "/kept/x"].map(|target| gateway.get(target).text());
    let again = ["/kept/x;1", "/kept/x;2", "/kept/x"].map(|target| gateway.get(target).text());
    assert_eq!(stored, again);
    assert!(
        stored[0].ends_with(" /kept/x;1\"")
            && stored[1].ends_with(" /kept/x;2\"")
            && stored[2].ends_with("x\"")
    );
    assert_eq!((gateway.get("/when/a;b").status, gateway.get("/when/a").status), (200, 404));
    let preflight = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "POST")];
    let answer = gateway.request("OPTIONS", "/cors/a;b", &preflight, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some("https://a.test")));
    assert_eq!(gateway.get("/strict/a;b").problem(400), "malformed request");
    assert!(gateway.log(20).iter().any(|line| line["path"] == "/agg/a;b"));
    let output = |target: &str| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["explain", "--config", gateway.config_file().to_str().unwrap(), "GET", target])
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    };
    assert!(output("/limited/a;b").contains("/limited/{id}"), "{}", output("/limited/a;b"));
    assert!(output("/limited;a/b").contains("404"), "{}", output("/limited;a/b"));
    assert!(output("/strict/a;b").contains("400"), "{}", output("/strict/a;b"));
}
