use proptest::prelude::*;

use super::*;
use crate::http1::chunk::EXTENSION;
use crate::http1::encode::{chunk, last_chunk};

/// What came out of a body: its content, its trailers, what was left over.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    data: Vec<u8>,
    trailers: String,
    left: Vec<u8>,
}

/// Feeds `wire` in pieces of `step` bytes until the body is complete; nothing follows.
fn read(framing: Framing, wire: &[u8], step: usize) -> Result<Read, &'static str> {
    let mut decoder = Decoder::new(framing);
    let (mut buf, mut data, mut trailers) = (BytesMut::new(), Vec::new(), String::new());
    let mut fed = wire.chunks(step);
    loop {
        match decoder.decode(&mut buf)? {
            Piece::Data(piece) => {
                assert!(!piece.is_empty());
                data.extend_from_slice(&piece);
            }
            Piece::Trailers(headers) => {
                assert!(decoder.is_done());
                for (_, name, value) in headers.iter() {
                    trailers.push_str(&format!(
                        "{}={}|",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    ));
                }
            }
            Piece::End => break,
            Piece::More => match fed.next() {
                Some(piece) => buf.extend_from_slice(piece),
                None => {
                    assert!(matches!(decoder.eof()?, Piece::End));
                    break;
                }
            },
        }
    }
    assert!(decoder.is_done());
    assert_eq!(decoder.length(), Some(0));
    assert!(matches!(decoder.decode(&mut buf), Ok(Piece::End)));
    assert!(matches!(decoder.eof(), Ok(Piece::End)));
    let left = buf.iter().copied().chain(fed.flatten().copied()).collect();
    Ok(Read { data, trailers, left })
}

/// Reads whole, byte by byte and in sevens: one outcome.
fn settle(framing: Framing, wire: &[u8]) -> Result<Read, &'static str> {
    let whole = read(framing, wire, wire.len().max(1));
    assert_eq!(whole, read(framing, wire, 1), "{:?}", String::from_utf8_lossy(wire));
    assert_eq!(whole, read(framing, wire, 7), "{:?}", String::from_utf8_lossy(wire));
    whole
}

#[track_caller]
fn chunked(wire: impl AsRef<[u8]>, data: impl AsRef<[u8]>, trailers: &str, left: &str) {
    let wire = wire.as_ref();
    let expected =
        Read { data: data.as_ref().to_vec(), trailers: trailers.into(), left: left.as_bytes().to_vec() };
    assert_eq!(settle(Framing::Chunked, wire), Ok(expected), "{:?}", String::from_utf8_lossy(wire));
}

#[track_caller]
fn broken(wire: impl AsRef<[u8]>, why: &'static str) {
    let wire = wire.as_ref();
    assert_eq!(settle(Framing::Chunked, wire), Err(why), "{:?}", String::from_utf8_lossy(wire));
}

#[test]
fn bodies_of_a_known_length() {
    let all =
        |data: &str, left: &str| Ok(Read { data: data.into(), trailers: String::new(), left: left.into() });
    assert_eq!(settle(Framing::Length(5), b"helloGET /"), all("hello", "GET /"));
    assert_eq!(settle(Framing::Length(0), b"GET /"), all("", "GET /"));
    assert_eq!(settle(Framing::None, b"GET /"), all("", "GET /"));
    assert_eq!(settle(Framing::UntilClose, b"hello"), all("hello", ""));
    assert_eq!(settle(Framing::UntilClose, b""), all("", ""));
    assert_eq!(settle(Framing::Length(6), b"hello"), Err("incomplete"));
    assert_eq!(settle(Framing::Length(u64::MAX), b"hello"), Err("incomplete"));
}

#[test]
fn content_comes_as_it_is_there() {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut buf = BytesMut::from("a\r\nhel");
    assert!(matches!(decoder.decode(&mut buf), Ok(Piece::Data(data)) if data == "hel"));
    assert!(matches!(decoder.decode(&mut buf), Ok(Piece::More)));
    buf.extend_from_slice(b"lo you");
    assert!(matches!(decoder.decode(&mut buf), Ok(Piece::Data(data)) if data == "lo you"));
    assert_eq!(decoder.length(), None);

    let mut decoder = Decoder::new(Framing::Length(5));
    let mut buf = BytesMut::from("hel");
    let at = buf.as_ptr();
    let Ok(Piece::Data(data)) = decoder.decode(&mut buf) else { panic!("no data") };
    assert_eq!(data.as_ptr(), at, "content is not copied");
    assert_eq!(decoder.length(), Some(2));
    assert!(!decoder.is_done());
}

#[test]
fn chunks() {
    chunked("0\r\n\r\n", "", "", "");
    chunked("5\r\nhello\r\n0\r\n\r\n", "hello", "", "");
    chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", "", "GET /");
    chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", "", "");
    chunked("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", "", "");
    chunked("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", "");
    chunked("5;x\r\nhello\r\n0;y=\"z\"\r\n\r\n", "hello", "", "");
    chunked("5 ; a = b ;c\r\nhello\r\n0\r\n\r\n", "hello", "", "");
    chunked("5;a=\"b\\\"\";c\r\nhello\r\n0\r\n\r\n", "hello", "", "");
    let longest = "x".repeat(EXTENSION - 1);
    chunked(format!("5;{longest}\r\nhello\r\n0\r\n\r\n"), "hello", "", "");
    chunked(format!("0000000000000005;{longest}\r\nhello\r\n0\r\n\r\n"), "hello", "", "");
    chunked(
        "1d\r\nGET /z HTTP/1.1\r\nHost: zz\r\n\r\n\r\n0\r\n\r\n",
        "GET /z HTTP/1.1\r\nHost: zz\r\n\r\n",
        "",
        "",
    );
}

#[test]
fn small_chunks_that_came_together_are_one_piece() {
    for (content, chunks) in [("x", 16_000), ("0123456789", 1_000), (&"y".repeat(SMALL as usize), 60)] {
        let mut wire = Vec::new();
        (0..chunks).for_each(|_| chunk(&mut wire, content.as_bytes()));
        last_chunk(&mut wire, None);
        let mut buf = BytesMut::from(&wire[..]);
        let content_at = buf.as_ptr().wrapping_add(wire.iter().position(|byte| *byte == b'\n').unwrap() + 1);
        let mut decoder = Decoder::new(Framing::Chunked);
        let Ok(Piece::Data(data)) = decoder.decode(&mut buf) else { panic!("no data") };
        assert_eq!(data, content.repeat(chunks), "all of it");
        assert_eq!(data.as_ptr(), content_at, "where it lay: each byte was moved once");
        assert!(matches!(decoder.decode(&mut buf), Ok(Piece::End)) && buf.is_empty());
    }
}

#[test]
fn what_is_not_plain_ends_a_piece_of_small_chunks() {
    chunked(
        "1\r\na\r\n2;x\r\nbc\r\n03\r\ndef\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\nGET",
        "abcdef0123456789",
        "t=1|",
        "GET",
    );
    for (wire, why) in [
        ("1\r\na\r\n1\r\nbc\r\n0\r\n\r\n", "bad chunk end"),
        ("1\r\na\r\n1\r\nb\n\r\n0\r\n\r\n", "bad chunk end"),
        ("1\r\na\r\n1 \r\nb\r\n0\r\n\r\n", "bad chunk size"),
        ("1\r\na\r\n1\nb\r\n0\r\n\r\n", "bad chunk size"),
        ("1\r\na\r\n-1\r\nb\r\n0\r\n\r\n", "bad chunk size"),
    ] {
        broken(wire, why);
    }
    // The bound of all extensions holds for chunks that are gathered too.
    let extended = format!("1;{}\r\nx\r\n", "y".repeat(EXTENSION - 1));
    let most = EXTENSIONS / EXTENSION;
    chunked(format!("{}0\r\n\r\n", extended.repeat(most)), "x".repeat(most), "", "");
    broken(format!("{}0\r\n\r\n", extended.repeat(most + 1)), "long chunk extensions");
}

#[test]
fn sizes_that_are_none() {
    for size in [
        "",
        " ",
        " 5",
        "5 ",
        "\t5",
        "5\t",
        "+5",
        "-5",
        "0x5",
        "g",
        "5g",
        "5,5",
        "\u{ff15}",
        "\"5\"",
        "00000000000000005",
        "fffffffffffffffff",
        "10000000000000000",
        "5\0",
    ] {
        broken(format!("{size}\r\nhello\r\n0\r\n\r\n"), "bad chunk size");
        broken(format!("1\r\na\r\n{size}\r\nhello\r\n0\r\n\r\n"), "bad chunk size");
    }
    broken("5\nhello\r\n0\r\n\r\n", "bad chunk size");
    broken("5\r\nhello\r\n0\n\n", "bad chunk size");
    broken("\r\n5\r\nhello\r\n0\r\n\r\n", "bad chunk size");
    broken("5\rhello\r\n0\r\n\r\n", "bad chunk extension");
    broken("5;x\nhello\r\n0\r\n\r\n", "bad chunk size");
    for byte in ["\0", "\r", "\x7f", "\x0b", " ", ";;", "=\"", "\u{fc}"] {
        broken(format!("5;a{byte}b\r\nhello\r\n0\r\n\r\n"), "bad chunk extension");
    }
    broken(format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(EXTENSION)), "long chunk extension");
    broken(format!("5;{}", "x".repeat(9000)), "long chunk extension");
    broken(format!("5\r{}", "x".repeat(9000)), "long chunk extension");
    for over in 0..20 {
        let line = format!("5;{}\nhello", "x".repeat(EXTENSION + over));
        broken(line, if over == 0 { "bad chunk size" } else { "long chunk extension" });
    }
    broken(format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100), "long chunk extensions");
}

#[test]
fn chunks_that_end_otherwise() {
    for end in ["", "\n", "\rx", "x\r\n", "\r\r\n", " \r\n", "\0\r\n"] {
        broken(format!("5\r\nhello{end}0\r\n\r\n"), "bad chunk end");
    }
}

#[test]
fn bodies_that_break_off() {
    let wire = "5\r\nhello\r\n0\r\nx: 1\r\n\r\n";
    for end in 0..wire.len() {
        broken(&wire[..end], "incomplete");
    }
    broken("ffffffffffffffff\r\nhello", "incomplete");
}

#[test]
fn errors_stay() {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut buf = BytesMut::from("x\r\n");
    assert_eq!(decoder.decode(&mut buf).err(), Some("bad chunk size"));
    let mut buf = BytesMut::from("0\r\n\r\n");
    assert_eq!(decoder.decode(&mut buf).err(), Some("bad chunk size"));
    assert_eq!(decoder.eof().err(), Some("bad chunk size"));
    assert!(!decoder.is_done());
}

#[test]
fn trailer_sections() {
    chunked("0\r\nX-T: a b \r\ny:\r\n\r\nGET", "", "x-t=a b|y=|", "GET");
    chunked("1\r\na\r\n0\r\ngrpc-status: 0\r\n\r\n", "a", "grpc-status=0|", "");
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Authorization",
        "Content-Type",
        "Content-Encoding",
        "content_md5",
        "Trailer",
        "TE",
        "Upgrade",
        "Keep-Alive",
        "X-Forwarded-For",
        "x_forwarded_for",
        "Forwarded",
        "X-Real-IP",
        "X-Request-ID",
        "traceparent",
        "Cookie",
        "Set-Cookie",
        "Expect",
        "Cache-Control",
        "Location",
        "Proxy-Authorization",
        "transfer_encoding",
    ] {
        chunked(format!("0\r\na: 1\r\n{name}: x\r\nb: 2\r\n\r\n"), "", "a=1|b=2|", "");
        chunked(format!("0\r\n{name}: x\r\n\r\nGET"), "", "", "GET");
    }
    for (lines, why) in [
        ("x: a\nb: c\r\n", "bare line feed"),
        ("x: a\n", "bare line feed"),
        ("x : a\r\n", "bad header name"),
        (" x: a\r\n", "bad header name"),
        ("x: a\r\n b\r\n", "bad header name"),
        ("x\r\n", "bad header name"),
        ("x: a\rb\r\n", "bad header value"),
        ("x: a\0\r\n", "bad header value"),
        ("content-length: a\0\r\n", "bad header value"),
    ] {
        broken(format!("0\r\n{lines}\r\n"), why);
    }
    broken(format!("0\r\n{}\r\n", "x: 1\r\n".repeat(TRAILER_LINES + 1)), "too many trailers");
    let all = "x=1|".repeat(TRAILER_LINES);
    chunked(format!("0\r\n{}\r\n", "x: 1\r\n".repeat(TRAILER_LINES)), "", &all, "");
    broken(format!("0\r\nx: {}\r\n\r\n", "v".repeat(TRAILER_BYTES)), "trailers too large");
    broken(format!("0\r\nx: {}", "v".repeat(9000)), "trailers too large");
    let value = "v".repeat(TRAILER_BYTES - 7);
    chunked(format!("0\r\nx: {value}\r\n\r\n"), "", &format!("x={value}|"), "");
}

proptest! {
    #[test]
    fn arbitrary_chunks(wire in prop::collection::vec(prop::sample::select(b"012af;x:\r\n\0 ".to_vec()), 0..60)) {
        let _ = settle(Framing::Chunked, &wire);
    }

    #[test]
    fn arbitrary_bytes(wire in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = settle(Framing::Chunked, &wire);
    }

    #[test]
    fn what_is_written_is_read(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        trailer in prop::option::of("[!-~]{0,20}"),
        step in 1..50usize,
    ) {
        let trailers = trailer.map(|value| {
            let mut trailers = Headers::new();
            trailers.append("x-sum", value.as_bytes()).unwrap();
            (trailers, format!("x-sum={value}|"))
        });
        let mut wire = Vec::new();
        for piece in &pieces {
            chunk(&mut wire, piece);
        }
        last_chunk(&mut wire, trailers.as_ref().map(|(headers, _)| headers));
        wire.extend_from_slice(b"GET /");
        let read = read(Framing::Chunked, &wire, step).unwrap();
        prop_assert_eq!(read.data, pieces.concat());
        prop_assert_eq!(read.trailers, trailers.map(|(_, text)| text).unwrap_or_default());
        prop_assert_eq!(read.left, b"GET /");
    }
}
