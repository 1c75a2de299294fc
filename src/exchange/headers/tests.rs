use super::*;

fn sample() -> Headers {
    let mut headers = Headers::new();
    headers.push_judged(b"Host", b"gw.test");
    headers.push_judged(b"X-Custom", b"one");
    headers.push_judged(b"x-custom", b"two");
    headers.push_id(HeaderId::XRequestId, b"abc");
    headers
}

#[test]
fn names_are_lowered_and_looked_up_by_id_and_by_name() {
    let headers = sample();
    assert_eq!(headers.get_id(HeaderId::Host), Some(b"gw.test".as_slice()));
    assert_eq!(headers.all("x-custom").collect::<Vec<_>>(), [b"one".as_slice(), b"two".as_slice()]);
    assert_eq!(headers.get("x-request-id"), Some(b"abc".as_slice()));
    assert_eq!(headers.len(), 4);
}

#[test]
fn removed_lines_are_neither_found_nor_written() {
    let mut headers = sample();
    headers.remove("x-custom");
    assert_eq!(headers.get("x-custom"), None);
    let mut out = Vec::new();
    headers.write_to(&mut out);
    assert_eq!(out, b"host: gw.test\r\nx-request-id: abc\r\n");
    headers.set("x-custom", b"three").unwrap();
    headers.set("x-custom", b"four").unwrap();
    assert_eq!(headers.all("x-custom").collect::<Vec<_>>(), [b"four".as_slice()]);
}

#[test]
fn what_would_break_a_head_is_refused() {
    let mut headers = sample();
    for value in [b"a\r\nb: c".as_slice(), b"a\nb", b"a\0", b"\x7f"] {
        assert_eq!(headers.set("x-custom", value), Err(InvalidHeader));
    }
    for name in ["", "a b", "a:b", "a\r\nb"] {
        assert_eq!(headers.append(name, b"x"), Err(InvalidHeader));
    }
    assert_eq!(headers.all("x-custom").count(), 2, "a refused value leaves the old ones");
}

#[test]
fn underscores_fold_into_dashes() {
    assert_eq!(HeaderId::folded(b"x_forwarded-for"), HeaderId::XForwardedFor);
    assert_eq!(HeaderId::folded(b"x_real_ip"), HeaderId::XRealIp);
    assert_eq!(HeaderId::folded(b"a_name_that_is_longer_than_any_that_the_gate_knows"), HeaderId::Other);
    assert_eq!(HeaderId::folded(b"x.Forwarded~for"), HeaderId::XForwardedFor);
    assert_eq!(HeaderId::folded(b"x!request'id"), HeaderId::XRequestId);
    assert!(same_folded(b"x_user-id", b"x-user-id"));
    assert!(same_folded(b"x.user~id", b"x-user_id"));
    assert!(!same_folded(b"x-user-1d", b"x-user-id"));
    assert!(!same_folded(b"x_user-ids", b"x-user-id"));
}

#[test]
fn values_do_not_show_in_debug_output() {
    assert!(!format!("{:?}", sample()).contains("gw.test"));
}

#[test]
fn the_last_line_can_be_taken_back() {
    let mut headers = Headers::new();
    headers.pop();
    headers.reserve(2, 32);
    headers.push_judged(b"A", b"1");
    headers.push_judged(b"Connection", b"close");
    headers.pop();
    headers.push_judged(b"B", b"2");
    let mut out = Vec::new();
    headers.write_to(&mut out);
    assert_eq!(out, b"a: 1\r\nb: 2\r\n");
}
