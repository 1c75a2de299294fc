use super::*;

fn headers(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    headers
}

fn request(method: Method, framing: Framing) -> String {
    let mut out = Vec::new();
    request_head(&mut out, &method, "/x?y", &headers(&[("host", "a"), ("b", "c")]), framing);
    String::from_utf8(out).unwrap()
}

fn response(status: u16, framing: Framing, connection: ConnectionLine) -> String {
    let mut out = Vec::new();
    let status = StatusCode::from_u16(status).unwrap();
    response_head(&mut out, status, &headers(&[("b", "c")]), framing, connection);
    String::from_utf8(out).unwrap()
}

#[test]
fn requests_say_how_they_are_framed() {
    let head = "/x?y HTTP/1.1\r\nhost: a\r\nb: c\r\n";
    assert_eq!(request(Method::GET, Framing::None), format!("GET {head}\r\n"));
    assert_eq!(request(Method::DELETE, Framing::None), format!("DELETE {head}\r\n"));
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        assert_eq!(
            request(method.clone(), Framing::None),
            format!("{method} {head}content-length: 0\r\n\r\n")
        );
    }
    assert_eq!(request(Method::GET, Framing::Length(0)), format!("GET {head}content-length: 0\r\n\r\n"));
    assert_eq!(request(Method::POST, Framing::Length(12)), format!("POST {head}content-length: 12\r\n\r\n"));
    for framing in [Framing::Chunked, Framing::UntilClose] {
        assert_eq!(
            request(Method::DELETE, framing),
            format!("DELETE {head}transfer-encoding: chunked\r\n\r\n")
        );
    }
}

#[test]
fn responses_say_how_they_are_framed() {
    use ConnectionLine::{Close, KeepAlive, None};
    let ok = "HTTP/1.1 200 OK\r\nb: c\r\n";
    assert_eq!(response(200, Framing::Length(3), None), format!("{ok}content-length: 3\r\n\r\n"));
    assert_eq!(response(200, Framing::Chunked, None), format!("{ok}transfer-encoding: chunked\r\n\r\n"));
    assert_eq!(response(200, Framing::None, None), format!("{ok}\r\n"));
    assert_eq!(response(200, Framing::UntilClose, Close), format!("{ok}connection: close\r\n\r\n"));
    assert_eq!(
        response(200, Framing::Length(0), KeepAlive),
        format!("{ok}content-length: 0\r\nconnection: keep-alive\r\n\r\n")
    );
    assert_eq!(response(404, Framing::None, None), "HTTP/1.1 404 Not Found\r\nb: c\r\n\r\n");
    assert_eq!(response(299, Framing::None, None), "HTTP/1.1 299 \r\nb: c\r\n\r\n");
    for (status, line) in [(103, "103 Early Hints"), (204, "204 No Content"), (304, "304 Not Modified")] {
        for framing in [Framing::Length(0), Framing::Length(5), Framing::Chunked, Framing::None] {
            assert_eq!(response(status, framing, None), format!("HTTP/1.1 {line}\r\nb: c\r\n\r\n"));
        }
    }
}

#[test]
fn chunks_and_their_end() {
    let mut out = Vec::new();
    chunk(&mut out, b"");
    assert!(out.is_empty(), "an empty chunk would be the end");
    chunk(&mut out, b"hello");
    last_chunk(&mut out, None);
    assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
    for len in [1, 15, 16, 255, 256, 4096, 65535, 65536, usize::MAX] {
        out.clear();
        chunk_head(&mut out, len);
        assert_eq!(out, format!("{len:x}\r\n").into_bytes());
    }
    out.clear();
    last_chunk(&mut out, Some(&headers(&[("x-sum", "1")])));
    assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
}

#[test]
fn a_required_upgrade_is_said_of_the_connection() {
    for (connection, line) in [(ConnectionLine::None, ""), (ConnectionLine::Close, "connection: close\r\n")] {
        let mut out = Vec::new();
        let lines = headers(&[("upgrade", "websocket")]);
        response_head(&mut out, StatusCode::UPGRADE_REQUIRED, &lines, Framing::Length(0), connection);
        let head = format!(
            "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\ncontent-length: 0\r\n\
             connection: upgrade\r\n{line}\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), head);
    }
    assert!(!response(426, Framing::None, ConnectionLine::None).contains("connection"));
}

#[test]
fn a_101_says_upgrade_and_nothing_else_of_the_connection() {
    let mut out = Vec::new();
    let lines = headers(&[("upgrade", "websocket")]);
    response_head(&mut out, StatusCode::SWITCHING_PROTOCOLS, &lines, Framing::None, ConnectionLine::None);
    let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), head);
}
