//! Confusions that a gateway between many clients and a few pooled connections must never make.

use std::sync::Arc;

use crate::support::{Gateway, Origin, Turn};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }";

fn before(script: impl Fn(&mut Turn) + Send + Sync + 'static) -> (Origin, Gateway) {
    let origin = Origin::serve(script);
    let gateway = Gateway::start(&[&origin], OPEN);
    (origin, gateway)
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let (origin, gateway) = before(Turn::echo);
    let gateway = Arc::new(gateway);
    let clients: Vec<_> = (0..32)
        .map(|number| {
            let gateway = Arc::clone(&gateway);
            std::thread::spawn(move || {
                let mut client = gateway.client();
                for n in 0..40 {
                    let body = format!("{number}:{n}").repeat(1 + (n * 37) % 500);
                    let answer = client.request("POST", &format!("/api/{number}/{n}"), &[], body.as_bytes());
                    let echoed = answer.json();
                    assert_eq!(echoed["line"], format!("POST /{number}/{n} HTTP/1.1"));
                    assert_eq!(echoed["body"], body);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(origin.count(), 32 * 40);
    assert!(origin.connections() <= 32 + 8, "{} connections", origin.connections());
    assert!(origin.faults().is_empty());
    assert_eq!(gateway.log(32 * 40).len(), 32 * 40);
}

#[test]
fn a_body_where_none_belongs_is_nobodys_answer() {
    let (_origin, gateway) = before(|turn| match turn.request().method() {
        "HEAD" => turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        "PUT" => turn.raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        "DELETE" => turn.raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"),
        _ => turn.echo(),
    });
    let mut client = gateway.client();
    for n in 0..10 {
        for (method, status) in [("HEAD", 200), ("PUT", 204), ("DELETE", 304)] {
            let answer = client.request(method, "/api/x", &[], b"");
            assert!([status, 502].contains(&answer.status), "{method} {}", answer.status);
            let answer = client.get(&format!("/api/{n}"));
            assert_eq!(
                (answer.status, answer.json()["line"].clone()),
                (200, format!("GET /{n} HTTP/1.1").into())
            );
        }
    }
}

#[test]
fn what_is_left_of_a_body_never_becomes_a_request() {
    // The service answers before the body has come, and keeps its connection.
    let (origin, gateway) = before(|turn| {
        if turn.request().method() == "POST" { turn.answer_early(403, &[], "no") } else { turn.echo() }
    });
    for n in 0..10 {
        let mut client = gateway.client();
        client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 70\r\n\r\nbegin");
        assert_eq!(client.read().status, 403);
        let rest = "GET /api/inner HTTP/1.1\r\nHost: gw.test\r\n\r\n";
        let _ = client.try_send(rest);
        let _ = client.try_send(rest);
        drop(client);
        assert_eq!(gateway.get(&format!("/api/{n}")).json()["line"], format!("GET /{n} HTTP/1.1"));
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
    assert!(!origin.requests().iter().any(|seen| seen.target() == "/inner"));
}

#[test]
fn a_client_that_leaves_in_its_upload_harms_no_other() {
    let (origin, gateway) = before(Turn::echo);
    for n in 0..20 {
        let mut client = gateway.client();
        let framing = if n % 2 == 0 {
            "Content-Length: 100\r\n\r\npart"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n64\r\npart"
        };
        client.send(format!("POST /api/left HTTP/1.1\r\nHost: gw.test\r\n{framing}"));
        drop(client);
        assert_eq!(gateway.get(&format!("/api/{n}")).json()["line"], format!("GET /{n} HTTP/1.1"));
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
    assert!(origin.requests().iter().all(|seen| seen.target() != "/left" || !seen.complete));
}

#[test]
fn bytes_of_values_pass_unchanged() {
    let (origin, gateway) = before(|turn| {
        turn.read_body();
        turn.raw(b"HTTP/1.1 200 OK\r\nX-Back: caf\xe9 \xc3\xa9\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n");
    });
    let answer = gateway
        .raw(b"GET /api/x HTTP/1.1\r\nHost: gw.test\r\nX-There: \t caf\xe9 a\tb  \r\nX-Empty:\r\n\r\n");
    assert_eq!(
        (answer.status, answer.header("x-back"), answer.header("x-empty")),
        (200, Some("caf\u{e9} \u{c3}\u{a9}"), Some(""))
    );
    let seen = origin.only();
    assert_eq!((seen.header("x-there"), seen.header("x-empty")), (Some("caf\u{e9} a\tb"), Some("")));
}

#[test]
fn many_lines_of_an_answer_pass() {
    let (_origin, gateway) = before(|turn| {
        let names: Vec<String> = (0..150).map(|n| format!("X-Line-{n}")).collect();
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        turn.answer(200, &headers, "ok");
    });
    let answer = gateway.get("/api/x");
    assert_eq!(answer.status, 200);
    assert!((0..150).all(|n| answer.header(&format!("x-line-{n}")) == Some("value")));
}

#[test]
fn an_authority_is_a_host_and_a_port() {
    let (origin, gateway) = before(Turn::echo);
    for host in [
        "gw.test:99999",
        "gw.test:x",
        "user@gw.test",
        "gw.test/x",
        "a,b",
        "[::1",
        "gw.test#",
        "gw test",
        "gw.test?x",
    ] {
        let answer = gateway.raw(format!("GET /api/x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.problem(400), "malformed request", "{host}");
        let answer = gateway.raw(format!("GET http://{host}/api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        // A slash, a question mark or a hash ends an authority in a target: what follows is another path.
        assert!([400, 404].contains(&answer.status), "{host}");
    }
    assert_eq!(origin.count(), 0);
    for host in ["gw.test", "GW.test:8080", "127.0.0.1:80", "[::1]", "[::1]:8080", "a-b.c_d.test"] {
        assert_eq!(gateway.raw(format!("GET /api/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 200, "{host}");
    }
}

#[test]
fn the_gateway_is_no_tunnel() {
    let (origin, gateway) = before(Turn::echo);
    for target in ["inner.test:443", "/api/x"] {
        let answer = gateway.raw(format!("CONNECT {target} HTTP/1.1\r\nHost: inner.test:443\r\n\r\n"));
        assert!([400, 404, 405, 501].contains(&answer.status), "{target}: {}", answer.status);
        answer.problem(answer.status);
    }
    assert_eq!(gateway.raw("TRACE /api/x HTTP/1.1\r\nHost: gw.test\r\nCookie: a=secret\r\n\r\n").status, 405);
    assert_eq!(origin.count(), 0);
}
