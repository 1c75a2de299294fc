//! Answers of upstreams: what is read from them, and what is refused.

use super::HeadError::Malformed;
use super::*;

fn get(buf: &[u8]) -> Outcome {
    response(buf, false)
}

#[track_caller]
fn reads(head: &str, facts: &str) {
    assert_eq!(settle(head.as_bytes(), get), Ok(Some(format!("{facts} +0"))), "{head:?}");
    let mut table = [httparse::EMPTY_HEADER; 64];
    let other = httparse::Response::new(&mut table).parse(head.as_bytes());
    assert_eq!(other, Ok(httparse::Status::Complete(head.len())), "{head:?}");
}

#[track_caller]
fn refuses(head: &str, why: HeadError) {
    assert_eq!(settle(head.as_bytes(), get), Err(why), "{head:?}");
}

fn ok(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n")
}

#[test]
fn plain_answers() {
    reads(&ok("content-length: 2\r\nServer: x\r\n"), "200 HTTP/1.1 Length(2) keep server=x");
    reads(&ok("content-length: 0\r\n"), "200 HTTP/1.1 Length(0) keep ");
    reads(&ok("Transfer-Encoding: Chunked\r\n"), "200 HTTP/1.1 Chunked keep ");
    reads(&ok(""), "200 HTTP/1.1 UntilClose close ");
    reads(&ok("connection: close\r\ncontent-length: 2\r\n"), "200 HTTP/1.1 Length(2) close ");
    reads(&ok("connection: keep-alive\r\n"), "200 HTTP/1.1 UntilClose close ");
    reads("HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\n", "200 HTTP/1.1 Length(1) keep ");
    reads("HTTP/1.1 200\r\ncontent-length: 1\r\n\r\n", "200 HTTP/1.1 Length(1) keep ");
    let later = "HTTP/1.2 200 OK\r\ncontent-length: 1\r\n\r\n";
    assert_eq!(settle(later.as_bytes(), get), Ok(Some("200 HTTP/1.1 Length(1) keep  +0".into())));
    reads("HTTP/1.1 404 Not  Found\there\r\ncontent-length: 1\r\n\r\n", "404 HTTP/1.1 Length(1) keep ");
    reads("HTTP/1.1 599 \u{fc}\r\ncontent-length: 1\r\n\r\n", "599 HTTP/1.1 Length(1) keep ");
    reads("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", "200 HTTP/1.0 Length(1) close ");
    reads(
        "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: Keep-Alive\r\n\r\n",
        "200 HTTP/1.0 Length(1) keep ",
    );
    reads("HTTP/1.0 200 OK\r\n\r\nx".trim_end_matches('x'), "200 HTTP/1.0 UntilClose close ");
}

#[test]
fn answers_without_a_body() {
    reads("HTTP/1.1 100 Continue\r\n\r\n", "100 HTTP/1.1 None keep ");
    reads("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", "103 HTTP/1.1 None keep link=</x>");
    reads(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\nx: 1\r\n\r\n",
        "101 HTTP/1.1 None keep x=1|upgrade=foo",
    );
    reads("HTTP/1.1 204 No Content\r\n\r\n", "204 HTTP/1.1 None keep ");
    reads("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "204 HTTP/1.1 None keep ");
    reads("HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", "304 HTTP/1.1 None keep etag=x");
    reads(
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
        "304 HTTP/1.1 None keep content-length=7",
    );
    // What would follow could be read as the next answer.
    reads("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", "204 HTTP/1.1 None close ");
    reads("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", "204 HTTP/1.1 None close ");
}

#[test]
fn answers_to_head() {
    for (lines, facts) in [
        ("content-length: 5\r\n", "200 HTTP/1.1 None keep content-length=5 +0"),
        ("connection: content-length\r\ncontent-length: 5\r\n", "200 HTTP/1.1 None keep content-length=5 +0"),
        ("transfer-encoding: chunked\r\n", "200 HTTP/1.1 None keep  +0"),
        ("", "200 HTTP/1.1 None keep  +0"),
    ] {
        assert_eq!(settle(ok(lines).as_bytes(), |buf| response(buf, true)), Ok(Some(facts.into())));
    }
    let both = ok("content-length: 5\r\ntransfer-encoding: chunked\r\n");
    assert!(response(both.as_bytes(), true).is_err());
    assert!(response(ok("content-length: 5x\r\n").as_bytes(), true).is_err());
}

#[test]
fn lines_of_one_connection_do_not_travel() {
    reads(
        &ok(
            "a: 1\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\n\
             trailer: x\r\nupgrade: h2c\r\ncontent-length: 1\r\nset-cookie: a\r\nset-cookie: b\r\n",
        ),
        "200 HTTP/1.1 Length(1) keep a=1|set-cookie=a|set-cookie=b",
    );
}

#[test]
fn what_announces_trailers_travels_where_they_do() {
    reads(
        &ok("trailer: x-sum\r\ntransfer-encoding: chunked\r\nTrailer: x-t\r\n"),
        "200 HTTP/1.1 Chunked keep trailer=x-sum|trailer=x-t",
    );
    reads(&ok("trailer: x-sum\r\ncontent-length: 1\r\n"), "200 HTTP/1.1 Length(1) keep ");
    reads(&ok("trailer: x-sum\r\n"), "200 HTTP/1.1 UntilClose close ");
}

#[test]
fn a_required_upgrade_travels() {
    for lines in ["Upgrade: websocket", "connection: upgrade\r\nupgrade: websocket"] {
        reads(
            &format!("HTTP/1.1 426 Upgrade Required\r\n{lines}\r\nx: 1\r\ncontent-length: 0\r\n\r\n"),
            "426 HTTP/1.1 Length(0) keep x=1|upgrade=websocket",
        );
    }
    reads(
        &ok("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 0\r\n"),
        "200 HTTP/1.1 Length(0) keep ",
    );
}

#[test]
fn other_spellings_of_framing_frame_nothing() {
    for line in [
        "content_length: 7",
        "Content_Length: x",
        "transfer_encoding: gzip",
        "Transfer_Encoding: chunked",
        "keep_alive: 5",
    ] {
        reads(&ok(&format!("{line}\r\ncontent-length: 2\r\na: 1\r\n")), "200 HTTP/1.1 Length(2) keep a=1");
        reads(&ok(&format!("transfer-encoding: chunked\r\n{line}\r\n")), "200 HTTP/1.1 Chunked keep ");
        reads(&ok(&format!("{line}\r\n")), "200 HTTP/1.1 UntilClose close ");
    }
}

#[test]
fn framing_that_is_not_plain() {
    for (lines, why) in [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "content-length with transfer-encoding"),
        ("content-length: 5\r\ncontent-length: 6\r\n", "bad content-length"),
        ("content-length: 5\r\ncontent-length: 5\r\n", "bad content-length"),
        ("content-length: 5, 5\r\n", "bad content-length"),
        ("content-length: -1\r\n", "bad content-length"),
        ("transfer-encoding: gzip, chunked\r\n", "bad transfer-encoding"),
        ("transfer-encoding: gzip\r\n", "bad transfer-encoding"),
        ("transfer-encoding : chunked\r\n", "bad header name"),
        ("x: a\r\n b\r\n", "bad header name"),
        ("x: a\nb: c\r\n", "bare line feed"),
        ("x: a\rb\r\n", "bad header value"),
        ("x: a\0b\r\n", "bad header value"),
        (" x: a\r\n", "bad header name"),
    ] {
        refuses(&ok(lines), Malformed(why));
    }
    refuses(
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        Malformed("transfer-encoding in HTTP/1.0"),
    );
}

#[test]
fn status_lines() {
    for line in [
        "",
        " ",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 \x7f",
    ] {
        refuses(&format!("{line}\r\ncontent-length: 1\r\n\r\n"), Malformed("bad status line"));
    }
    for line in ["HTTP/x.1 200 OK", "http/1.1 200 OK", " HTTP/1.1 200 OK", "ICY/1.1 200 OK"] {
        refuses(&format!("{line}\r\ncontent-length: 1\r\n\r\n"), Malformed("bad version"));
    }
    refuses("HTTP/2.0 200 OK\r\n\r\n", HeadError::VersionNotSupported);
    refuses("HTTP/1.1 200 OK\ncontent-length: 1\n\n", Malformed("bare line feed"));
    refuses(&ok(&format!("x: {}\r\n", "v".repeat(3000))), HeadError::TooLarge);
    refuses(&"H".repeat(3000), HeadError::TooLarge);
    refuses(&ok(&"x: 1\r\n".repeat(LIMITS.headers + 1)), HeadError::TooManyHeaders);
}

#[test]
fn an_alert_of_tls_is_known_as_soon_as_it_begins() {
    let words = Malformed("it answers with an alert of TLS: is its URL `https://`?");
    for alert in [&b"\x15\x03\x03\x00\x02\x02\x16"[..], b"\x15\x03\x01\x00\x02\x02\x0a", b"\x15\x03"] {
        assert_eq!(get(alert), Err(words));
    }
}
