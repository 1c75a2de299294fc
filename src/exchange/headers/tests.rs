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
fn every_known_name_has_its_id_in_any_case_and_no_other_name_has_one() {
    for id in HeaderId::ALL {
        let name = id.name();
        assert_eq!(HeaderId::of(name.as_bytes()), *id);
        let mut upper = name.to_ascii_uppercase().into_bytes();
        assert_eq!(id::lower(&mut upper), *id);
        assert_eq!(upper, name.as_bytes());
        for other in [&name[1..], &name[..name.len() - 1], &format!("{name}x"), &format!("{name}\0")] {
            assert_eq!(HeaderId::of(other.as_bytes()), HeaderId::Other, "{other:?}");
        }
    }
    assert_eq!(HeaderId::of(b""), HeaderId::Other);
    assert_eq!(HeaderId::of(&[b'x'; 40]), HeaderId::Other);
}

#[test]
fn a_name_is_a_token_up_to_its_colon() {
    let read = |text: &[u8]| LowerName::read(text).map(|(name, id)| (id, name.len()));
    for rest in ["", " a", " a\r\nb: c\r\nand some more bytes behind it"] {
        let read = |name: &str| read(format!("{name}:{rest}").as_bytes());
        assert_eq!(read("HoSt"), Some((HeaderId::Host, 4)));
        assert_eq!(read("x"), Some((HeaderId::Other, 1)));
        assert_eq!(read("PROXY-authorization"), Some((HeaderId::ProxyAuthorization, 19)));
        assert_eq!(read(&"A".repeat(31)), Some((HeaderId::Other, 31)));
        for none in ["", "host ", " host", "ho st", "host\r\n", "a\0", &"A".repeat(32)] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
    assert_eq!(read(b"host"), None);
    assert_eq!(read(b""), None);
    for byte in (0..=255).filter(|byte| *byte != b':') {
        assert_eq!(read(&[b'a', byte, b':']).is_some(), is_token(byte), "{byte:#x}");
    }
    let mut headers = Headers::new();
    let (name, id) = LowerName::read(b"X-Custom: One\r\n").unwrap();
    headers.push_line(&name, id, b": One\r\n");
    assert_eq!(headers.get("x-custom"), Some(b"One".as_slice()));
}

#[test]
fn lines_are_passed_on_with_and_without_gaps() {
    let mut from = sample();
    from.push_id(HeaderId::Via, b"x");
    for gone in [[HeaderId::Host, HeaderId::Via], [HeaderId::XRequestId, HeaderId::Via]] {
        let mut out = Headers::new();
        out.push_id(HeaderId::Accept, b"a");
        out.extend_from(&from, |id, _, _| !gone.contains(&id));
        let lines: Vec<_> = out.iter().map(|(id, name, value)| (id, name.to_vec(), value.to_vec())).collect();
        let mut expected = vec![(HeaderId::Accept, b"accept".to_vec(), b"a".to_vec())];
        let kept = from.iter().filter(|(id, ..)| !gone.contains(id));
        expected.extend(kept.map(|(id, name, value)| (id, name.to_vec(), value.to_vec())));
        assert_eq!(lines, expected);
    }
}
