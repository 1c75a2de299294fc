use super::*;
use crate::exchange::{ErrorKind, Headers};

fn with(name: &str, value: &str) -> Headers {
    let mut headers = Headers::new();
    headers.append(name, value.as_bytes()).unwrap();
    headers
}

#[test]
fn a_call_is_known_by_its_media_type() {
    for (media, is) in [
        ("application/grpc", true),
        ("Application/GRPC+proto", true),
        ("application/grpc; charset=utf-8", true),
        ("application/grpc-web-text", true),
        ("application/grpcs", false),
        ("application/json", false),
        ("application/grp", false),
    ] {
        let headers = with("content-type", media);
        assert_eq!(is_call(&Method::POST, &headers), is, "{media}");
        assert!(!is_call(&Method::GET, &headers));
    }
    assert!(!is_call(&Method::POST, &Headers::new()));
}

#[test]
fn a_timeout_is_a_number_and_a_unit() {
    for (text, timeout) in [
        ("1010m", Some(Duration::from_millis(1010))),
        ("1010S", Some(Duration::from_secs(1010))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("3M", Some(Duration::from_secs(180))),
        ("5u", Some(Duration::from_micros(5))),
        ("7n", Some(Duration::from_nanos(7))),
        ("0m", Some(Duration::ZERO)),
        ("123456789S", None),
        ("", None),
        ("S", None),
        ("-1S", None),
        ("1s", None),
        ("1 S", None),
        ("10", None),
    ] {
        assert_eq!(super::timeout(&with("grpc-timeout", text)), timeout, "{text}");
    }
    assert_eq!(super::timeout(&Headers::new()), None);
}

#[test]
fn a_message_is_percent_encoded() {
    assert_eq!(encoded("no route: 100 % ü\r\n~"), "no route: 100 %25 %C3%BC%0D%0A~");
}

#[test]
fn a_status_is_a_number_that_has_a_name() {
    for (text, number) in [("0", 0), ("16", 16), ("17", 2), ("x", 2), ("", 2), ("-1", 2), ("256", 2)] {
        assert_eq!(status(&with("grpc-status", text)), Some(number), "{text}");
    }
    assert_eq!(status(&Headers::new()), None);
}

#[test]
fn a_refusal_is_a_head_with_a_status() {
    let mut answer = Response::new(StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in [
        ("content-type", "text/html"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
        ("location", "/x"),
        ("retry-after", "7"),
    ] {
        answer.headers.append(name, value.as_bytes()).unwrap();
    }
    answer.body = Body::Bytes("sorry".into());
    for (asked, media) in [
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web-text; charset=utf-8", "application/grpc-web-text"),
    ] {
        refuse(&mut answer, asked.as_bytes(), 14, "the service failed");
        let lines: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .map(|(_, name, value)| (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap()))
            .collect();
        let expected = [
            ("retry-after", "7"),
            ("content-type", media),
            ("grpc-status", "14"),
            ("grpc-message", "the service failed"),
        ];
        assert_eq!((answer.status, lines), (StatusCode::OK, expected.to_vec()));
        assert!(answer.body.is_empty());
    }
}

#[test]
fn the_page_has_the_status_of_every_error() {
    let page = include_str!("../../../docs/grpc.md");
    for kind in ErrorKind::ALL {
        let code = kind.grpc();
        let row = format!("| {} | {code} {} |", kind.phrase(), NAMES[usize::from(code)]);
        assert!(page.contains(&row), "docs/grpc.md misses {row}");
    }
}
