//! Requests that are refused: each is read differently by some server.

use super::HeadError::Malformed;
use super::*;

#[track_caller]
fn refuses_lines(lines: &str, why: &'static str) {
    refuses(with(lines), Malformed(why));
}

#[test]
fn known_smuggling() {
    refuses(
        "POST /api/echo HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /admin HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        Malformed("content-length with transfer-encoding"),
    );
    refuses(
        "POST /api/echo HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\t\r\nContent-Length: 39\r\n\r\n\
         0\r\n\r\nGET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        Malformed("content-length with transfer-encoding"),
    );
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 8",
        "Content-Length: 8\r\nContent-Length: 8",
        "Content-Length: 3, 8",
        "Content-Length: 8, 8",
    ] {
        refuses(
            format!("POST /api/echo HTTP/1.1\r\nHost: gw.test\r\n{lengths}\r\n\r\nabcdefgh"),
            Malformed("bad content-length"),
        );
    }
    refuses(
        "POST /api/echo HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\nContent-Length : 3\r\n\r\nhello",
        Malformed("bad header name"),
    );
    refuses(
        "POST /api/echo HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n\
         1d\r\nGET /z HTTP/1.1\r\nHost: zz\r\n\r\n\r\n0\r\n\r\n",
        Malformed("content-length with transfer-encoding"),
    );
    refuses("GET /open/a#/../../private HTTP/1.1\r\nHost: gw.test\r\n\r\n", Malformed("bad request target"));
}

#[test]
fn lengths_that_are_no_number() {
    for length in [
        "",
        "+5",
        "-5",
        "5 5",
        "5\t5",
        "0x5",
        "5.0",
        "5;",
        "\"5\"",
        "five",
        "1e1",
        ",5",
        "5,",
        "\u{661}",
        "5_0",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        refuses_lines(&format!("content-length: {length}\r\n"), "bad content-length");
    }
    refuses_lines("content_length: 5\r\n", "bad content-length");
    refuses_lines("Content-Length: 5\r\nCONTENT_LENGTH: 3\r\n", "bad content-length");
}

#[test]
fn codings_other_than_chunked() {
    for coding in [
        "",
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ",chunked",
        "chun ked",
        "c\u{fc}nked",
    ] {
        refuses_lines(&format!("transfer-encoding: {coding}\r\n"), "bad transfer-encoding");
    }
    refuses_lines("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "bad transfer-encoding");
    refuses_lines("transfer-encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "bad transfer-encoding");
    refuses_lines("transfer_encoding: chunked\r\n", "bad transfer-encoding");
    refuses_lines("transfer-encoding: \x0bchunked\r\n", "bad header value");
    refuses_lines("content-length: 1\r\ntransfer_encoding: chunked\r\n", "bad transfer-encoding");
    refuses(
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        Malformed("transfer-encoding in HTTP/1.0"),
    );
}

#[test]
fn lines_that_end_otherwise() {
    for head in [
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: b\n\n",
        "GET / HTTP/1.1\r\n\nhost: a\r\n\r\n",
    ] {
        refuses(head, Malformed("bare line feed"));
    }
    refuses("GET / HTTP/1.1\r\nhost: a\r\nx: b\ry: c\r\n\r\n", Malformed("bad header value"));
    refuses("GET / HTTP/1.1\r\nhost: a\r\nx: b\r\r\n\r\n", Malformed("bad header value"));
    refuses("GET / HTTP/1.1\r\nhost: a\r\nx\r: b\r\n\r\n", Malformed("bad header name"));
    refuses("GET / HTTP/1.1\r\nhost: a\r\nx:\rb\r\n\r\n", Malformed("bad header value"));
    refuses("GET / HTTP/1.1\r\nhost: a\r\n\rx: b\r\n\r\n", Malformed("bad header line"));
    refuses("GET / HTTP/1.1\r\r\nhost: a\r\n\r\n", Malformed("bad version"));
    refuses("GET /\r HTTP/1.1\r\nhost: a\r\n\r\n", Malformed("bad request target"));
    refuses("GET\r / HTTP/1.1\r\nhost: a\r\n\r\n", Malformed("bad method"));
}

#[test]
fn folded_and_indented_lines() {
    refuses_lines("x: a\r\n b\r\n", "bad header name");
    refuses_lines("x: a\r\n\tb\r\n", "bad header name");
    refuses_lines("x: a\r\n \r\n", "bad header name");
    refuses_lines("transfer-encoding:\r\n chunked\r\n", "bad header name");
    refuses("GET / HTTP/1.1\r\n host: a\r\n\r\n", Malformed("bad header name"));
    refuses("GET / HTTP/1.1\r\n\tx: b\r\nhost: a\r\n\r\n", Malformed("bad header name"));
    refuses("GET / HTTP/1.1\r\n \r\nhost: a\r\n\r\n", Malformed("bad header name"));
}

#[test]
fn names_that_are_no_token() {
    for name in [
        "x ", "x\t", "", "x y", "x(y)", "x\"", "x/y", "x@y", "x[", "x{", "x\0", "x\x7f", "x\u{fc}", "x;",
        "x,y", "x=",
    ] {
        refuses_lines(&format!("{name}: 1\r\n"), "bad header name");
    }
    refuses_lines("no colon\r\n", "bad header name");
    refuses_lines("nocolon\r\n", "bad header name");
    refuses_lines("host : b\r\n", "bad header name");
    refuses_lines("transfer-encoding : chunked\r\n", "bad header name");
}

#[test]
fn values_with_control_bytes() {
    for byte in (0u8..0x20).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r')) {
        refuses_lines(&format!("x: a{}b\r\n", char::from(byte)), "bad header value");
        refuses_lines(&format!("x: {}\r\n", char::from(byte)), "bad header value");
    }
}

#[test]
fn request_lines() {
    for (line, why) in [
        ("", "bad request line"),
        (" ", "bad request line"),
        (" GET / HTTP/1.1", "bad request line"),
        ("\tGET / HTTP/1.1", "bad request line"),
        ("GET", "bad request line"),
        ("GET ", "bad request line"),
        ("GET /", "bad request line"),
        ("GET / ", "bad version"),
        ("GET  / HTTP/1.1", "bad version"),
        ("GET /  HTTP/1.1", "bad version"),
        ("GET / HTTP/1.1 ", "bad version"),
        ("GET / HTTP/1.1\t", "bad version"),
        ("GET / x HTTP/1.1", "bad version"),
        ("GET\t/ HTTP/1.1", "bad request line"),
        ("GET\t / HTTP/1.1", "bad method"),
        ("GET /\tHTTP/1.1", "bad request line"),
        ("GET /a\tb HTTP/1.1", "bad request target"),
        ("GET /a\0b HTTP/1.1", "bad request target"),
        ("GET /a\x7f HTTP/1.1", "bad request target"),
        ("GET /\u{fc} HTTP/1.1", "bad request target"),
        ("GET /a#b HTTP/1.1", "bad request target"),
        ("G(T / HTTP/1.1", "bad method"),
        ("GET, / HTTP/1.1", "bad method"),
        ("G\u{cb}T / HTTP/1.1", "bad method"),
        ("G\0T / HTTP/1.1", "bad method"),
        ("GET / http/1.1", "bad version"),
        ("GET / Http/1.1", "bad version"),
        ("GET / HTTP/1.1x", "bad version"),
        ("GET / HTTP/11", "bad version"),
        ("GET / HTTP/1,1", "bad version"),
        ("GET / HTTP/x.1", "bad version"),
        ("GET / HTTP 1.1", "bad version"),
        ("GET / HTTP/+1.1", "bad version"),
        ("GET / HTTP/1.", "bad version"),
        ("GET / HTTPS/1.1", "bad version"),
        ("GET / ICY/1.1", "bad version"),
    ] {
        // The empty line is skipped once, and not a second time.
        let twice = if line.is_empty() { "\r\n" } else { "" };
        refuses(format!("{twice}{line}\r\nhost: a\r\n\r\n"), Malformed(why));
    }
    refuses("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Malformed("bad request line"));
    refuses("\rGET / HTTP/1.1\r\nhost: a\r\n\r\n", Malformed("bad request line"));
    refuses("\r\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Malformed("bad request line"));
    refuses(format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(33)), Malformed("bad request line"));
    // A TLS client that came to the wrong port.
    refuses(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Malformed("bad request line"));
}

#[test]
fn versions_that_are_not_spoken() {
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/2.1", "HTTP/3.0", "HTTP/9.9", "HTTP/0.0"] {
        refuses(format!("GET / {version}\r\nhost: a\r\n\r\n"), HeadError::VersionNotSupported);
    }
    for version in
        ["HTTP/1", "HTTP/2", "HTTP/3", "HTTP/1.10", "HTTP/10.1", "HTTP/1.x", "HTTP/01.1", "HTTP/-1.1"]
    {
        refuses(format!("GET / {version}\r\nhost: a\r\n\r\n"), Malformed("bad version"));
    }
    refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::VersionNotSupported);
}

#[test]
fn hosts_that_are_none() {
    refuses("GET / HTTP/1.1\r\n\r\n", Malformed("no host"));
    refuses("GET / HTTP/1.1\r\nx: host\r\n\r\n", Malformed("no host"));
    refuses("GET http://a/ HTTP/1.1\r\n\r\n", Malformed("no host"));
    refuses_lines("host: a\r\n", "more than one host");
    refuses_lines("HOST: b\r\n", "more than one host");
    refuses("GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", Malformed("more than one host"));
    for host in [
        "",
        " ",
        "a b",
        "a,b",
        "a, b",
        "a/b",
        "/a",
        "u@a",
        "u:p@a",
        "a:b",
        "a::",
        ":",
        ":80",
        "a:80:80",
        "a:65536",
        "a:123456",
        "a:+1",
        "a:-1",
        "http://a",
        "a?b",
        "a#b",
        "a\\b",
        "a%2fb",
        "a;b",
        "a\"",
        "[::1",
        "::1",
        "[a]",
        "[::1]x",
        "[::1]::",
        "[::1%25eth0]",
        "[]",
        "[1.2.3.4]",
        ".",
        "..",
        ".a",
        "a..b",
        "a\u{fc}",
        "a\tb",
        "a|b",
        "a`",
        "{a}",
        "<a>",
    ] {
        refuses(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), Malformed("bad host"));
        refuses(format!("GET / HTTP/1.0\r\nhost: {host}\r\n\r\n"), Malformed("bad host"));
    }
    refuses(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "a".repeat(255)), Malformed("bad host"));
}

#[test]
fn other_expectations() {
    for expectation in ["tea", "100-continue, tea", "", "200-ok", "100-continue\r\nexpect: tea"] {
        refuses(with(&format!("expect: {expectation}\r\n")), HeadError::ExpectationFailed);
    }
}

#[test]
fn more_than_the_limits() {
    let long = "a".repeat(LIMITS.target);
    refuses(format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), HeadError::TargetTooLong);
    refuses(format!("GET /{long}"), HeadError::TargetTooLong);
    refuses(format!("GET /{long}\r\n\r\n"), HeadError::TargetTooLong);
    refuses(format!("GET /{}", "a".repeat(9000)), HeadError::TargetTooLong);

    let lines: String = (0..LIMITS.headers).map(|at| format!("x{at}: 1\r\n")).collect();
    refuses(with(&lines), HeadError::TooManyHeaders);
    refuses(with(&"connection: x\r\n".repeat(LIMITS.headers)), HeadError::TooManyHeaders);

    let value = "v".repeat(LIMITS.head - with("x: \r\n").len() + 1);
    refuses(with(&format!("x: {value}\r\n")), HeadError::TooLarge);
    refuses(with(&format!("x: {}\r\n", "v".repeat(9000))), HeadError::TooLarge);
    refuses(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "v".repeat(9000)), HeadError::TooLarge);
    refuses(format!("GET / HTTP/1.1\r\n{}", "x".repeat(9000)), HeadError::TooLarge);

    let named: Vec<String> = (0..33).map(|at| format!("n{at}")).collect();
    refuses_lines(&format!("connection: {}\r\n", named.join(",")), "too many connection options");
}
