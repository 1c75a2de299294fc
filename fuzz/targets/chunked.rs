//! Any bytes as a chunked body: no panic, and one outcome however they are cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::http1::Framing;
use portcullis::http1::body::{Decoder, Piece};

/// Content and number of trailers, or the reason.
fn read(bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut buf, mut data, mut trailers) = (BytesMut::new(), Vec::new(), 0);
    let mut fed = bytes.chunks(step);
    loop {
        match decoder.decode(&mut buf)? {
            Piece::Data(piece) => data.extend_from_slice(&piece),
            Piece::Trailers(headers) => trailers = headers.len(),
            Piece::End => return Ok((data, trailers)),
            Piece::More => match fed.next() {
                Some(piece) => buf.extend_from_slice(piece),
                None => drop(decoder.eof()?),
            },
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, 1));
    assert_eq!(whole, read(bytes, 3));
});
