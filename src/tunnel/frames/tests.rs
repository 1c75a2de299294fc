use super::*;
use crate::runtime::random;

/// A frame as RFC 6455 section 5.2 draws it.
fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match length {
        0..=125 => frame.push(bit | length as u8),
        126..=65535 => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(if masked { &[0x88; 4] } else { &[] });
    // Bytes that look like the heads of frames.
    frame.resize(frame.len() + length, 0x88);
    frame
}

#[test]
fn the_ends_of_frames_are_found_however_the_bytes_are_cut() {
    for _ in 0..200 {
        let lengths = [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000];
        let mut ends = Vec::new();
        let mut all = Vec::new();
        for _ in 0..8 {
            let opcode = [0, 1, 2, 9, 10][random::usize(0..5)];
            all.extend(frame(opcode, lengths[random::usize(0..lengths.len())], random::usize(0..2) == 0));
            ends.push(all.len());
        }
        let (mut frames, mut at, mut found) = (Frames::default(), 0, Vec::new());
        while at < all.len() {
            let most = if random::usize(0..2) == 0 { 4 } else { 100_000 };
            let piece = &all[at..(at + random::usize(1..=most)).min(all.len())];
            let used = frames.follow(piece, true);
            at += used;
            if frames.is_between() {
                found.push(at);
            } else {
                assert_eq!(used, piece.len());
            }
        }
        assert_eq!(found, ends);
        let mut whole = Frames::default();
        assert_eq!(whole.follow(&all, false), all.len());
        assert!(whole.is_between() && !whole.is_closing());
    }
}

#[test]
fn a_close_frame_is_the_last() {
    let mut frames = Frames::default();
    let close = frame(CLOSE, 2, true);
    frames.follow(&frame(1, 5, true), false);
    frames.follow(&close[..7], false);
    assert!(frames.is_closing() && !frames.is_closed());
    frames.follow(&close[7..], false);
    assert!(frames.is_closed());
}

#[test]
fn a_length_beyond_the_standard_is_followed_no_further() {
    let mut frames = Frames::default();
    assert_eq!(frames.follow(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], true), 13);
    assert!(!frames.is_between());
    assert_eq!(frames.follow(&[0x81, 0], true), 2);
    assert!(!frames.is_between());
}

#[test]
fn a_goodbye_is_a_frame_that_closes() {
    assert_eq!(goodbye_of_server(), [0x88, 2, 0x03, 0xe9]);
    let mask = [0x11, 0x22, 0x33, 0x44];
    assert_eq!(goodbye_of_client(mask), [0x88, 0x82, 0x11, 0x22, 0x33, 0x44, 0x12, 0xcb]);
    for goodbye in [goodbye_of_server(), goodbye_of_client(mask)] {
        let mut frames = Frames::default();
        assert_eq!(frames.follow(&goodbye, true), goodbye.len());
        assert!(frames.is_closed());
    }
}
