use proptest::prelude::*;

use super::super::testing::{ALL, decode, decode_whole, encode, encode_all, is_broken, text};
use super::*;

#[test]
fn every_coding_gives_back_what_went_in() {
    for coding in ALL {
        for length in [0, 1, 1000, 70_000, 400_000] {
            let plain = text(length);
            let encoded = encode(coding, &plain);
            for piece in [1, 13, 4096, usize::MAX] {
                assert_eq!(
                    decode(&[coding], &encoded, piece, length).unwrap(),
                    plain,
                    "{coding:?} {length} {piece}"
                );
            }
        }
    }
}

#[test]
fn two_codings_are_undone_from_the_last_to_the_first() {
    let plain = text(200_000);
    for first in ALL {
        for second in ALL {
            let encoded = encode_all(&[first, second], &plain);
            for piece in [1, 1000, usize::MAX] {
                let decoded = decode(&[first, second], &encoded, piece, plain.len());
                assert_eq!(decoded.unwrap(), plain, "{first:?} {second:?} {piece}");
            }
        }
    }
}

#[test]
fn without_a_coding_bytes_go_through() {
    assert_eq!(decode(&[], b"plain", 2, 5).unwrap(), b"plain");
    assert_eq!(decode(&[], b"plain", 2, 4), Err(Fault::TooLarge));
}

#[test]
fn the_room_is_never_exceeded_and_exactly_enough_is_enough() {
    let plain = text(150_000);
    for coding in ALL {
        let encoded = encode(coding, &plain);
        for room in [0, 1, PIECE - 1, PIECE, plain.len() - 1] {
            let mut out = b"before".to_vec();
            assert_eq!(
                Decoder::new(&[coding]).push(&encoded, &mut out, room),
                Err(Fault::TooLarge),
                "{coding:?} {room}"
            );
            assert!(out.len() <= 6 + room && out.starts_with(b"before"));
            assert_eq!(out[6..], plain[..out.len() - 6]);
        }
        assert!(decode(&[coding], &encoded, usize::MAX, plain.len()).is_ok());
    }
}

#[test]
fn a_stream_that_is_cut_anywhere_is_broken() {
    for coding in ALL {
        let encoded = encode(coding, &text(3000));
        for cut in 1..encoded.len() {
            assert!(
                is_broken(&decode_whole(coding, &encoded[..cut])),
                "{coding:?} cut at {cut} of {}",
                encoded.len()
            );
        }
    }
}

#[test]
fn bytes_behind_the_end_are_broken() {
    for coding in ALL {
        for rest in [b"\0".as_slice(), b"\n", b"rest of it"] {
            let encoded = [encode(coding, b"content").as_slice(), rest].concat();
            for piece in [1, usize::MAX] {
                assert!(is_broken(&decode(&[coding], &encoded, piece, 1000)), "{coding:?} {rest:?} {piece}");
            }
        }
    }
}

#[test]
fn nothing_is_nothing_in_every_coding() {
    for coding in ALL {
        assert_eq!(decode_whole(coding, b"").unwrap(), b"");
    }
}

#[test]
fn a_fault_stays() {
    let mut decoder = Decoder::new(&[Coding::Gzip]);
    let fault = decoder.push(b"no gzip", &mut Vec::new(), 10).unwrap_err();
    assert_eq!(decoder.push(&encode(Coding::Gzip, b"some"), &mut Vec::new(), 10), Err(fault.clone()));
    assert_eq!(decoder.finish(&mut Vec::new(), 10), Err(fault));
}

#[test]
fn a_bomb_within_a_bomb_stops_at_the_bound() {
    for coding in ALL {
        let encoded = encode_all(&[coding, Coding::Gzip], &vec![0; 8 << 20]);
        assert_eq!(
            decode(&[coding, Coding::Gzip], &encoded, usize::MAX, 1 << 20),
            Err(Fault::TooLarge),
            "{coding:?}"
        );
    }
}

fn any_codings() -> impl Strategy<Value = Vec<Coding>> {
    prop::collection::vec(prop::sample::select(ALL.to_vec()), 1..=2)
}

/// Feeds in pieces of these lengths, over and over; whatever comes, it must come within the room.
fn feed(codings: &[Coding], mut encoded: &[u8], pieces: &[usize], room: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::new(codings);
    let mut out = Vec::new();
    for &piece in pieces.iter().cycle() {
        let (now, later) = encoded.split_at(piece.min(encoded.len()));
        let left = room - out.len();
        let pushed = decoder.push(now, &mut out, left);
        assert!(out.len() <= room);
        pushed?;
        encoded = later;
        if encoded.is_empty() {
            break;
        }
    }
    let left = room - out.len();
    decoder.finish(&mut out, left)?;
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes_are_decoded_or_refused(
        codings in any_codings(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        pieces in prop::collection::vec(1_usize..50, 1..4),
    ) {
        let whole = feed(&codings, &bytes, &[usize::MAX], 1 << 20);
        prop_assert_eq!(feed(&codings, &bytes, &pieces, 1 << 20).ok(), whole.ok());
    }

    #[test]
    fn bytes_behind_a_true_beginning_are_decoded_or_refused(
        coding in prop::sample::select(ALL.to_vec()),
        keep in 1_usize..30,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let encoded = encode(coding, &text(5000));
        let mixed = [&encoded[..keep.min(encoded.len())], &bytes].concat();
        let _ = feed(&[coding], &mixed, &[usize::MAX], 1 << 20);
    }

    #[test]
    fn a_stream_with_flipped_bits_never_says_something_else_unnoticed_by_its_sum(
        coding in prop::sample::select(ALL.to_vec()),
        length in 0_usize..20_000,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
        pieces in prop::collection::vec(1_usize..3000, 1..4),
    ) {
        let plain = text(length);
        let mut encoded = encode(coding, &plain);
        for (at, bit) in flips {
            let at = at.index(encoded.len());
            encoded[at] ^= 1 << bit;
        }
        let whole = feed(&[coding], &encoded, &[usize::MAX], 1 << 20);
        prop_assert_eq!(feed(&[coding], &encoded, &pieces, 1 << 20).ok(), whole.clone().ok());
        if let (Coding::Gzip, Ok(decoded)) = (coding, whole) {
            prop_assert_eq!(decoded, plain);
        }
    }

    #[test]
    fn any_content_comes_back_in_any_pieces(
        codings in any_codings(),
        plain in prop::collection::vec(any::<u8>(), 0..5000),
        pieces in prop::collection::vec(1_usize..3000, 1..4),
    ) {
        let encoded = encode_all(&codings, &plain);
        prop_assert_eq!(feed(&codings, &encoded, &pieces, plain.len()).unwrap(), plain);
    }
}
