//! HTTP/2 frame by frame: the code of each fault, and what a client may send that carries no work.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::h2::Frames;
use crate::support::*;

/// Type, flags, stream and payload.
type Frame<'a> = (u8, u8, u32, &'a [u8]);

const SITE: &str = "routes: { /x: { respond: { body: x } } }";

/// The code of the GOAWAY that ends a connection; everything else is passed over.
fn code(frames: &mut Frames) -> Option<u32> {
    std::iter::from_fn(|| frames.next())
        .find(|(kind, ..)| *kind == 7)
        .map(|(.., payload)| u32::from_be_bytes(*payload[4..].first_chunk().unwrap()))
}

#[test]
fn each_fault_ends_the_connection_with_its_code() {
    let gateway = Gateway::start(&[], SITE);
    let block = Frames::get_block("/x");
    let mut cut = block.clone();
    cut.truncate(block.len() - 3);
    let rows: &[(&str, &[Frame<'_>], u32)] = &[
        ("a PING of 7 bytes", &[(6, 0, 0, b"1234567")], 6),
        ("a PING on a stream", &[(6, 0, 1, b"12345678")], 1),
        ("SETTINGS of 5 bytes", &[(4, 0, 0, b"12345")], 6),
        ("an acknowledgement with settings", &[(4, 1, 0, &[0; 6])], 6),
        ("too large a window by SETTINGS", &[(4, 0, 0, &[0, 4, 0x80, 0, 0, 0])], 3),
        ("ENABLE_PUSH of 2", &[(4, 0, 0, &[0, 2, 0, 0, 0, 2])], 1),
        ("a window that overflows", &[(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], 3),
        ("a WINDOW_UPDATE of nothing", &[(8, 0, 0, &[0; 4])], 1),
        ("a WINDOW_UPDATE of 3 bytes", &[(8, 0, 0, &[0; 3])], 6),
        ("a WINDOW_UPDATE on an idle stream", &[(8, 0, 1, &[0, 0, 0, 1])], 1),
        ("DATA on an idle stream", &[(0, 0, 1, b"data")], 1),
        ("RST_STREAM on an idle stream", &[(3, 0, 1, &[0; 4])], 1),
        ("PRIORITY of 4 bytes", &[(2, 0, 1, &[0; 4])], 6),
        ("a pushed stream", &[(5, 4, 1, &[0, 0, 0, 2])], 1),
        ("a stream of the server's", &[(1, 5, 2, &block)], 1),
        ("a lower stream", &[(1, 5, 5, &block), (1, 5, 3, &block)], 1),
        ("CONTINUATION alone", &[(9, 4, 1, &block)], 1),
        ("a head that is interrupted", &[(1, 1, 1, &cut), (6, 0, 0, b"12345678")], 1),
        ("fields that cannot be decoded", &[(1, 5, 1, &[0xff; 8])], 9),
        ("fields that end early", &[(1, 5, 1, &cut)], 9),
        ("fields that cannot be decoded, later", &[(1, 5, 1, &block), (1, 5, 3, &[0xbf])], 9),
        ("fields that cannot be decoded, in parts", &[(1, 1, 1, &cut), (9, 4, 1, &[0xff; 8])], 9),
        ("more than fits a frame", &[(1, 5, 1, &[0; 16_385])], 6),
    ];
    for (what, sent, expected) in rows {
        let mut frames = Frames::connect(gateway.address());
        for (kind, flags, stream, payload) in *sent {
            assert!(frames.send(*kind, *flags, *stream, payload), "{what}");
        }
        assert_eq!(code(&mut frames), Some(*expected), "{what}");
    }
    assert_eq!(gateway.get("/x").text(), "x");
}

#[test]
fn an_invalid_preface_gets_goaway() {
    let gateway = Gateway::start(&[], SITE);
    for rest in ["XX\r\n\r\n", "SM\r\n\nX"] {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("PRI * HTTP/2.0\r\n\r\n{rest}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(answer.ends_with(&goaway), "{answer:02x?}");
    }
}

/// Sends a frame until the connection ends. How many were taken, and the code that it ended with.
fn flood(gateway: &Gateway, frame: Frame<'_>) -> (usize, Option<u32>) {
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(1, 0x04, 1, &Frames::get_block("/x")));
    let (kind, flags, stream, payload) = frame;
    let sent = (0..50_000).take_while(|_| frames.send(kind, flags, stream, payload)).count();
    (sent, code(&mut frames))
}

#[test]
fn floods_of_frames_without_work_are_refused() {
    let gateway = Gateway::start(&[], SITE);
    let rows: &[(&str, Frame<'_>)] = &[
        ("PING", (6, 0, 0, b"12345678")),
        ("SETTINGS", (4, 0, 0, b"")),
        ("PRIORITY", (2, 0, 3, b"12345")),
        ("empty DATA", (0, 0, 1, b"")),
        ("WINDOW_UPDATE", (8, 0, 0, &[0, 0, 0, 1])),
        ("of an unknown type", (0x42, 0, 0, b"anything")),
    ];
    for (what, frame) in rows {
        let (sent, code) = flood(&gateway, *frame);
        assert!(sent < 50_000 || code.is_some(), "{what}: the connection goes on");
        assert_eq!(code, Some(11), "{what}: ENHANCE_YOUR_CALM");
    }
    assert_eq!(gateway.get("/x").text(), "x", "others are served");
}

#[test]
fn empty_data_is_no_fault_of_a_long_connection() {
    // More of it than the library takes in the life of a connection.
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], "routes: { 'POST /api/*': { upstream: ORIGIN1 } }");
    let mut frames = Frames::connect(gateway.address());
    let mut block = vec![0x83];
    block.extend_from_slice(&Frames::get_block("/api/x")[1..]);
    for stream in [1, 3, 5] {
        assert!(frames.send(1, 0x04, stream, &block));
        for _ in 0..80 {
            assert!(frames.send(0, 0, stream, b""));
        }
        assert!(frames.send(0, 0x1, stream, b"body"));
        let ended = std::iter::from_fn(|| frames.next()).find(|(kind, flags, on, _)| {
            assert!(*kind != 7 && *kind != 3, "not refused");
            *on == stream && flags & 1 == 1
        });
        assert!(ended.is_some());
    }
    assert_eq!(origin.count(), 3);
}
