//! Any bytes as frames of WebSocket: where frames end does not depend on how the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::tunnel::frames::Frames;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how they are cut.
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let ends = |most: usize| {
        let (mut frames, mut at, mut ends) = (Frames::default(), 0, Vec::new());
        while at < bytes.len() {
            let piece = &bytes[at..bytes.len().min(at + most)];
            let used = frames.follow(piece, true);
            assert!((1..=piece.len()).contains(&used));
            at += used;
            if frames.is_between() {
                ends.push((at, frames.is_closed()));
            } else {
                assert_eq!(used, piece.len());
            }
        }
        ends
    };
    let whole = ends(bytes.len().max(1));
    assert_eq!(whole, ends(1 + usize::from(*cut)));
    let mut frames = Frames::default();
    assert_eq!(frames.follow(bytes, false), bytes.len());
    assert_eq!(
        frames.is_between(),
        bytes.is_empty() || whole.last().is_some_and(|(at, _)| *at == bytes.len())
    );
});
