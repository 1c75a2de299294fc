use super::super::testing::{decode, decode_whole, encode, hex, is_broken, text};
use super::super::{Coding, Fault};

#[test]
fn streams_are_decoded_in_pieces() {
    let plain = text(300_000);
    let encoded = encode(Coding::Brotli, &plain);
    for piece in [1, 2, 1000, usize::MAX] {
        assert_eq!(decode(&[Coding::Brotli], &encoded, piece, plain.len()).unwrap(), plain, "{piece}");
    }
}

#[test]
fn the_shortest_streams_of_the_format() {
    // The last meta-block is empty, with the smallest and the largest window.
    for stream in ["06", "3b"] {
        assert_eq!(decode_whole(Coding::Brotli, &hex(stream)).unwrap(), b"", "{stream}");
    }
}

#[test]
fn large_windows_are_refused() {
    let encode = |large_window: bool, lgwin: i32| {
        let params = brotli::enc::BrotliEncoderParams { large_window, lgwin, ..Default::default() };
        let mut encoded = Vec::new();
        brotli::BrotliCompress(&mut text(3000).as_slice(), &mut encoded, &params).unwrap();
        encoded
    };
    assert_eq!(decode_whole(Coding::Brotli, &encode(false, 24)).unwrap(), text(3000));
    for lgwin in [20, 26, 30] {
        assert!(is_broken(&decode_whole(Coding::Brotli, &encode(true, lgwin))), "{lgwin}");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let encoded = encode(Coding::Brotli, b"some content");
    for rest in [b"\0".as_slice(), b"\x06", &encoded] {
        let longer = [&encoded, rest].concat();
        for piece in [1, encoded.len(), usize::MAX] {
            assert!(is_broken(&decode(&[Coding::Brotli], &longer, piece, 100)), "{piece}");
        }
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let encoded = encode(Coding::Brotli, &vec![b' '; 10 << 20]);
    assert!(encoded.len() < 1000);
    assert_eq!(decode(&[Coding::Brotli], &encoded, 1, 1 << 20), Err(Fault::TooLarge));
}
