//! Streams for the tests of this room.

use std::io::Write;

use super::{Coding, Decoder, Fault};

pub(super) const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

/// Text that compresses like text: repeated words with numbers between them.
pub(super) fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 64);
    for at in 0_u32.. {
        if text.len() >= length {
            break;
        }
        let word = ["order", "customer", "price", "\u{fc}mlaut", "item"][(at % 5) as usize];
        text.extend_from_slice(
            format!("{{\"{word}\":{},\"of\":\"{word}s\"}}\n", at.wrapping_mul(2_654_435_761)).as_bytes(),
        );
    }
    text.truncate(length);
    text
}

/// Bytes in one coding.
pub(super) fn encode(coding: Coding, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    match coding {
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut encoded = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22);
            encoder.write_all(plain).unwrap();
            drop(encoder);
            encoded
        }
        Coding::Zstd => ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest),
    }
}

/// A chain of codings, the first one applied first.
pub(super) fn encode_all(codings: &[Coding], plain: &[u8]) -> Vec<u8> {
    codings.iter().fold(plain.to_vec(), |bytes, &coding| encode(coding, &bytes))
}

/// Decodes in pieces of so many bytes.
pub(super) fn decode(
    codings: &[Coding],
    encoded: &[u8],
    piece: usize,
    room: usize,
) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::new(codings);
    let mut out = Vec::new();
    for piece in encoded.chunks(piece) {
        let left = room - out.len();
        decoder.push(piece, &mut out, left)?;
    }
    let left = room - out.len();
    decoder.finish(&mut out, left)?;
    Ok(out)
}

/// As [`decode`], in one piece and with room enough.
pub(super) fn decode_whole(coding: Coding, encoded: &[u8]) -> Result<Vec<u8>, Fault> {
    decode(&[coding], encoded, usize::MAX, 64 << 20)
}

/// Bytes written as hexadecimal digits.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |digit: u8| u8::try_from((digit as char).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(super) fn is_broken<T: std::fmt::Debug>(result: &Result<T, Fault>) -> bool {
    matches!(result, Err(Fault::Broken(_)))
}
