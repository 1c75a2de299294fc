use super::super::Coding;
use super::super::testing::{decode, decode_whole, encode, hex, is_broken, text};
use super::*;

/// Forty lines of JSON as the reference implementation codes them at level 19, with size and checksum.
const DENSE: &str = "28b52ffd640f07750600124e2318804bdaaad53880c0b1ec6142a72db2bb774a672834d1a44e25ccdb89ff9dd05ed6ba91e9e7ff78
    c84fa4fe5c9db72ced1ffac533259aebb26c45bef7c6dace747df0c735ca9a0a7bdb95ce590baf6a86d4a37cd16e9eb6277bda73ba8e3f1db5ac
    b2cacee8ea8e4767b380c8c0144c620826318b1128c691581e2631278068041473582c0c931cc51814061250a811906cbd3fbb01c017c6112408
    c10f185684fbd9b7560b29c33d679c719e171b90e19e33ce38cf8b0dc838772f9ecb33796dbe2d87d546e55a09d86a73cb5033";
/// The same lines at level 3 as a stream, without size and checksum.
const STREAMED: &str = "28b52ffd0058c50600124a1c1b80296903aa22a37d01ff88b78126615a6477ef94ce05528c8154088477feb79e7cff858ef4ab
    97f9e7a2137de9f2eb3a6dbc8d4a555bcb15af86a5ac5b9a6dcfe93afe7454abacb233babae3d1d9eca1213101430660c81c833046a1e0581832a
    52048288c19383810861463040c862150a8318cf7fab31b809382e20d112408c1cf818d70220cf203b9f740f251783ccd6217146e32612711361
    214fc3060d12ea0c2331605b109da20487320d6409b026908940147a08c0c285ec00310c02f19515f04f590a9be889ed8c65717456b2520aa01";

fn lines() -> Vec<u8> {
    let line = |at: u32| {
        format!("{{\"id\":{at},\"name\":\"name of {}\",\"tags\":[\"a\",\"b\",\"c\"]}}\n", at * 7919 % 1000)
    };
    (0..40).map(line).collect::<String>().into_bytes()
}

/// A frame with this descriptor, these fields of the header and these blocks.
fn frame(descriptor: u8, fields: &[u8], blocks: &[u8]) -> Vec<u8> {
    [&MAGIC.to_le_bytes(), [descriptor].as_slice(), fields, blocks].concat()
}

/// A block that is the last one: of type 0 (as it is), 1 (one byte so often) or 3 (reserved).
fn last_block(kind: u32, size: u32, content: &[u8]) -> Vec<u8> {
    let header = (size << 3 | kind << 1 | 1).to_le_bytes();
    [&header[..3], content].concat()
}

#[test]
fn frames_of_the_reference_implementation_are_decoded() {
    for stream in [DENSE, STREAMED] {
        for piece in [1, 10, usize::MAX] {
            assert_eq!(decode(&[Coding::Zstd], &hex(stream), piece, lines().len()).unwrap(), lines());
        }
    }
}

#[test]
fn frames_follow_each_other_and_some_are_skipped() {
    let skipped = [(SKIPPABLE + 7).to_le_bytes().as_slice(), &5_u32.to_le_bytes(), b"notes"].concat();
    let nothing = [SKIPPABLE.to_le_bytes().as_slice(), &[0; 4]].concat();
    let stream = [
        skipped.clone(),
        encode(Coding::Zstd, b"one, "),
        nothing.clone(),
        skipped.clone(),
        hex(DENSE),
        nothing,
    ]
    .concat();
    let plain = [b"one, ".as_slice(), &lines()].concat();
    for piece in [1, 6, usize::MAX] {
        assert_eq!(decode(&[Coding::Zstd], &stream, piece, plain.len()).unwrap(), plain);
    }
    assert_eq!(decode_whole(Coding::Zstd, &skipped).unwrap(), b"");
    for cut in 1..skipped.len() {
        assert!(is_broken(&decode_whole(Coding::Zstd, &skipped[..cut])), "{cut}");
    }
}

#[test]
fn frames_made_by_hand() {
    let raw = |size: u8| last_block(0, u32::from(size), &b"content"[..usize::from(size)]);
    assert_eq!(decode_whole(Coding::Zstd, &frame(0x20, &[7], &raw(7))).unwrap(), b"content");
    assert_eq!(decode_whole(Coding::Zstd, &frame(0x00, &[0], &raw(7))).unwrap(), b"content");
    assert_eq!(decode_whole(Coding::Zstd, &frame(0x20, &[0], &raw(0))).unwrap(), b"");
    assert_eq!(
        decode_whole(Coding::Zstd, &frame(0x00, &[0], &last_block(1, 1024, b"x"))).unwrap(),
        vec![b'x'; 1024]
    );
    let wrong = [
        ("shorter than it says", frame(0x20, &[8], &raw(7))),
        ("longer than it says", frame(0x20, &[6], &raw(7))),
        ("a reserved block", frame(0x00, &[0], &last_block(3, 1, b"x"))),
        ("a block beyond the window", frame(0x00, &[0], &last_block(1, 1025, b"x"))),
        ("a block beyond 128 KiB", frame(0x00, &[0x68], &last_block(1, 128 * 1024 + 1, b"x"))),
        ("the reserved bit", frame(0x28, &[7], &raw(7))),
        ("a dictionary", frame(0x21, &[1, 7], &raw(7))),
        ("a wrong checksum", frame(0x24, &[7], &[raw(7).as_slice(), &[0; 4]].concat())),
        ("another magic number", b"\x27\xb5\x2f\xfd\x20\x00\x01\x00\x00".to_vec()),
    ];
    for (what, stream) in wrong {
        assert!(is_broken(&decode_whole(Coding::Zstd, &stream)), "{what}");
    }
}

#[test]
fn windows_beyond_eight_mebibytes_are_refused() {
    let block = last_block(1, 10, b"x");
    // Exponent 13 is 8 MiB; one eighth more is too much, and so is one byte more in a frame of a single segment.
    assert_eq!(decode_whole(Coding::Zstd, &frame(0x00, &[13 << 3], &block)).unwrap().len(), 10);
    for (descriptor, fields) in
        [(0x00, vec![13 << 3 | 1]), (0x00, vec![0xff]), (0xa0, vec![1, 0, 0x80, 0]), (0xe0, vec![0xff; 8])]
    {
        let decoded = decode_whole(Coding::Zstd, &frame(descriptor, &fields, &block));
        assert_eq!(decoded, Err(broken("the window is larger than 8 MiB")));
    }
}

#[test]
fn every_changed_byte_behind_the_header_is_noticed_by_the_checksum() {
    let stream = hex(DENSE);
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut wrong = stream.clone();
            wrong[at] ^= 1 << bit;
            let decoded = decode(&[Coding::Zstd], &wrong, usize::MAX, 1 << 20);
            assert!(decoded.is_err() || decoded == Ok(lines()), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let blocks: Vec<u8> = std::iter::repeat_n([2, 0, 16, b'x'], 8000).flatten().collect();
    let bomb = frame(0x00, &[13 << 3], &blocks);
    assert_eq!(decode(&[Coding::Zstd], &bomb, usize::MAX, 1 << 20), Err(Fault::TooLarge));
}

#[test]
fn a_long_stream_goes_through_a_small_window() {
    let plain = text(3 << 20);
    assert_eq!(decode(&[Coding::Zstd], &encode(Coding::Zstd, &plain), 5000, plain.len()).unwrap(), plain);
}
