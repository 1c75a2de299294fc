//! Requests that are served, and what is read from them.

use super::*;

#[test]
fn plain_heads() {
    accepts("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 None keep host=a");
    accepts("GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET / HTTP/1.1 None keep host=a");
    accepts("GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET / HTTP/1.1 None keep host=a");
    accepts("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 None keep host=a");
    accepts("GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/b?c=d&e HTTP/1.1 None keep host=a");
    accepts("GET http://b/x HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET http://b/x HTTP/1.1 None keep host=a:80");
    accepts("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1 None keep host=a");
    accepts("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT a:443 HTTP/1.1 None keep host=a:443");
    accepts("GET /%2e%zz;|\"<> HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2e%zz;|\"<> HTTP/1.1 None keep host=a");
}

#[test]
fn any_token_is_a_method() {
    for method in
        ["HEAD", "PATCH", "TRACE", "PURGE", "BREW", "get", "M-SEARCH", "VERSION-CONTROL", "!#$%&'*+-.^_`|~9"]
    {
        accepts(
            &format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"),
            &format!("{method} / HTTP/1.1 None keep host=a"),
        );
    }
    let longest = "M".repeat(32);
    accepts(
        &format!("{longest} / HTTP/1.1\r\nhost: a\r\n\r\n"),
        &format!("{longest} / HTTP/1.1 None keep host=a"),
    );
}

#[test]
fn values_may_hold_tabs_and_foreign_bytes() {
    accepts(&with("x: a\tb  c\r\n"), "GET / HTTP/1.1 None keep host=a|x=a\tb  c");
    accepts(&with("x: \u{fc}ber\r\n"), "GET / HTTP/1.1 None keep host=a|x=\u{fc}ber");
    accepts(&with("x:\r\ny: \t \r\n"), "GET / HTTP/1.1 None keep host=a|x=|y=");
    accepts(&with("x: a:b, \"c\"\r\nX: d\r\n"), "GET / HTTP/1.1 None keep host=a|x=a:b, \"c\"|x=d");
    accepts(&with("!#$%&'*+-.^_`|~9: x\r\n"), "GET / HTTP/1.1 None keep host=a|!#$%&'*+-.^_`|~9=x");
    accepts(
        &with("authorization: a\r\nauthorization: b\r\n"),
        "GET / HTTP/1.1 None keep host=a|authorization=a|authorization=b",
    );
}

#[test]
fn framing_of_requests() {
    let framed = |lines: &str| with(lines).replace("GET", "POST");
    accepts(&framed("Content-Length: 5\r\n"), "POST / HTTP/1.1 Length(5) keep host=a");
    accepts(&framed("Content-Length: 0\r\n"), "POST / HTTP/1.1 Length(0) keep host=a");
    accepts(&framed("content-length:\t007 \r\n"), "POST / HTTP/1.1 Length(7) keep host=a");
    accepts(
        &framed("content-length: 18446744073709551615\r\n"),
        "POST / HTTP/1.1 Length(18446744073709551615) keep host=a",
    );
    for chunked in ["chunked", "Chunked", "CHUNKED", "\tchunked\t", "chunked  "] {
        accepts(&framed(&format!("Transfer-Encoding: {chunked}\r\n")), "POST / HTTP/1.1 Chunked keep host=a");
    }
    accepts(&framed(""), "POST / HTTP/1.1 None keep host=a");
    // Bodies of methods that seldom have one are framed like any other.
    for method in ["GET", "DELETE", "OPTIONS"] {
        accepts(
            &with("transfer-encoding: chunked\r\n").replace("GET", method),
            &format!("{method} / HTTP/1.1 Chunked keep host=a"),
        );
        accepts(
            &with("content-length: 3\r\n").replace("GET", method),
            &format!("{method} / HTTP/1.1 Length(3) keep host=a"),
        );
    }
    accepts(
        "POST / HTTP/1.0\r\ncontent-length: 2\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.0 Length(2) close host=a",
    );
}

#[test]
fn staying_open() {
    accepts(&with("connection: close\r\n"), "GET / HTTP/1.1 None close host=a");
    accepts(&with("connection: Keep-Alive\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts(&with("connection: keep-alive, CLOSE\r\n"), "GET / HTTP/1.1 None close host=a");
    accepts(&with("connection: keep-alive\r\nconnection: close\r\n"), "GET / HTTP/1.1 None close host=a");
    accepts(&with("connection: closed\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts(&with("connection: ,, close ,\r\n"), "GET / HTTP/1.1 None close host=a");
    accepts(&with("proxy-connection: close\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0 None close ");
    accepts("GET / HTTP/1.0\r\nhost: a\r\n\r\n", "GET / HTTP/1.0 None close host=a");
    accepts("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", "GET / HTTP/1.0 None keep ");
    accepts("GET / HTTP/1.0\r\nconnection: keep-alive, close\r\n\r\n", "GET / HTTP/1.0 None close ");
}

#[test]
fn lines_of_one_connection_do_not_travel() {
    for line in [
        "Connection: x",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: Basic eDp5",
        "TE: gzip",
        "Trailer: x-t",
        "Upgrade: foo/1",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Expect: 100-continue",
        "keep_alive: 5",
        "Proxy_Authorization: Basic eDp5",
        "HTTP2_Settings: x",
    ] {
        accepts(&with(&format!("a: 1\r\n{line}\r\nb: 2\r\n")), "GET / HTTP/1.1 None keep host=a|a=1|b=2");
    }
}

#[test]
fn what_is_said_of_trailers_is_kept_for_those_who_pass_them_on() {
    for (lines, kept) in [
        ("TE: trailers", "|te=trailers"),
        ("te: gzip;q=0.5,\tTrailers\r\nconnection: te", "|te=trailers"),
        ("te: gzip\r\ntrailer: x-t", ""),
        ("trailer: x-t\r\ntransfer-encoding: chunked\r\nTrailer: x-u", "|trailer=x-t|trailer=x-u"),
        ("trailer: x-t\r\ncontent-length: 0", ""),
    ] {
        let framing = match lines {
            lines if lines.contains("chunked") => "Chunked",
            lines if lines.contains("length") => "Length(0)",
            _ => "None",
        };
        accepts(&with(&format!("{lines}\r\n")), &format!("GET / HTTP/1.1 {framing} keep host=a{kept}"));
    }
}

#[test]
fn lines_that_connection_names_do_not_travel() {
    let both = "X-User: admin\r\nx-other: 1\r\n";
    for options in ["x-user", "X-USER", "close-not, x-user", "te,\tx-user\t,y", "keep-alive,x-user"] {
        accepts(
            &with(&format!("connection: {options}\r\n{both}")),
            "GET / HTTP/1.1 None keep host=a|x-other=1",
        );
        accepts(
            &with(&format!("{both}connection: {options}\r\n")),
            "GET / HTTP/1.1 None keep host=a|x-other=1",
        );
    }
    accepts(
        &with("connection: x-a\r\nx-a: 1\r\nx-b: 2\r\nconnection: x-b\r\n"),
        "GET / HTTP/1.1 None keep host=a",
    );
    // Where a message goes, what it carries and how it is framed stay as they are.
    accepts(&with("connection: host\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts(
        &with("connection: content-length, transfer-encoding\r\ncontent-length: 4\r\n"),
        "GET / HTTP/1.1 Length(4) keep host=a",
    );
    accepts(
        &with("connection: content-length, transfer-encoding\r\ntransfer-encoding: chunked\r\n"),
        "GET / HTTP/1.1 Chunked keep host=a",
    );
    accepts(
        &with("connection: content-type\r\ncontent-type: text/plain\r\n"),
        "GET / HTTP/1.1 None keep host=a|content-type=text/plain",
    );
    let many: Vec<String> = (0..32).map(|at| format!("n{at}")).collect();
    accepts(&with(&format!("connection: {}\r\n", many.join(","))), "GET / HTTP/1.1 None keep host=a");
}

#[test]
fn expectations() {
    let post = |lines: &str| with(lines).replace("GET", "POST");
    accepts(
        &post("expect: 100-Continue\r\ncontent-length: 3\r\n"),
        "POST / HTTP/1.1 Length(3) keep expect host=a",
    );
    accepts(
        &post("transfer-encoding: chunked\r\nexpect: 100-continue\r\n"),
        "POST / HTTP/1.1 Chunked keep expect host=a",
    );
    accepts(&post("expect: 100-continue\r\ncontent-length: 0\r\n"), "POST / HTTP/1.1 Length(0) keep host=a");
    accepts(&with("expect: 100-continue\r\n"), "GET / HTTP/1.1 None keep host=a");
    // RFC 9110 section 10.1.1: an older client cannot expect.
    accepts(
        "POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
        "POST / HTTP/1.0 Length(3) close ",
    );
    accepts("GET / HTTP/1.0\r\nexpect: tea\r\n\r\n", "GET / HTTP/1.0 None close ");
}

#[test]
fn later_minor_versions_are_the_highest_that_is_known() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let head =
            format!("POST / {version}\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
        let facts = "POST / HTTP/1.1 Length(3) keep expect host=a +0";
        assert_eq!(settle(head.as_bytes(), request), Ok(Some(facts.into())), "{version}");
    }
}

#[test]
fn offers_to_upgrade() {
    let offer = "connection: Upgrade\r\nupgrade: websocket\r\n";
    accepts(&with(offer), "GET / HTTP/1.1 None keep host=a|upgrade=websocket");
    for (many, passing) in [
        ("WebSocket/13", "WebSocket/13"),
        ("h2c, websocket", "websocket"),
        ("h2c\r\nupgrade: websocket", "websocket"),
        ("foo/1\r\nupgrade: WEBSOCKET,bar", "foo/1, WEBSOCKET, bar"),
    ] {
        accepts(
            &with(&format!("connection: upgrade\r\nupgrade: {many}\r\n")),
            &format!("GET / HTTP/1.1 None keep host=a|upgrade={passing}"),
        );
    }
    // What would carry HTTP past the policies is no offer; nor is what is no protocol.
    for other in ["h2c", "h2c, HTTP/2.0", "TLS/1.0", "foo bar", "/foo", ""] {
        accepts(
            &with(&format!("connection: upgrade\r\nupgrade: {other}\r\n")),
            "GET / HTTP/1.1 None keep host=a",
        );
    }
    // With content there is none either.
    let (none, some) = ("content-length: 0\r\n", "content-length: 1\r\n");
    accepts(&with(&format!("{offer}{none}")), "GET / HTTP/1.1 Length(0) keep host=a|upgrade=websocket");
    accepts(&with(&format!("{offer}{some}")), "GET / HTTP/1.1 Length(1) keep host=a");
    accepts(
        &with("upgrade: websocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-version: 13\r\n"),
        "GET / HTTP/1.1 None keep host=a|sec-websocket-version=13|upgrade=websocket",
    );
    accepts(&with("connection: upgrade\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts(&with("upgrade: websocket\r\n"), "GET / HTTP/1.1 None keep host=a");
    accepts(&format!("GET / HTTP/1.0\r\n{offer}\r\n"), "GET / HTTP/1.0 None close ");
}

#[test]
fn hosts() {
    for host in [
        "gw.test",
        "GW.Test",
        "gw.test.",
        "gw.test:8080",
        "a_b-c~d.test",
        "127.0.0.1:0",
        "localhost:65535",
        "[::1]",
        "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]",
    ] {
        accepts(
            &format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            &format!("GET / HTTP/1.1 None keep host={host}"),
        );
    }
    for host in ["gw.test", "127.0.0.1", "[::1]"] {
        accepts(
            &format!("GET / HTTP/1.1\r\nHost: {host}:\r\nx: 1\r\n\r\n"),
            &format!("GET / HTTP/1.1 None keep x=1|host={host}"),
        );
    }
    let longest = format!("{}a", "a.".repeat(126));
    accepts(
        &format!("GET / HTTP/1.1\r\nhost: {longest}\r\n\r\n"),
        &format!("GET / HTTP/1.1 None keep host={longest}"),
    );
}

#[test]
fn heads_up_to_the_limits() {
    let target = format!("/{}", "a".repeat(LIMITS.target - 1));
    accepts(
        &format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"),
        &format!("GET {target} HTTP/1.1 None keep host=a"),
    );
    let lines: String = (1..LIMITS.headers).map(|at| format!("x{at}: 1\r\n")).collect();
    assert!(matches!(settle(with(&lines).as_bytes(), request), Ok(Some(_))));
    let frame = with("x: \r\n").len();
    let value = "v".repeat(LIMITS.head - frame);
    accepts(&with(&format!("x: {value}\r\n")), &format!("GET / HTTP/1.1 None keep host=a|x={value}"));
    // The CRLF that is skipped is not part of the head.
    let head = format!("\r\n{}", with(&format!("x: {value}\r\n")));
    accepts(&head, &format!("GET / HTTP/1.1 None keep host=a|x={value}"));
}

#[test]
fn more_lines_than_either_table_has() {
    let limits = HeadLimits { head: 65536, headers: 500, target: 256 };
    for count in [19, 20, 21, 127, 128, 129, 400] {
        let lines: String = (1..count).map(|at| format!("x{at}: {at}\r\n")).collect();
        let head = parse_request(with(&lines).as_bytes(), &limits, Headers::new()).unwrap().unwrap();
        assert_eq!(head.headers.len(), count);
        assert_eq!(head.headers.get("x7"), Some(b"7" as &[u8]));
    }
}

#[test]
fn heads_that_are_not_there_yet() {
    let head = with("x: 1\r\n");
    for end in 0..head.len() {
        assert_eq!(request(&head.as_bytes()[..end]), Ok(None));
    }
    for start in ["\r", "\r\n", "\r\nG", "GET /", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nhost: a\r\n\r"] {
        assert_eq!(settle(start.as_bytes(), request), Ok(None));
    }
}

#[test]
fn what_follows_an_offer_to_upgrade_is_the_next_request() {
    let both = "GET /open/a HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n\
                GET /private/b HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let head = parse_request(both.as_bytes(), &LIMITS, Headers::new()).unwrap().unwrap();
    assert_eq!(
        request(&both.as_bytes()[head.len..]),
        Ok(Some("GET /private/b HTTP/1.1 None keep host=gw.test +0".into()))
    );
}
