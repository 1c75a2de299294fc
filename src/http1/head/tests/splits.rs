//! Arbitrary bytes and damaged heads: one outcome however they are cut, and one meaning for whoever reads them next.

use proptest::prelude::*;

use super::*;
use crate::http1::encode::{ConnectionLine, request_head, response_head};

const GOOD: &[&str] = &[
    "GET /a?b HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\n",
    "\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

/// A good head in which some bytes were replaced, taken out or put in; mostly by bytes that mean something.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(b"\r\n :,;\t\0HTP/1.0-_x".to_vec()),
        1 => any::<u8>(),
    ];
    let damage = (any::<prop::sample::Index>(), 0..3u8, byte);
    (prop::sample::select(GOOD), prop::collection::vec(damage, 0..4)).prop_map(|(head, damages)| {
        let mut head = head.as_bytes().to_vec();
        for (at, how, byte) in damages {
            let at = at.index(head.len());
            match how {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => drop(head.remove(at)),
            }
        }
        head
    })
}

/// What is sent on means what was read, to us and to a lenient reader.
fn sent_on_means_the_same(buf: &[u8]) -> Result<(), TestCaseError> {
    let Ok(Some(head)) = parse_request(buf, &LIMITS, Headers::new()) else { return Ok(()) };
    prop_assert_eq!(others_length(&buf[..head.len]), Some(head.len));
    let target = std::str::from_utf8(&buf[head.target.clone()]).unwrap();
    let mut sent = Vec::new();
    request_head(&mut sent, &head.method, target, &head.headers, head.framing);
    if head.version == Version::HTTP_10 && !head.headers.has_id(HeaderId::Host) {
        return Ok(());
    }
    let again = parse_request(&sent, &LIMITS, Headers::new()).unwrap().unwrap();
    prop_assert_eq!(again.len, sent.len());
    prop_assert_eq!(&again.method, &head.method);
    prop_assert_eq!(&sent[again.target.clone()], target.as_bytes());
    let empty = |framing| if framing == Framing::Length(0) { Framing::None } else { framing };
    prop_assert_eq!(empty(again.framing), empty(head.framing));
    prop_assert_eq!(lines(&again.headers), lines(&head.headers));
    let mut table = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut table);
    prop_assert_eq!(other.parse(&sent), Ok(httparse::Status::Complete(sent.len())));
    let framings = other.headers.iter().filter(|line| {
        line.name.eq_ignore_ascii_case("content-length")
            || line.name.eq_ignore_ascii_case("transfer-encoding")
    });
    prop_assert!(framings.count() <= 1);
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes(buf in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = settle(&buf, request);
        let _ = settle(&buf, |buf| response(buf, false));
    }

    #[test]
    fn damaged_requests(buf in damaged()) {
        let _ = settle(&buf, request);
        sent_on_means_the_same(&buf)?;
    }

    #[test]
    fn damaged_responses(buf in damaged(), status in "HTTP/1\\.[01] [1-5][0-9][0-9]( [a-z]{0,3})?") {
        let lines = buf.split(|byte| *byte == b'\n').skip(1).collect::<Vec<_>>().join(&b'\n');
        let buf = [status.as_bytes(), b"\r\n", &lines].concat();
        let _ = settle(&buf, |buf| response(buf, false));
        let Ok(Some(head)) = parse_response(&buf, &LIMITS, Headers::new(), false) else { return Ok(()) };
        let mut sent = Vec::new();
        response_head(&mut sent, head.status, &head.headers, head.framing, ConnectionLine::None);
        let again = parse_response(&sent, &LIMITS, Headers::new(), false).unwrap().unwrap();
        prop_assert_eq!(again.len, sent.len());
        prop_assert_eq!(again.status, head.status);
        prop_assert_eq!(again.framing, head.framing);
    }

    #[test]
    fn limits_decide_alike_however_cut(
        buf in damaged(),
        head in 0..120usize,
        headers in 0..5usize,
        target in 0..8usize,
    ) {
        let limits = HeadLimits { head, headers, target };
        let read = |buf: &[u8]| {
            parse_request(buf, &limits, Headers::new()).map(|head| head.map(|head| format!("+{}", buf.len() - head.len)))
        };
        prop_assert_eq!(read(&buf), dripped(&buf, read));
    }
}
