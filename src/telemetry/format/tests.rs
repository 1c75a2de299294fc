use std::time::UNIX_EPOCH;

use super::*;
use crate::exchange::EndedBy;

fn entry() -> Entry<'static> {
    Entry {
        at: UNIX_EPOCH + Duration::from_millis(1_764_037_486_007),
        id: b"0197-id",
        client: [10, 1, 2, 3].into(),
        peer: None,
        listener: "default",
        route: "/api/users/*",
        method: b"GET",
        host: b"api.example",
        path: b"/api/users/7",
        version: Version::HTTP_11,
        status: 200,
        error: None,
        reason: "",
        source: None,
        note: None,
        bytes_in: 0,
        bytes_out: 1234,
        tunnel: None,
        grpc: None,
        duration: Duration::from_micros(12_045),
        upstream: Some("users"),
        endpoint: Some(([127, 0, 0, 1], 8080).into()),
        attempts: 1,
        upstream_time: Duration::from_nanos(11_900_999),
        identity: Some("alice"),
    }
}

fn line(format: Format, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    Formatter::new(format).push(&mut out, entry);
    let line = String::from_utf8(out).unwrap();
    assert!(line.ends_with('\n'));
    assert_eq!(line.trim_end_matches('\n').len() + 1, line.len());
    line.trim_end_matches('\n').to_owned()
}

#[test]
fn json_tells_every_fact_once() {
    assert_eq!(
        line(Format::Json, &entry()),
        concat!(
            r#"{"time":"2025-11-25T02:24:46.007Z","id":"0197-id","client":"10.1.2.3","listener":"default","#,
            r#""route":"/api/users/*","method":"GET","host":"api.example","path":"/api/users/7","#,
            r#""version":"HTTP/1.1","status":200,"bytes_in":0,"bytes_out":1234,"duration_ms":12.045,"#,
            r#""upstream":"users","endpoint":"127.0.0.1:8080","attempts":1,"upstream_ms":11.900,"#,
            r#""identity":"alice"}"#
        )
    );
}

#[test]
fn json_tells_an_error_with_its_private_part() {
    let failed = Entry {
        status: 502,
        error: Some(ErrorKind::UpstreamFailure),
        reason: "connect",
        source: Some("refused: \"x\"\n"),
        upstream: None,
        identity: None,
        client: "2001:db8::1".parse().unwrap(),
        peer: Some("[::1]:9".parse().unwrap()),
        ..entry()
    };
    let told: serde_json::Value = serde_json::from_str(&line(Format::Json, &failed)).unwrap();
    assert_eq!(told["error"], "upstream failure");
    assert_eq!(told["reason"], "connect");
    assert_eq!(told["source"], "refused: \"x\"\n");
    assert_eq!(told["client"], "2001:db8::1");
    assert_eq!(told["peer"], "[::1]:9");
    assert_eq!(told.get("upstream"), None);
    let plain = Entry { reason: "", source: None, ..failed };
    let told: serde_json::Value = serde_json::from_str(&line(Format::Json, &plain)).unwrap();
    assert_eq!((told.get("reason"), told.get("source")), (None, None));
}

#[test]
fn text_is_aligned() {
    assert_eq!(
        line(Format::Text { colour: false }, &entry()),
        "2025-11-25T02:24:46.007Z 200 GET        12.045 ms 10.1.2.3        api.example/api/users/7 \
         -> users 127.0.0.1:8080 as alice 0197-id"
    );
    let failed = Entry {
        status: 0,
        method: b"PROPPATCH",
        error: Some(ErrorKind::ClientClosed),
        reason: "reset",
        source: Some("gone"),
        attempts: 3,
        endpoint: None,
        identity: None,
        duration: Duration::from_secs(1_000_000),
        ..entry()
    };
    assert_eq!(
        line(Format::Text { colour: true }, &failed),
        "2025-11-25T02:24:46.007Z --- PROPPATCH 1000000000.000 ms 10.1.2.3        api.example/api/users/7 \
         -> users x3 ! client closed (reset): gone 0197-id"
    );
}

#[test]
fn colour_follows_the_class_and_is_off_without_a_terminal() {
    for (status, paint) in [(204, "32"), (301, "36"), (404, "33"), (502, "31")] {
        let entry = Entry { status, ..entry() };
        let painted = format!(" \x1b[{paint}m{status}\x1b[0m GET");
        assert!(line(Format::Text { colour: true }, &entry).contains(&painted));
        assert!(!line(Format::Text { colour: false }, &entry).contains('\x1b'));
    }
}

#[test]
fn both_formats_tell_how_a_tunnel_ended() {
    let entry = Entry { status: 101, tunnel: Some(Ended { by: EndedBy::Client, how: "close" }), ..entry() };
    assert!(line(Format::Json, &entry).contains(r#","ended_by":"client","ended":"close","identity":"#));
    assert!(line(Format::Text { colour: false }, &entry).contains(" ended by client (close) as alice"));
}

#[test]
fn both_formats_say_how_a_call_of_grpc_ended() {
    let entry = Entry { grpc: Some(14), ..entry() };
    assert!(line(Format::Json, &entry).contains(r#","grpc_status":14,"identity":"#));
    assert!(line(Format::Text { colour: false }, &entry).contains(" grpc-status 14 as alice"));
}

#[test]
fn no_format_lets_a_client_begin_a_line_or_steer_a_terminal() {
    let hostile: &[u8] = b"/api/\r\nFAKE: GET /admin 200\x1b[2J\xff";
    let text = std::str::from_utf8(&hostile[..hostile.len() - 1]).unwrap();
    let entry = Entry {
        id: hostile,
        method: hostile,
        host: hostile,
        path: hostile,
        identity: Some(text),
        source: Some(text),
        error: Some(ErrorKind::NoRoute),
        ..entry()
    };
    for format in [Format::Json, Format::Text { colour: false }] {
        let line = line(format, &entry);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.contains(r"/api/\r\nFAKE: GET /admin 200\u001b[2J"));
    }
}

#[test]
fn the_reference_lists_the_members_of_a_line_in_their_order() {
    let full = Entry {
        tunnel: Some(Ended { by: EndedBy::Service, how: "reset" }),
        grpc: Some(14),
        peer: Some("[::1]:9".parse().unwrap()),
        error: Some(ErrorKind::UpstreamFailure),
        reason: "connect",
        source: Some("refused"),
        note: Some("`a.b` (at f:1:2) is absent"),
        ..entry()
    };
    let told = line(Format::Json, &full);
    let mut rest = told.as_str();
    for (name, _) in super::super::fields::FIELDS {
        let at = rest.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} is not in {rest}"));
        rest = &rest[at + name.len()..];
    }
    let members: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(members.as_object().unwrap().len(), super::super::fields::FIELDS.len());
}
