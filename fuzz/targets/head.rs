//! Any bytes as the head of a request: one outcome however they are cut, and what is accepted is sent on with one framing
//! and nothing that speaks of one connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::exchange::{HeaderId, Headers};
use portcullis::http1::encode::request_head;
use portcullis::http1::head::{RequestHead, parse_request};
use portcullis::http1::{Framing, HeadError, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { head: 2048, headers: 10, target: 64 };

fn read(bytes: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    parse_request(bytes, &LIMITS, Headers::new())
}

fn lines(headers: &Headers) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(_, name, value)| (name, value)).collect()
}

fn same(whole: &RequestHead, dripped: &RequestHead) {
    assert_eq!((&whole.method, whole.version, whole.len), (&dripped.method, dripped.version, dripped.len));
    assert_eq!((&whole.target, whole.framing), (&dripped.target, dripped.framing));
    let flags = |head: &RequestHead| (head.keep_alive, head.expect_continue);
    assert_eq!(flags(whole), flags(dripped));
    assert_eq!(lines(&whole.headers), lines(&dripped.headers));
}

fn judge(bytes: &[u8], head: &RequestHead) {
    assert!(head.len <= bytes.len() && head.len <= LIMITS.head + 2);
    assert!(head.headers.iter().count() <= LIMITS.headers && head.target.len() <= LIMITS.target);
    assert_ne!(head.framing, Framing::UntilClose, "its end would never come");
    let Ok(target) = std::str::from_utf8(&bytes[head.target.clone()]) else { panic!("target is not ASCII") };
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
    let travels = |id: HeaderId| !id.hop_by_hop() && id != HeaderId::ContentLength && id != HeaderId::Expect;
    let mut headers = head.headers.clone();
    // One line of protocols, none of which is HTTP again, and only of a request that can switch.
    for offer in headers.all("upgrade") {
        let offer = std::str::from_utf8(offer).expect("tokens");
        let http = |protocol: &str| {
            ["h2c", "h2", "http", "tls"].iter().any(|http| protocol.eq_ignore_ascii_case(http))
        };
        assert!(!offer.split(", ").any(|protocol| http(protocol.split('/').next().unwrap_or_default())));
        assert!(
            matches!(head.framing, Framing::None | Framing::Length(0))
                && head.version == http::Version::HTTP_11
        );
    }
    assert!(headers.all("upgrade").count() <= 1);
    headers.remove_id(HeaderId::Upgrade);
    // What is said of trailers: that those of the answer are taken, and which come behind chunks.
    assert!(headers.all("te").all(|te| te == b"trailers") && headers.all("te").count() <= 1);
    assert!(headers.all("trailer").count() == 0 || head.framing == Framing::Chunked);
    headers.remove_id(HeaderId::Te);
    headers.remove_id(HeaderId::Trailer);
    assert!(headers.iter().all(|(id, ..)| travels(id)));
    let hosts = head.headers.all("host").count();
    assert!(hosts == 1 || (hosts == 0 && head.version == http::Version::HTTP_10));
    if hosts == 0 {
        return;
    }
    let mut sent = Vec::new();
    request_head(&mut sent, &head.method, target, &headers, head.framing);
    // What the encoder adds may be more than what came: the name of a framing line can be longer than it was.
    let wide = HeadLimits { head: 8192, headers: 11, target: 64 };
    let again =
        parse_request(&sent, &wide, Headers::new()).ok().flatten().expect("what is sent on can be read");
    let framed =
        again.framing == head.framing || (head.framing, again.framing) == (Framing::None, Framing::Length(0));
    assert!(framed && again.len == sent.len() && again.keep_alive);
    assert_eq!((&again.method, &sent[again.target]), (&head.method, target.as_bytes()));
    assert_eq!(lines(&again.headers), lines(&headers));
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    let decided = (0..=bytes.len()).map(|end| read(&bytes[..end])).find(|read| !matches!(read, Ok(None)));
    match (&whole, decided.unwrap_or(Ok(None))) {
        (Ok(Some(whole)), Ok(Some(dripped))) => same(whole, &dripped),
        (Ok(None), Ok(None)) => {}
        (Err(whole), Err(dripped)) => assert_eq!(*whole, dripped),
        (whole, dripped) => panic!("whole {whole:?}, dripped {dripped:?}"),
    }
    if let Ok(Some(head)) = whole {
        judge(bytes, &head);
    }
});
