//! Any bytes as an answer: one outcome for head and body however they are cut, and what is sent on is what was read.
//! A leading `C` stands for a body in chunks without a head, an `H` for the answer to a HEAD.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::exchange::Headers;
use portcullis::http1::body::{Decoder, Piece};
use portcullis::http1::encode::{ConnectionLine, chunk, last_chunk, response_head};
use portcullis::http1::{Framing, HeadError, HeadLimits, ResponseHead, parse_response};

const LIMITS: HeadLimits = HeadLimits { head: 512, headers: 10, target: 0 };

/// A body to its end: content, trailers, and how many bytes it took.
#[derive(PartialEq, Debug)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    taken: usize,
}

fn lines(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).expect("a name is a token");
    headers.iter().map(|(_, name, value)| (text(name), value.to_vec())).collect()
}

/// Reads a body that comes in steps of this many bytes.
fn read(bytes: &[u8], framing: Framing, step: usize) -> Result<Body, &'static str> {
    let mut decoder = Decoder::new(framing);
    let (mut buf, mut fed) = (BytesMut::new(), bytes.chunks(step));
    let (mut body, mut given) = (Body { data: Vec::new(), trailers: Vec::new(), taken: 0 }, 0);
    loop {
        match decoder.decode(&mut buf)? {
            Piece::Data(piece) => {
                assert!(!piece.is_empty());
                body.data.extend_from_slice(&piece);
            }
            Piece::Trailers(headers) => body.trailers = lines(&headers),
            Piece::End => {
                assert!(decoder.is_done() && decoder.length() == Some(0));
                body.taken = given - buf.len();
                return Ok(body);
            }
            Piece::More => match fed.next() {
                Some(piece) => {
                    given += piece.len();
                    buf.extend_from_slice(piece);
                }
                None => drop(decoder.eof()?),
            },
        }
    }
}

fn judge_body(bytes: &[u8], framing: Framing) {
    let whole = read(bytes, framing, bytes.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(whole, read(bytes, framing, step), "in steps of {step}");
    }
    let Ok(body) = whole else { return };
    assert!(body.data.len() <= body.taken && body.taken <= bytes.len());
    match framing {
        Framing::None => assert_eq!(body.taken, 0),
        Framing::Length(length) => assert_eq!((body.data.len() as u64, body.taken as u64), (length, length)),
        Framing::UntilClose => assert_eq!(body.data, bytes),
        Framing::Chunked => {}
    }
    // Framed anew it is the same, to the last byte.
    let mut sent = Vec::new();
    body.data.chunks(300).for_each(|piece| chunk(&mut sent, piece));
    let mut trailers = Headers::new();
    for (name, value) in &body.trailers {
        trailers.push_judged(name.as_bytes(), value);
    }
    last_chunk(&mut sent, Some(&trailers));
    let taken = sent.len();
    assert_eq!(read(&sent, Framing::Chunked, 5), Ok(Body { taken, ..body }));
}

fn parse(bytes: &[u8], to_head: bool, limits: &HeadLimits) -> Result<Option<ResponseHead>, HeadError> {
    parse_response(bytes, limits, Headers::new(), to_head)
}

/// The head, where there is a whole one.
fn judge_head(bytes: &[u8], to_head: bool) -> Option<ResponseHead> {
    let whole = parse(bytes, to_head, &LIMITS);
    let cuts = (0..=bytes.len()).map(|end| parse(&bytes[..end], to_head, &LIMITS));
    let dripped = cuts.into_iter().find(|read| !matches!(read, Ok(None))).unwrap_or(Ok(None));
    let facts =
        |head: &ResponseHead| (head.status, head.framing, head.keep_alive, head.len, lines(&head.headers));
    match (&whole, &dripped) {
        (Ok(whole), Ok(dripped)) => assert_eq!(whole.as_ref().map(facts), dripped.as_ref().map(facts)),
        (Err(whole), Err(dripped)) => assert_eq!(whole, dripped),
        (whole, dripped) => panic!("whole {whole:?}, dripped {dripped:?}"),
    }
    let head = whole.ok()??;
    assert!(head.len <= LIMITS.head && head.headers.iter().count() <= LIMITS.headers + 1);
    assert!(!(head.framing == Framing::UntilClose && head.keep_alive), "its end would never come");
    // What is sent on is read alike.
    let mut sent = Vec::new();
    response_head(&mut sent, head.status, &head.headers, head.framing, ConnectionLine::None);
    let wide = HeadLimits { head: 4096, headers: 12, target: 0 };
    let again = parse(&sent, to_head, &wide).ok().flatten().expect("what is sent on can be read");
    assert_eq!((again.status, again.len), (head.status, sent.len()));
    let bodiless = head.framing == Framing::None;
    assert!(again.framing == head.framing || (bodiless && again.framing == Framing::UntilClose));
    let kept = lines(&head.headers);
    assert!(kept.iter().all(|(name, _)| name != "transfer-encoding" && name != "connection"));
    if again.framing == head.framing {
        assert_eq!(lines(&again.headers), kept);
    }
    Some(head)
}

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [b'C', chunks @ ..] => judge_body(chunks, Framing::Chunked),
        [first, rest @ ..] => {
            let to_head = *first == b'H' && rest.starts_with(b"HTTP");
            let bytes = if to_head { rest } else { bytes };
            if let Some(head) = judge_head(bytes, to_head) {
                judge_body(&bytes[head.len..], head.framing);
            }
        }
        [] => {}
    }
});
