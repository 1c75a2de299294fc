//! Shapes: every row of the table in docs/aggregates.md, read from the page, in one piece and byte by byte; and the rules
//! around it, on proxied answers and on aggregates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::parts::{
    JSON, bomb, brotli, gzip, in_pieces, json_origin, page_table, told_words, zlib, zstd,
};
use crate::support::{Gate, Gateway, Origin, PATIENCE, Turn, until};

/// One route with that shape, whose service is ORIGIN1.
fn shaped(shape: &str) -> String {
    format!("routes: {{ /*: {{ upstream: ORIGIN1, policies: {{ shape: {shape} }} }} }}")
}

/// What stands between backquotes.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or_else(|| panic!("{cell}"))
}

#[test]
fn every_row_of_the_page() {
    let rows = page_table("Shape");
    assert!(rows.len() >= 30, "{}", rows.len());
    let routes: String = (rows.iter().enumerate())
        .map(|(at, row)| {
            format!("  /{at}: {{ upstream: ORIGIN1, policies: {{ shape: {} }} }}\n", code(row[0]))
        })
        .collect();
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        let (at, length) = target[1..].split_once('?').unwrap();
        let body = code(page_table("Shape")[at.parse::<usize>().unwrap()][1]);
        match length.parse().unwrap() {
            0 => turn.answer(200, &[JSON], body),
            length => in_pieces(turn, &[JSON], body.as_bytes(), length),
        }
    });
    let gateway = Gateway::start(&[&origin], &format!("routes:\n{routes}"));
    let mut client = gateway.client();
    for (at, row) in rows.iter().enumerate() {
        // In one piece, byte by byte, and in others that end everywhere.
        for length in [0, 1, 2, 3, 5, 7] {
            let answer = client.get(&format!("/{at}?{length}"));
            assert_eq!(answer.text(), code(row[2]), "{row:?} in pieces of {length}");
            assert_eq!((answer.status, answer.complete), (200, true), "{row:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{row:?}");
        }
    }
}

#[test]
fn only_json_that_is_a_success_is_shaped() {
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        let mut parts = target[1..].splitn(2, '/');
        let status = parts.next().unwrap().parse().unwrap();
        let kind = parts.next().unwrap_or_default().replace('_', " ").replace('!', ";");
        let headers = [("ETag", "\"e\""), ("Accept-Ranges", "bytes"), ("Content-Type", kind.as_str())];
        let headers = if kind.is_empty() { &headers[..2] } else { &headers };
        turn.answer(status, headers, r#"{"id": 1, "x":2}"#);
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [id] }"));
    let mut client = gateway.client();
    for (target, is_shaped) in [
        ("200/application/json", true),
        ("201/application/json!_charset=utf-8", true),
        ("299/Application/JSON", true),
        ("200/application/hal+json", true),
        ("200/application/vnd.x.y+json!v=1", true),
        ("404/application/json", false),
        ("500/application/json", false),
        ("301/application/json", false),
        ("200/text/plain", false),
        ("200/application/jsonlines", false),
        ("200/application/xml!_a=application/json", false),
        ("200", false),
    ] {
        let answer = client.get(&format!("/{target}"));
        let (body, etag) =
            if is_shaped { (r#"{"id":1}"#, "W/\"e\"") } else { (r#"{"id": 1, "x":2}"#, "\"e\"") };
        assert_eq!(answer.text(), body, "{target}");
        assert_eq!(answer.header("etag"), Some(etag), "{target}");
        assert_eq!(answer.headers.has("accept-ranges"), !is_shaped, "{target}");
        if !is_shaped {
            assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{target}");
        }
    }
}

#[test]
fn the_head_of_a_shaped_answer_tells_the_truth() {
    let origin = Origin::serve(|turn| {
        let weak = turn.request().target() == "/weak";
        let etag = if weak { "W/\"e\"" } else { "\"e\"" };
        let headers = [
            JSON,
            ("ETag", etag),
            ("Accept-Ranges", "bytes"),
            ("Digest", "sha-256=x"),
            ("Content-Digest", "sha-256=:eA==:"),
            ("Repr-Digest", "sha-256=:eA==:"),
            ("Content-MD5", "eA=="),
            ("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ("X-Kept", "1"),
        ];
        turn.answer(200, &headers, r#"{"id":1,"x":2}"#);
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [id] }"));
    let asked = [("Accept-Encoding", "gzip, br"), ("Range", "bytes=0-3"), ("If-Range", "\"e\"")];
    for (method, body) in [("GET", r#"{"id":1}"#), ("HEAD", "")] {
        for target in ["/", "/weak"] {
            let answer = gateway.request(method, target, &asked, b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, body), "{method}");
            assert_eq!(answer.header("etag"), Some("W/\"e\""), "{method} {target}");
            for absent in [
                "accept-ranges",
                "digest",
                "content-digest",
                "repr-digest",
                "content-md5",
                "content-encoding",
            ] {
                assert!(!answer.headers.has(absent), "{method}: {absent}");
            }
            assert!(answer.headers.has("last-modified") && answer.headers.has("x-kept"), "{method}");
            assert!(matches!(answer.header("content-length"), None | Some("8")), "{method} {answer:?}");
            let seen = origin.last();
            assert_eq!((seen.method(), seen.header("accept-encoding")), (method, Some("identity")));
            assert!(!seen.has("range") && !seen.has("if-range"), "{seen:?}");
        }
    }
}

#[test]
fn codings_are_undone_before_the_shape() {
    let body = br#"{"id":1.10,"x":"secret"}"#;
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        let (coding, stream) = match &target[1..] {
            "gzip" => ("gzip", gzip(body)),
            "deflate" => ("deflate", zlib(body)),
            "br" => ("br", brotli(body)),
            "zstd" => ("zstd", zstd(body)),
            "two" => ("gzip, zstd", zstd(&gzip(body))),
            "broken" => ("gzip", body.to_vec()),
            _ => ("x-own", body.to_vec()),
        };
        turn.answer(200, &[JSON, ("Content-Encoding", coding), ("ETag", "\"e\"")], stream);
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ omit: [x] }"));
    for coding in ["gzip", "deflate", "br", "zstd", "two"] {
        let answer = gateway.get(&format!("/{coding}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"id":1.10}"#), "{coding}");
        assert!(!answer.headers.has("content-encoding"), "{coding}");
        assert_eq!(answer.header("etag"), Some("W/\"e\""), "{coding}");
    }
    for coding in ["broken", "other"] {
        let answer = gateway.get(&format!("/{coding}"));
        assert!(!answer.text().contains("secret"), "what is omitted never leaves: {coding}");
        assert_eq!(answer.problem(502), "upstream failure", "{coding}");
    }
}

#[test]
fn what_is_no_json_is_502_or_breaks_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let long = format!(r#"{{"id":"{}","#, "a".repeat(300_000));
    let origin = Origin::serve(move |turn| {
        let target = turn.request().target().to_owned();
        match target.as_str() {
            "/none" => turn.answer(200, &[JSON], "<p>secret</p>"),
            "/text" => turn.answer(200, &[JSON], "secret"),
            "/blank" => turn.answer(200, &[JSON], " "),
            "/cut" => {
                turn.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n");
                turn.close();
            }
            _ => {
                turn.chunked(200, &[JSON]);
                turn.chunk(&long);
                turn.wait(&held);
                match target.as_str() {
                    "/late" => turn.chunk("secret}"),
                    "/more" => turn.chunk("\"x\":1}}"),
                    "/half" => {}
                    _ => turn.close(),
                }
                turn.last_chunk(&[]);
            }
        }
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [id] }"));
    for target in ["/none", "/text", "/blank", "/cut"] {
        assert_eq!(gateway.get(target).problem(502), "upstream failure", "{target}");
    }
    let mut clients: Vec<_> = ["/late", "/more", "/half", "/broken"]
        .iter()
        .map(|target| {
            let mut client = gateway.client();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            // What is kept goes on its way before the rest is there.
            assert!(client.has_bytes(PATIENCE), "{target}");
            (target, client)
        })
        .collect();
    gate.open();
    for (target, client) in &mut clients {
        let answer = client.read();
        assert_eq!((answer.status, answer.complete), (200, false), "{target}");
        assert!(answer.text().starts_with("{\"id\":\"aaa") && !answer.text().contains("secret"), "{target}");
    }
}

#[test]
fn what_has_no_body_passes() {
    let origin = Origin::serve(|turn| {
        let status: u16 = turn.request().target()[1..].parse().unwrap();
        turn.answer(status, &[JSON, ("ETag", "\"e\"")], "");
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [id] }"));
    for status in [200, 201, 204, 304] {
        let answer = gateway.get(&format!("/{status}"));
        assert_eq!((answer.status, answer.body.len(), answer.complete), (status, 0, true));
    }
}

#[test]
fn an_answer_of_any_length_takes_constant_memory() {
    let origin = Origin::serve(|turn| {
        if turn.request().target() == "/bomb" {
            let headers = [JSON, ("Content-Encoding", "gzip")];
            return in_pieces(turn, &headers, &bomb(48 << 20), 4096);
        }
        turn.chunked(200, &[JSON]);
        turn.chunk("{\"items\":[");
        let item = format!(r#"{{"id":1.10,"text":"{}"}},"#, "x".repeat(4096)).repeat(16);
        (0..2048).for_each(|_| turn.chunk(&item));
        turn.chunk("{\"id\":2}]}");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [\"items[].id\"] }"));
    let idle = gateway.peak_memory();
    let answer = gateway.get("/");
    let expected = format!("{{\"items\":[{}{{\"id\":2}}]}}", "{\"id\":1.10},".repeat(2048 * 16));
    assert!(answer.text() == expected, "{} bytes", answer.body.len());
    assert!(gateway.peak_memory() < idle + 24, "{} MiB, {idle} at rest", gateway.peak_memory());
    // Its checksum is wrong, so it ends badly; what counts is that nobody has held it.
    let _ = gateway.get("/bomb");
    assert!(gateway.peak_memory() < idle + 24, "{} MiB, {idle} at rest", gateway.peak_memory());
}

#[test]
fn a_shape_with_a_body_reads_what_the_other_rules_made() {
    let shape = r#"{ keep: [n, l], body: '{"n": response.body.n, "s": response.status, "t": response.headers["x-total"], "x": has(response.body.x)}' }"#;
    let origin = Origin::serve(|turn| {
        let body = match turn.request().target() {
            "/large" => format!(r#"{{"n":1,"l":"{}"}}"#, "a".repeat(1 << 20)),
            "/beyond" => r#"{"n":1e999}"#.to_owned(),
            "/none" => "{\"n\":".to_owned(),
            "/absent" => "{}".to_owned(),
            _ => r#"{"n":-5,"x":2}"#.to_owned(),
        };
        turn.answer(201, &[JSON, ("X-Total", "7"), ("ETag", "\"e\"")], body);
    });
    let gateway = Gateway::start(&[&origin], &shaped(shape));
    let answer = gateway.get("/");
    assert_eq!(answer.json(), json!({ "n": -5, "s": 201, "t": "7", "x": false }));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "all at hand");
    assert_eq!(answer.header("etag"), Some("W/\"e\""));
    assert_eq!(gateway.get("/beyond").text(), r#"{"n":1e999,"s":201,"t":"7","x":false}"#);
    for target in ["/large", "/none", "/absent"] {
        assert_eq!(gateway.get(target).problem(502), "upstream failure", "{target}");
    }
}

#[test]
fn answers_in_place_are_shaped_too() {
    let config = "
        routes:
          /a: { respond: { body: { id: 1, x: 2 } }, policies: { shape: { keep: [id], wrap: it } } }
          /b: { respond: { body: { id: 1 } } }
        policies: { shape: { rename: { id: number } } }
        ";
    let gateway = Gateway::start(&[], config);
    let answer = gateway.get("/a");
    assert_eq!(
        (answer.text().as_str(), answer.complete),
        (r#"{"it":{"id":1}}"#, true),
        "the nearest wins whole"
    );
    assert_eq!(gateway.get("/b").text(), r#"{"number":1}"#);
}

/// An aggregate of two, the second of which fails, with that shape in place and that policy.
fn partly(place: &str, policy: &str) -> (String, String, Option<String>) {
    let user = json_origin(r#"{"id":1.10,"ssn":2,"l":[1]}"#);
    let orders = Origin::serve(|turn: &mut Turn| turn.answer(500, &[JSON], "{}"));
    let config = format!(
        "
        routes:
          /home:
            policies: {{ shape: {policy} }}
            aggregate:
              mode: partial
              sources: {{ user: {{ upstream: ORIGIN1, path: / }}, orders: {{ upstream: ORIGIN2, path: /, fallback: [] }} }}
              shape: {place}
        "
    );
    let answer = Gateway::start(&[&user, &orders], &config).get("/home");
    assert_eq!((answer.status, answer.complete), (200, true), "{place} {policy}: {}", answer.text());
    (answer.text(), told_words(&answer), answer.header("cache-control").map(str::to_owned))
}

#[test]
fn no_shape_removes_what_is_told_of_failures() {
    let errors = r#""_errors":{"orders":{"error":"status","status":500}}"#;
    let any = "none";
    for (place, policy, expected) in [
        ("{ keep: [user.id] }", any, format!(r#"{{"user":{{"id":1.10}},{errors}}}"#)),
        ("{ keep: [user.id, orders] }", any, format!(r#"{{"user":{{"id":1.10}},"orders":[],{errors}}}"#)),
        ("{ omit: [user, orders] }", any, format!("{{{errors}}}")),
        ("{ rename: { orders: carts }, omit: [user] }", any, format!(r#"{{"carts":[],{errors}}}"#)),
        ("{ unwrap: user, keep: [id] }", any, format!(r#"{{"id":1.10,{errors}}}"#)),
        ("{ keep: [user.id], wrap: it }", any, format!(r#"{{"it":{{"user":{{"id":1.10}}}},{errors}}}"#)),
        (
            r#"{ body: '{"n": sources.user.body.ssn, "o": sources.orders.status}' }"#,
            any,
            format!(r#"{{"n":2,"o":500,{errors}}}"#),
        ),
        // The one in place first, then the policy's.
        (
            "{ keep: [user], rename: { user: me } }",
            "{ keep: [me.id] }",
            format!(r#"{{"me":{{"id":1.10}},{errors}}}"#),
        ),
        ("{ keep: [user.id] }", "{ keep: [nothing] }", format!("{{{errors}}}")),
        (
            "{ omit: [orders] }",
            "{ unwrap: user, omit: [l, ssn], wrap: it }",
            format!(r#"{{"it":{{"id":1.10}},{errors}}}"#),
        ),
        (
            "{ omit: [orders] }",
            r#"{ omit: [_errors, user.l, user.ssn] }"#,
            format!(r#"{{"user":{{"id":1.10}},{errors}}}"#),
        ),
        (
            "{ omit: [orders] }",
            r#"{ body: '{"n": response.body.user.ssn}' }"#,
            format!(r#"{{"n":2,{errors}}}"#),
        ),
    ] {
        let (text, words, cache_control) = partly(place, policy);
        assert_eq!(text, expected, "{place} {policy}");
        assert_eq!((words.as_str(), cache_control.as_deref()), ("user=ok orders=status", Some("no-store")));
    }
}

/// An endless list, and how many bytes of it have been written.
fn endless() -> (Origin, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let origin = Origin::serve(move |turn| {
        turn.chunked(200, &[JSON]);
        turn.chunk("{\"items\":[");
        let item = format!(r#"{{"id":"{}","text":1}},"#, "x".repeat(4000)).repeat(16);
        for _ in 0..4096 {
            turn.chunk(&item);
            count.fetch_add(item.len(), Ordering::SeqCst);
        }
        turn.wait_closed();
    });
    (origin, written)
}

#[test]
fn a_client_that_does_not_read_is_waited_for_and_one_that_leaves_ends_it() {
    let (origin, written) = endless();
    let gateway = Gateway::start(&[&origin], &shaped("{ keep: [\"items[].id\"] }"));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(client.has_bytes(PATIENCE));
    // The service is held up: nothing more is taken of it, look after look.
    let (mut last, mut looks) = (0, 0);
    until("the service is held up", || {
        let now = written.load(Ordering::SeqCst);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        looks > 50
    });
    assert!(last < 4096 * 16 * 4000, "{last} bytes");
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
    drop(client);
    origin.wait_closed(0);
}
