//! Any bytes as a head: no panic, one outcome however they are cut, and what is accepted is sent on with one framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::exchange::Headers;
use portcullis::http1::encode::request_head;
use portcullis::http1::head::{RequestHead, parse_request, parse_response};
use portcullis::http1::{Framing, HeadError, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { head: 512, headers: 10, target: 64 };

fn read(bytes: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    parse_request(bytes, &LIMITS, Headers::new())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_response(bytes, &LIMITS, Headers::new(), false);
    let whole = read(bytes);
    let decided = (0..=bytes.len()).map(|end| read(&bytes[..end])).find(|read| !matches!(read, Ok(None)));
    match (&whole, decided.unwrap_or(Ok(None))) {
        (Ok(Some(whole)), Ok(Some(dripped))) => {
            assert_eq!((whole.len, whole.framing), (dripped.len, dripped.framing));
        }
        (Ok(None), Ok(None)) => {}
        (Err(whole), Err(dripped)) => assert_eq!(*whole, dripped),
        (whole, dripped) => panic!("whole {whole:?}, dripped {dripped:?}"),
    }
    let Ok(Some(head)) = whole else { return };
    let Ok(target) = std::str::from_utf8(&bytes[head.target.clone()]) else { panic!("target is not ASCII") };
    let mut sent = Vec::new();
    request_head(&mut sent, &head.method, target, &head.headers, head.framing);
    if head.headers.get("host").is_none() {
        return;
    }
    // What the encoder adds may be more than what came: the name of a framing line can be longer than it was.
    let wide = HeadLimits { head: 2048, headers: 11, target: 64 };
    let again =
        parse_request(&sent, &wide, Headers::new()).ok().flatten().expect("what is sent on can be read");
    let same =
        again.framing == head.framing || (head.framing, again.framing) == (Framing::None, Framing::Length(0));
    assert!(same && again.len == sent.len());
});
