use std::cell::Cell;
use std::time::Duration;

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A connection that has begun: the preface and empty settings.
fn begun() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(kind::SETTINGS, 0, 0, b""));
    bytes
}

fn headers(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, b"\x82")
}

struct Seen {
    guard: Guard,
    passed: Vec<u8>,
    now: Cell<Instant>,
}

impl Seen {
    fn new() -> Seen {
        let now = Instant::now();
        Seen { guard: Guard::new(now), passed: Vec::new(), now: Cell::new(now) }
    }

    /// One read of these bytes, as the connection makes it.
    fn read(&mut self, mut bytes: &[u8]) {
        let now = || self.now.get();
        while let Some(missing) = self.guard.missing().filter(|_| !bytes.is_empty()) {
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            bytes = rest;
            if let Some(header) = self.guard.complete(part, now) {
                self.passed.extend(header);
            }
        }
        let mut bytes = bytes.to_vec();
        let kept = self.guard.inspect(&mut bytes, now);
        self.passed.extend_from_slice(&bytes[..kept]);
    }
}

fn fault(frames: &[Vec<u8>]) -> Option<Reason> {
    let mut seen = Seen::new();
    seen.read(&begun());
    seen.read(&frames.concat());
    seen.guard.fault()
}

#[test]
fn each_fault_has_the_code_of_its_section() {
    let (protocol, size) = (Some(Reason::PROTOCOL_ERROR), Some(Reason::FRAME_SIZE_ERROR));
    let large = frame(kind::HEADERS, flag::END_HEADERS, 1, &[0; MAX_FRAME + 1]);
    let rows: Vec<(Vec<Vec<u8>>, Option<Reason>)> = vec![
        (vec![large], size),
        (vec![frame(kind::PING, 0, 0, b"1234567")], size),
        (vec![frame(kind::PING, 0, 1, b"12345678")], protocol),
        (vec![frame(kind::SETTINGS, 0, 0, b"1234567")], size),
        (vec![frame(kind::SETTINGS, flag::ACK, 0, b"123456")], size),
        (vec![frame(kind::SETTINGS, 0, 1, b"")], protocol),
        (vec![frame(kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])], Some(Reason::FLOW_CONTROL_ERROR)),
        (vec![frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])], None),
        (vec![frame(kind::GOAWAY, 0, 0, b"1234")], size),
        (vec![frame(kind::GOAWAY, 0, 3, b"12345678")], protocol),
        (vec![frame(kind::PRIORITY, 0, 1, b"1234")], size),
        (vec![frame(kind::PRIORITY, 0, 0, b"12345")], protocol),
        (vec![frame(kind::PRIORITY, 0, 9, b"12345")], None),
        (vec![headers(1), frame(kind::RST_STREAM, 0, 1, b"123")], size),
        (vec![headers(1), frame(kind::RST_STREAM, 0, 3, b"1234")], protocol),
        (vec![headers(1), frame(kind::WINDOW_UPDATE, 0, 1, b"123")], size),
        (vec![headers(1), frame(kind::WINDOW_UPDATE, 0, 3, b"1234")], protocol),
        (vec![frame(kind::DATA, 0, 1, b"x")], protocol),
        (vec![headers(1), frame(kind::DATA, flag::PADDED, 1, b"")], size),
        (vec![headers(2)], protocol),
        (vec![headers(0)], protocol),
        (vec![frame(kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, b"12345")], size),
        (vec![frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b"1234")], protocol),
        (vec![frame(kind::CONTINUATION, flag::END_HEADERS, 1, b"")], protocol),
        (vec![frame(kind::HEADERS, 0, 1, b""), frame(kind::PING, 0, 0, b"12345678")], protocol),
        (vec![frame(kind::HEADERS, 0, 1, b""), frame(kind::CONTINUATION, 0, 3, b"")], protocol),
        (vec![frame(kind::HEADERS, 0, 1, b""), frame(kind::CONTINUATION, 4, 1, b""), headers(3)], None),
        // An unknown type is passed over (RFC 9113 section 4.1), but not within a head.
        (vec![frame(0x42, 0xff, 7, b"anything")], None),
        (vec![frame(kind::HEADERS, 0, 1, b""), frame(0x42, 0, 0, b"")], protocol),
    ];
    for (frames, expected) in rows {
        assert_eq!(fault(&frames), expected, "{frames:?}");
    }
}

#[test]
fn the_preface_and_the_settings_come_first() {
    let mut seen = Seen::new();
    seen.read(b"PRI * HTTP/2.0\r\n\r\nXX");
    assert_eq!((seen.guard.fault(), seen.passed.len()), (Some(Reason::PROTOCOL_ERROR), 0));
    let mut seen = Seen::new();
    seen.read(&[PREFACE, &frame(kind::PING, 0, 0, b"12345678")].concat());
    assert_eq!((seen.guard.fault(), &*seen.passed), (Some(Reason::PROTOCOL_ERROR), PREFACE));
}

#[test]
fn what_passes_is_the_same_however_it_is_cut() {
    let mut bytes = begun();
    let mut expected = bytes.clone();
    for stream in (1..40).step_by(2) {
        let sent = [
            headers(stream),
            frame(kind::DATA, 0, stream, b""),
            frame(kind::DATA, 0, stream, b"some"),
            frame(kind::DATA, 0, stream, b""),
            frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0, 9]),
            frame(kind::DATA, 0, stream, b""),
            frame(kind::DATA, flag::END_STREAM, stream, b""),
        ];
        bytes.extend(sent.concat());
        let passes = sent.iter().filter(|frame| !(frame.len() == HEADER && frame[3..5] == [kind::DATA, 0]));
        expected.extend(passes.flatten());
    }
    for size in 1..60 {
        let mut seen = Seen::new();
        bytes.chunks(size).for_each(|part| seen.read(part));
        assert_eq!((seen.guard.fault(), seen.passed == expected), (None, true), "in pieces of {size}");
    }
}

/// How many of these frames are taken at once.
fn taken(seen: &mut Seen, frame: &[u8], tries: usize) -> usize {
    (0..tries)
        .take_while(|_| {
            seen.read(frame);
            seen.guard.fault().is_none()
        })
        .count()
}

#[test]
fn frames_without_work_are_bounded() {
    let kinds = [
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::PING, flag::ACK, 0, b"12345678"),
        frame(kind::SETTINGS, 0, 0, b""),
        frame(kind::SETTINGS, flag::ACK, 0, b""),
        frame(kind::PRIORITY, 0, 5, b"12345"),
        frame(kind::RST_STREAM, 0, 1, b"1234"),
        frame(kind::DATA, 0, 1, b""),
        frame(kind::GOAWAY, 0, 0, b"12345678"),
        frame(0x42, 0, 0, b""),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ];
    for flood in kinds {
        let mut seen = Seen::new();
        seen.read(&begun());
        seen.read(&headers(1));
        let count = taken(&mut seen, &flood, 10_000);
        assert!((900..1_100).contains(&count), "{count} of {flood:?}");
        assert_eq!(seen.guard.fault(), Some(Reason::ENHANCE_YOUR_CALM));
    }
}

#[test]
fn frames_that_follow_work_are_not_counted_as_a_flood() {
    let mut seen = Seen::new();
    seen.read(&begun());
    seen.read(&headers(1));
    for _ in 0..100_000 {
        // The smallest piece of an answer, the room for it twice, a measurement of the path and its answer.
        seen.guard.sent(HEADER + 25 + HEADER + 8);
        seen.read(&frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 25]));
        seen.read(&frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 25]));
        seen.read(&frame(kind::PING, 0, 0, b"12345678"));
    }
    assert_eq!(seen.guard.fault(), None);
    // The answers to PING alone do not pay for more of them.
    let pings = (0..10_000).take_while(|_| {
        seen.guard.sent(HEADER + 8);
        seen.read(&frame(kind::PING, 0, 0, b"12345678"));
        seen.guard.fault().is_none()
    });
    assert!(pings.count() < 2_500);
}

#[test]
fn control_frames_at_a_slow_pace_go_on_for_ever() {
    let mut seen = Seen::new();
    seen.read(&begun());
    for _ in 0..20_000 {
        seen.now.set(seen.now.get() + Duration::from_millis(11));
        seen.read(&frame(kind::PING, 0, 0, b"12345678"));
    }
    assert_eq!(seen.guard.fault(), None);
}

#[test]
fn streams_that_are_refused_are_counted_over_time() {
    let now = Instant::now();
    let mut guard = Guard::new(now);
    (0..100_000).for_each(|_| guard.reset(Reason::CANCEL.into(), || now));
    (0..1_000).for_each(|_| guard.reset(Reason::REFUSED_STREAM.into(), || now));
    assert_eq!(guard.fault(), None);
    guard.reset(Reason::REFUSED_STREAM.into(), || now);
    assert_eq!(guard.fault(), Some(Reason::ENHANCE_YOUR_CALM));
}
