use std::io::Write;

use super::super::testing::{decode, decode_whole, encode, hex, is_broken, text};
use super::super::{Coding, Fault};

/// A bare stream without the frame of zlib.
fn bare(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn several_members_are_one_stream() {
    let mut encoded = Vec::new();
    for part in [b"one, ".as_slice(), b"", b"two"] {
        encoded.extend(encode(Coding::Gzip, part));
    }
    for piece in [1, 2, 7, usize::MAX] {
        assert_eq!(decode(&[Coding::Gzip], &encoded, piece, 8).unwrap(), b"one, two");
    }
    encoded.push(0);
    assert!(is_broken(&decode_whole(Coding::Gzip, &encoded)), "zeros behind the end");
    encoded.pop();
    encoded.extend([0x1f, 0x8b]);
    assert!(is_broken(&decode_whole(Coding::Gzip, &encoded)), "a member that is cut off");
}

#[test]
fn every_optional_field_of_a_gzip_header_is_read_over() {
    let mut header = flate2::GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(vec![1, 2, 3])
        .mtime(5)
        .write(Vec::new(), flate2::Compression::new(1));
    header.write_all(b"content").unwrap();
    let encoded = header.finish().unwrap();
    for piece in [1, usize::MAX] {
        assert_eq!(decode(&[Coding::Gzip], &encoded, piece, 100).unwrap(), b"content");
    }
}

#[test]
fn the_sums_and_the_length_are_held_to() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let encoded = encode(coding, b"some content");
        for back in 1..=4 {
            let mut wrong = encoded.clone();
            let at = wrong.len() - back;
            wrong[at] ^= 1;
            assert!(is_broken(&decode_whole(coding, &wrong)), "{coding:?}: byte {back} from the end");
        }
    }
    let mut crc = encode(Coding::Gzip, b"some content");
    let at = crc.len() - 8;
    crc[at] ^= 0x80;
    assert!(is_broken(&decode_whole(Coding::Gzip, &crc)));
}

#[test]
fn deflate_without_the_frame_of_zlib_is_taken_too() {
    let plain = text(100_000);
    for piece in [1, 3, usize::MAX] {
        assert_eq!(decode(&[Coding::Deflate], &bare(&plain), piece, plain.len()).unwrap(), plain);
    }
    assert_eq!(decode_whole(Coding::Deflate, &bare(b"")).unwrap(), b"", "two bytes are all of it");
    let mut longer = bare(b"");
    longer.push(0);
    assert!(is_broken(&decode_whole(Coding::Deflate, &longer)));
    // A stored block: "hi" as it is.
    assert_eq!(decode_whole(Coding::Deflate, &hex("01 02 00 fd ff 68 69")).unwrap(), b"hi");
    assert!(is_broken(&decode_whole(Coding::Deflate, &[0x03])), "one byte decides nothing");
}

#[test]
fn a_dictionary_and_a_reserved_block_are_refused() {
    // A zlib header with the dictionary bit; as a bare stream it is no valid one either.
    assert!(is_broken(&decode_whole(Coding::Deflate, &hex("78 bb 00 00 00 01 4b 04 00"))));
    assert!(is_broken(&decode_whole(Coding::Deflate, &hex("78 9c 07"))));
}

#[test]
fn a_bomb_stops_at_the_bound() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let encoded = encode(coding, &vec![0; 10 << 20]);
        assert!(encoded.len() < 20_000);
        assert_eq!(decode(&[coding], &encoded, usize::MAX, 1 << 20), Err(Fault::TooLarge));
    }
}
