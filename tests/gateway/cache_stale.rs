//! What is stale: asked for anew, given while the service fails, or while somebody else fetches; and what is over because
//! it was changed. An answer that comes with an `Age` beyond its lifetime is stale at once: no test waits.

use crate::cache::{is_hit, said, status};
use crate::support::{Gate, Gateway, Origin};

const OPEN: &str = "
    admin: { listen: 127.0.0.1:0 }
    policies: { cache: { stale_if_error: 1h } }
    routes: { /*: { upstream: ORIGIN1, timeout: 5s } }
    ";

const STALE: [(&str, &str); 2] = [("Cache-Control", "max-age=60"), ("Age", "100")];

#[test]
fn the_service_is_asked_whether_it_has_changed() {
    let origin = Origin::serve(|turn| {
        let condition = turn.request().headers.one("if-none-match").map(str::to_owned);
        match (turn.number(), condition.as_deref()) {
            (0, None) => turn.answer(
                200,
                &[
                    ("Cache-Control", "max-age=60"),
                    ("Age", "100"),
                    ("ETag", "\"v1\""),
                    ("X-Old", "a"),
                    ("X-Both", "a"),
                ],
                "whole",
            ),
            (_, Some("\"v1\"")) => {
                let fresh =
                    [("Cache-Control", "max-age=600"), ("ETag", "\"v1\""), ("X-Both", "b"), ("X-New", "b")];
                turn.answer(304, &fresh, "");
            }
            other => turn.answer(500, &[], format!("{other:?}")),
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    assert_eq!(said(&client.get("/a")), "fwd=uri-miss; stored");
    let renewed = client.get("/a");
    assert_eq!(said(&renewed), "fwd=stale; fwd-status=304; stored");
    for answer in [renewed, client.get("/a")] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
        assert_eq!(answer.header("cache-control"), Some("max-age=600"));
        let lines = ["x-old", "x-both", "x-new"].map(|name| answer.header(name));
        assert_eq!(lines, [Some("a"), Some("b"), Some("b")]);
    }
    is_hit(&client.get("/a"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_conditions_of_the_client_are_judged_by_what_comes_of_it() {
    let origin = Origin::serve(|turn| {
        let request = turn.request();
        let tag = request.headers.one("if-none-match").unwrap_or("none").to_owned();
        assert!(turn.number() == 0 || !request.has("if-modified-since"));
        let headers = [("Cache-Control", "max-age=60"), ("Age", "100"), ("ETag", "\"v1\"")];
        if tag == "\"v1\"" { turn.answer(304, &headers, "") } else { turn.answer(200, &headers, "whole") }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/a");
    for (name, value, status) in [
        ("If-None-Match", "\"v1\"", 304),
        ("If-None-Match", "\"v0\"", 200),
        ("If-Modified-Since", "Wed, 01 Jan 2025 00:00:00 GMT", 200),
    ] {
        let answer = client.request("GET", "/a", &[(name, value)], b"");
        assert_eq!(
            (answer.status, said(&answer)),
            (status, "fwd=stale; fwd-status=304; stored"),
            "{name}: {value}"
        );
        assert_eq!(answer.text(), if status == 200 { "whole" } else { "" });
        assert_eq!(origin.last().header("if-none-match"), Some("\"v1\""));
    }
}

#[test]
fn a_date_is_asked_by_where_there_is_no_tag() {
    const DATE: &str = "Wed, 01 Jan 2025 00:00:00 GMT";
    let origin = Origin::serve(|turn| match turn.request().headers.one("if-modified-since") {
        Some(DATE) => turn.answer(304, &[("Cache-Control", "max-age=60")], ""),
        _ => turn.answer(200, &[("Cache-Control", "no-cache"), ("Last-Modified", DATE)], "whole"),
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    gateway.get("/a");
    let answer = gateway.get("/a");
    assert_eq!((answer.text().as_str(), said(&answer)), ("whole", "fwd=stale; fwd-status=304; stored"));
    is_hit(&gateway.get("/a"));
}

#[test]
fn what_must_be_asked_for_is_asked_for_each_time() {
    let origin = Origin::serve(|turn| {
        let headers = [("Cache-Control", "no-cache, max-age=60, stale-if-error=60"), ("ETag", "\"v1\"")];
        match turn.number() {
            0 => turn.answer(200, &headers, "whole"),
            1 | 2 => turn.answer(304, &headers, ""),
            _ => turn.answer(503, &[], "away"),
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    gateway.get("/a");
    for _ in 0..2 {
        assert_eq!(said(&gateway.get("/a")), "fwd=stale; fwd-status=304; stored");
    }
    let answer = gateway.get("/a");
    assert_eq!((answer.status, said(&answer)), (503, "fwd=stale; fwd-status=503"));
}

#[test]
fn a_new_answer_takes_the_place_of_the_old_one() {
    let origin = Origin::serve(|turn| {
        let tag = format!("\"v{}\"", turn.number());
        match turn.number() {
            0 => turn.answer(200, &[STALE[0], STALE[1], ("ETag", &tag)], "old"),
            1 => turn.answer(200, &[("Cache-Control", "max-age=60"), ("ETag", &tag)], "new"),
            2 => turn.answer(200, &[STALE[0], STALE[1], ("ETag", &tag)], "old"),
            3 => turn.answer(429, &[], "not now"),
            4 => turn.answer(503, &[], "away"),
            5 => turn.answer(200, &[("Cache-Control", "no-store")], "secret"),
            _ => turn.answer(503, &[], "away"),
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    gateway.get("/a");
    let answer = gateway.get("/a");
    assert_eq!((answer.text().as_str(), said(&answer)), ("new", "fwd=stale; fwd-status=200; stored"));
    let hit = gateway.get("/a");
    is_hit(&hit);
    assert_eq!(hit.text(), "new");
    // What came after it, and was not to be kept, ends it too; a refusal does not.
    for text in ["old", "not now", "old", "secret"] {
        assert_eq!(gateway.get("/b").text(), text);
    }
    let answer = gateway.get("/b");
    assert_eq!((answer.status, said(&answer)), (503, "fwd=uri-miss"));
}

/// Credentials that the gateway did not judge, and a request that lets nothing be kept.
const MAY_NOT_BRING: [(&str, &str); 2] = [("Authorization", "junk"), ("Cache-Control", "no-store")];

#[test]
fn a_request_that_may_not_bring_an_answer_does_not_end_one() {
    for method in ["GET", "HEAD"] {
        for line in MAY_NOT_BRING {
            let origin = Origin::serve(|turn| match turn.number() {
                0 => turn.answer(200, &[STALE[0], STALE[1], ("ETag", "\"v1\"")], "kept"),
                1 => turn.answer(200, &[("Cache-Control", "max-age=60")], "another one"),
                _ => turn.answer(503, &[], "away"),
            });
            let gateway = Gateway::start(&[&origin], OPEN);
            let mut client = gateway.client();
            client.get("/a");
            let other = client.request(method, "/a", &[line], b"");
            assert_eq!((other.status, said(&other)), (200, "fwd=stale; fwd-status=200"), "{method} {line:?}");
            let answer = client.get("/a");
            assert_eq!((answer.status, answer.text().as_str()), (200, "kept"), "{method} {line:?}");
            assert_eq!(said(&answer), "fwd=stale; fwd-status=503");
        }
    }
    // One that may bring it ends it.
    let origin = Origin::serve(|turn| match turn.number() {
        0 => turn.answer(200, &STALE, "kept"),
        1 => turn.answer(200, &[("Cache-Control", "max-age=60")], "another one"),
        _ => turn.answer(503, &[], "away"),
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/a");
    client.request("HEAD", "/a", &[], b"");
    assert_eq!(client.get("/a").status, 503);
}

#[test]
fn a_304_to_one_that_may_not_bring_an_answer_does_not_end_one_either() {
    let origin = Origin::serve(|turn| match turn.number() {
        0 => turn.answer(200, &[STALE[0], STALE[1], ("ETag", "\"v1\"")], "kept"),
        1 => turn.answer(304, &[("ETag", "\"v2\"")], ""),
        2 => turn.answer(200, &[("Cache-Control", "max-age=60"), ("ETag", "\"v2\"")], "another one"),
        _ => turn.answer(503, &[], "away"),
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/a");
    assert_eq!(client.request("GET", "/a", &MAY_NOT_BRING[..1], b"").text(), "another one");
    assert_eq!(client.get("/a").text(), "kept");
}

#[test]
fn what_is_stale_stands_in_for_a_service_that_fails() {
    let origin = Origin::serve(|turn| {
        let target = turn.request().target().to_owned();
        if !turn.request().has("x-fail") {
            return turn.answer(200, &STALE, "kept");
        }
        match target.as_str() {
            "/reset" => turn.reset(),
            "/broken" => turn.raw("no HTTP\r\n\r\n"),
            status => turn.answer(status[1..].parse().unwrap(), &[("X-Error", "1")], "an error"),
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let fail = [("X-Fail", "1")];
    for target in ["/500", "/502", "/503", "/504", "/reset", "/broken"] {
        gateway.get(target);
        let answer = gateway.request("GET", target, &fail, b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "kept"), "{target}");
        let expected = if target.len() == 4 { &target[1..] } else { "502" };
        assert_eq!(said(&answer), format!("fwd=stale; fwd-status={expected}"));
        assert!(!answer.headers.has("x-error"));
        assert!(answer.header("age").unwrap().parse::<u64>().unwrap() >= 100);
    }
    for target in ["/404", "/501", "/429"] {
        gateway.get(target);
        assert_eq!(gateway.request("GET", target, &fail, b"").status.to_string(), target[1..]);
    }
    assert_eq!(status(&gateway)["stale"], 6);
    // The log tells of the service all the same.
    let log = gateway.log(18);
    let failed: Vec<_> = log.iter().filter(|line| line["error"] == "upstream failure").collect();
    assert!(failed.len() == 2 && failed.iter().all(|line| line["status"] == 200), "{failed:?}");
}

#[test]
fn how_long_it_stands_in_is_what_the_answer_says() {
    let origin = Origin::serve(|turn| {
        let control = match turn.request().target() {
            "/longer" => "max-age=60, stale-if-error=1000",
            "/shorter" => "max-age=60, stale-if-error=10",
            "/must" => "max-age=60, must-revalidate",
            "/shared" => "s-maxage=60",
            _ => "max-age=60",
        };
        if turn.request().has("x-fail") {
            turn.answer(503, &[], "away");
        } else {
            turn.answer(200, &[("Cache-Control", control), ("Age", "100"), ("ETag", "\"v1\"")], "kept");
        }
    });
    let config = |key: &str| {
        format!("policies: {{ cache: {{ {key} }} }}\nroutes: {{ /*: {{ upstream: ORIGIN1 }} }}\n")
    };
    // It has been stale for 40 s.
    for (key, target, stands_in) in [
        ("", "/plain", false),
        ("stale_if_error: 30s", "/plain", false),
        ("stale_if_error: 1h", "/plain", true),
        ("", "/longer", true),
        ("stale_if_error: 1h", "/shorter", false),
        ("stale_if_error: 1h", "/must", false),
        ("stale_if_error: 1h", "/shared", false),
        ("stale_while_revalidate: 1h", "/plain", true),
    ] {
        let gateway = Gateway::start(&[&origin], &config(key));
        gateway.get(target);
        let answer = gateway.request("GET", target, &[("X-Fail", "1")], b"");
        assert_eq!(answer.status, if stands_in { 200 } else { 503 }, "{key} {target}");
    }
}

#[test]
fn one_fetches_anew_while_the_others_get_what_is_stale() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::serve(move |turn| match turn.number() {
        0 => turn.answer(200, &[STALE[0], STALE[1], ("X", "1")], "old"),
        1 => {
            turn.chunked(200, &[("Cache-Control", "max-age=60")]);
            turn.chunk("n");
            turn.wait(&opened);
            turn.chunk("ew");
            turn.last_chunk(&[]);
        }
        _ => turn.answer(500, &[], "asked too often"),
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cache: { stale_while_revalidate: 1h } }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    gateway.get("/a");
    let mut first = gateway.client();
    first.send("GET /a HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(2);
    for _ in 0..3 {
        let answer = gateway.get("/a");
        assert_eq!(answer.text(), "old");
        let ttl: i64 = said(&answer).strip_prefix("hit; ttl=").unwrap().parse().unwrap();
        assert!(ttl <= -40, "{ttl}");
    }
    gate.open();
    let answer = first.read();
    assert_eq!((answer.text().as_str(), said(&answer)), ("new", "fwd=stale; fwd-status=200; stored"));
    let answer = gateway.get("/a");
    is_hit(&answer);
    assert_eq!((answer.text().as_str(), origin.count()), ("new", 2));
}

#[test]
fn who_leaves_leaves_the_fetching_to_the_next() {
    let origin = Origin::serve(|turn| match turn.number() {
        0 => turn.answer(200, &STALE, "old"),
        1 => turn.wait_closed(),
        _ => turn.answer(200, &[("Cache-Control", "max-age=60")], "new"),
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cache: { stale_while_revalidate: 1h } }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    gateway.get("/a");
    let mut leaving = gateway.client();
    leaving.send("GET /a HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(2);
    assert_eq!(gateway.get("/a").text(), "old");
    drop(leaving);
    gateway.log(3);
    assert_eq!(gateway.get("/a").text(), "new");
}

#[test]
fn an_unsafe_method_that_succeeds_ends_what_was_known() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        let status = if turn.request().target().contains("fail") { 409 } else { 200 };
        turn.answer(
            status,
            &[("Cache-Control", "max-age=60"), ("Vary", "accept")],
            turn.number().to_string(),
        );
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cache: {} }
        routes:
          GET /items/*: { upstream: ORIGIN1 }
          POST,PUT,PATCH,DELETE,OPTIONS /items/*: { upstream: ORIGIN1 }
          GET /loose/{id}: { upstream: ORIGIN1 }
          PUT /loose/{id}: { upstream: ORIGIN1, policies: { cache: none } }
        ",
    );
    let mut client = gateway.client();
    for (method, target, ends) in [
        ("POST", "/items/1", true),
        ("PUT", "/items/1", true),
        ("PATCH", "/items/1?x=2", true),
        ("DELETE", "/items/1", true),
        ("OPTIONS", "/items/1", false),
        ("PUT", "/items/1?fail", false),
        ("PUT", "/items/2", false),
    ] {
        for asked in ["/items/1", "/items/1?x=1"] {
            client.get(asked);
            is_hit(&client.get(asked));
        }
        assert!(!client.request(method, target, &[], b"new").headers.has("cache-status"));
        for asked in ["/items/1", "/items/1?x=1"] {
            assert_eq!(!said(&client.get(asked)).starts_with("hit"), ends, "{method} {target}");
        }
    }
    client.get("/loose/1");
    client.request("PUT", "/loose/1", &[], b"new");
    is_hit(&client.get("/loose/1"));
}

#[test]
fn what_was_asked_before_a_change_is_not_kept_after_it() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.read_body();
        if turn.number() == 0 {
            turn.wait(&opened);
        }
        turn.answer(200, &[("Cache-Control", "max-age=60")], turn.number().to_string());
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut slow = gateway.client();
    slow.send("GET /a HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    assert_eq!(gateway.request("PUT", "/a", &[], b"new").status, 200);
    gate.open();
    assert_eq!(slow.read().text(), "0");
    let after = gateway.get("/a");
    assert_eq!(after.text(), "2", "the old one was not kept");
    is_hit(&gateway.get("/a"));
}

#[test]
fn what_is_kept_is_shaped_already() {
    let origin = Origin::serve(|turn| match turn.request().headers.one("if-none-match") {
        Some("W/\"v1\"") => turn.answer(304, &[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")], ""),
        _ => {
            let headers = [STALE[0], STALE[1], ("Content-Type", "application/json"), ("ETag", "\"v1\"")];
            turn.answer(200, &headers, "{\"id\":1,\"secret\":2}");
        }
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        policies: { cache: {}, shape: { keep: [id] } }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    for told in ["fwd=uri-miss; stored", "fwd=stale; fwd-status=304; stored"] {
        let answer = gateway.get("/a");
        assert_eq!((answer.text().as_str(), said(&answer)), ("{\"id\":1}", told));
    }
    let hit = gateway.get("/a");
    is_hit(&hit);
    assert_eq!((hit.text().as_str(), hit.header("content-type")), ("{\"id\":1}", Some("application/json")));
    assert_eq!(hit.header("etag"), Some("W/\"v1\""), "it is not byte for byte what the service has");
}
