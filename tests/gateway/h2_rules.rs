//! The rules of RFC 9113 for frames, streams and heads, one row each: what a breach of it is answered with.
//!
//! A connection may end where the standard has a stream reset (section 5.4.1); the code is the standard's.

use crate::support::h2::Frames;
use crate::support::{Gate, Gateway, Origin};

/// Type, flags, stream and payload.
type Sent = (u8, u8, u32, Vec<u8>);

/// What comes of it: nothing, or the code of a reset or of a GOAWAY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Fine,
    Reset(u32),
    Ended(u32),
}

use Outcome::{Ended, Fine, Reset};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END: u8 = 0x1;
const HEAD: u8 = 0x4;
const PADDED: u8 = 0x8;
const WEIGHED: u8 = 0x20;

/// A header block without compression.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/slow"), (":authority", "gw.test")];

/// The head of a request, with some more fields.
fn head(more: &[(&str, &str)]) -> Vec<u8> {
    block(&[&GET[..], more].concat())
}

fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = GET;
    fields[0].1 = "POST";
    block(&[&fields[..], more].concat())
}

/// Sends the frames on a connection of their own, and reads what comes of them.
fn outcome(gateway: &Gateway, sent: &[Sent]) -> Outcome {
    let mut frames = Frames::connect(gateway.address());
    for (kind, flags, stream, payload) in sent {
        assert!(frames.send(*kind, *flags, *stream, payload));
    }
    // A reset may follow the answer to a first one.
    for _ in 0..2 {
        let _ = frames.send(PING, 0, 0, b"are you?");
        loop {
            match frames.next().expect("an outcome") {
                (PING, 1, ..) => break,
                (RST_STREAM, _, _, code) => return Reset(u32::from_be_bytes(code.try_into().unwrap())),
                (GOAWAY, _, _, payload) => {
                    return Ended(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
                _ => {}
            }
        }
    }
    Fine
}

/// A gateway whose `/slow` is answered once the gate opens.
fn slow(gate: &Gate) -> (Origin, Gateway) {
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway =
        Gateway::start(&[&origin], "routes: { /slow: { upstream: ORIGIN1 }, /x: { respond: { body: x } } }");
    (origin, gateway)
}

#[track_caller]
fn check(rows: Vec<(&str, Vec<Sent>, Outcome)>) {
    let gate = Gate::new();
    let (_origin, gateway) = slow(&gate);
    let wrong: Vec<String> = rows
        .into_iter()
        .filter_map(|(what, sent, expected)| {
            let outcome = outcome(&gateway, &sent);
            (outcome != expected).then(|| format!("{what}: {outcome:?}, not {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(gateway.get("/x").text(), "x", "others are served");
    gate.open();
}

/// A whole request that waits for its answer.
fn waiting(stream: u32) -> Sent {
    (HEADERS, HEAD | END, stream, head(&[]))
}

/// The head of an upload.
fn upload(stream: u32) -> Sent {
    (HEADERS, HEAD, stream, post(&[]))
}

/// The end of an upload.
fn trailers(stream: u32) -> Sent {
    (HEADERS, HEAD | END, stream, block(&[("x-a", "1")]))
}

#[test]
fn frames() {
    let whole = vec![0; 16_384];
    let mut padded = vec![4];
    padded.extend(head(&[]));
    padded.extend([0; 4]);
    let mut weighed = vec![0, 0, 0, 0, 15];
    weighed.extend(head(&[]));
    let setting = |name: u8, value: u32| [&[0, name][..], &value.to_be_bytes()].concat();
    check(vec![
        ("4.1: an unknown type", vec![(0xfa, 0xff, 0, vec![1, 2, 3]), waiting(1)], Fine),
        ("4.1: unknown flags", vec![(PING, 0xfe, 0, vec![0; 8])], Fine),
        ("4.1: the reserved bit", vec![(PING, 0, 1 << 31, vec![0; 8])], Fine),
        ("4.2: DATA of the largest size", vec![upload(1), (DATA, 0, 1, whole.clone())], Fine),
        ("4.2: larger DATA", vec![upload(1), (DATA, 0, 1, vec![0; 16_385])], Ended(FRAME_SIZE_ERROR)),
        ("5.5: an unknown frame on a stream", vec![waiting(1), (0xfa, 0, 1, vec![0; 8])], Fine),
        ("6.1: DATA on stream 0", vec![upload(1), (DATA, 0, 0, vec![0])], Ended(PROTOCOL_ERROR)),
        ("6.1: padding", vec![upload(1), (DATA, PADDED, 1, vec![2, b'x', 0, 0])], Fine),
        ("6.1: padding only", vec![upload(1), (DATA, PADDED, 1, vec![2, 0, 0])], Fine),
        ("6.1: padding beyond", vec![upload(1), (DATA, PADDED, 1, vec![3, 0, 0])], Ended(PROTOCOL_ERROR)),
        ("6.1: no length of padding", vec![upload(1), (DATA, PADDED, 1, vec![])], Ended(FRAME_SIZE_ERROR)),
        ("6.2: HEADERS on stream 0", vec![(HEADERS, HEAD | END, 0, head(&[]))], Ended(PROTOCOL_ERROR)),
        ("6.2: padding", vec![(HEADERS, HEAD | END | PADDED, 1, padded)], Fine),
        (
            "6.2: padding beyond",
            vec![(HEADERS, HEAD | END | PADDED, 1, vec![9, 0x82])],
            Ended(PROTOCOL_ERROR),
        ),
        ("6.2: a priority", vec![(HEADERS, HEAD | END | WEIGHED, 1, weighed)], Fine),
        (
            "6.2: half a priority",
            vec![(HEADERS, HEAD | END | WEIGHED, 1, vec![0; 4])],
            Ended(FRAME_SIZE_ERROR),
        ),
        ("6.3: PRIORITY on stream 0", vec![(PRIORITY, 0, 0, vec![0; 5])], Ended(PROTOCOL_ERROR)),
        ("6.3: PRIORITY on an idle stream", vec![(PRIORITY, 0, 5, vec![0, 0, 0, 1, 7]), waiting(7)], Fine),
        ("6.3: PRIORITY of 6 bytes", vec![waiting(1), (PRIORITY, 0, 1, vec![0; 6])], Ended(FRAME_SIZE_ERROR)),
        ("6.4: RST_STREAM on stream 0", vec![(RST_STREAM, 0, 0, vec![0; 4])], Ended(PROTOCOL_ERROR)),
        (
            "6.4: RST_STREAM of 3 bytes",
            vec![waiting(1), (RST_STREAM, 0, 1, vec![0; 3])],
            Ended(FRAME_SIZE_ERROR),
        ),
        ("6.5: SETTINGS on a stream", vec![waiting(1), (SETTINGS, 0, 1, vec![])], Ended(PROTOCOL_ERROR)),
        (
            "6.5.2: a frame of less than 16,384",
            vec![(SETTINGS, 0, 0, setting(5, 16_383))],
            Ended(PROTOCOL_ERROR),
        ),
        ("6.5.2: a frame of 2^24", vec![(SETTINGS, 0, 0, setting(5, 1 << 24))], Ended(PROTOCOL_ERROR)),
        ("6.5.2: the largest frame", vec![(SETTINGS, 0, 0, setting(5, (1 << 24) - 1))], Fine),
        ("6.5.2: the largest window", vec![(SETTINGS, 0, 0, setting(4, u32::MAX >> 1))], Fine),
        ("6.5.2: an unknown setting", vec![(SETTINGS, 0, 0, setting(0xfa, 1))], Fine),
        ("6.5.2: ENABLE_CONNECT_PROTOCOL of 2", vec![(SETTINGS, 0, 0, setting(8, 2))], Ended(PROTOCOL_ERROR)),
        ("6.7: an acknowledgement of no PING", vec![(PING, 1, 0, vec![0; 8])], Fine),
        ("6.7: PING of 9 bytes", vec![(PING, 0, 0, vec![0; 9])], Ended(FRAME_SIZE_ERROR)),
        ("6.8: GOAWAY on a stream", vec![waiting(1), (GOAWAY, 0, 1, vec![0; 8])], Ended(PROTOCOL_ERROR)),
        ("6.8: GOAWAY of 7 bytes", vec![(GOAWAY, 0, 0, vec![0; 7])], Ended(FRAME_SIZE_ERROR)),
        (
            "6.9: nothing for a stream",
            vec![waiting(1), (WINDOW_UPDATE, 0, 1, vec![0; 4])],
            Ended(PROTOCOL_ERROR),
        ),
        (
            "6.9.1: too much for a stream",
            vec![waiting(1), (WINDOW_UPDATE, 0, 1, vec![0x7f, 0xff, 0xff, 0xff])],
            Reset(FLOW_CONTROL_ERROR),
        ),
        (
            "6.9.2: too much for a stream by SETTINGS",
            vec![
                waiting(1),
                (WINDOW_UPDATE, 0, 1, (0x7fff_ffff_u32 - 65_535).to_be_bytes().to_vec()),
                (SETTINGS, 0, 0, setting(4, 65_536)),
            ],
            Ended(FLOW_CONTROL_ERROR),
        ),
    ]);
}

#[test]
fn streams() {
    let half = head(&[]);
    let (first, rest) = half.split_at(20);
    let cut = |flags: u8, stream: u32| (HEADERS, flags, stream, first.to_vec());
    let more = |flags: u8, stream: u32| (CONTINUATION, flags, stream, rest.to_vec());
    let reset = (RST_STREAM, 0, 1, vec![0, 0, 0, 8]);
    check(vec![
        ("5.1: CONTINUATION on an idle stream", vec![more(HEAD, 1)], Ended(PROTOCOL_ERROR)),
        ("5.1: DATA behind the end", vec![waiting(1), (DATA, 0, 1, vec![0])], Ended(STREAM_CLOSED)),
        ("5.1: empty DATA behind the end", vec![waiting(1), (DATA, 0, 1, vec![])], Ended(STREAM_CLOSED)),
        ("5.1: HEADERS behind the end", vec![waiting(1), waiting(1)], Ended(STREAM_CLOSED)),
        (
            "5.1: DATA behind the last of a content",
            vec![upload(1), (DATA, END, 1, vec![0]), (DATA, END, 1, vec![0])],
            Ended(STREAM_CLOSED),
        ),
        ("5.1: HEADERS behind trailers", vec![upload(1), trailers(1), trailers(1)], Ended(STREAM_CLOSED)),
        ("5.1.1: HEADERS of a number that was left out", vec![waiting(5), waiting(3)], Ended(PROTOCOL_ERROR)),
        (
            "5.1: WINDOW_UPDATE behind the end",
            vec![waiting(1), (WINDOW_UPDATE, 0, 1, vec![0, 0, 0, 1])],
            Fine,
        ),
        ("5.1: CONTINUATION behind the end", vec![waiting(1), more(HEAD, 1)], Ended(PROTOCOL_ERROR)),
        ("5.1: HEADERS behind a reset", vec![waiting(1), reset.clone(), waiting(1)], Ended(STREAM_CLOSED)),
        (
            "5.1: DATA behind a reset",
            vec![upload(1), reset.clone(), (DATA, 0, 1, vec![0])],
            Ended(STREAM_CLOSED),
        ),
        ("5.1: PRIORITY behind a reset", vec![waiting(1), reset.clone(), (PRIORITY, 0, 1, vec![0; 5])], Fine),
        ("5.1: a second reset", vec![waiting(1), reset.clone(), reset], Fine),
        ("5.1.1: a number is left out", vec![waiting(1), waiting(7)], Fine),
        ("5.1.1: an even number", vec![waiting(4)], Ended(PROTOCOL_ERROR)),
        (
            "5.3.1: HEADERS that depend on themselves",
            vec![(HEADERS, HEAD | END | WEIGHED, 1, [&[0, 0, 0, 1, 9][..], &half].concat())],
            Reset(PROTOCOL_ERROR),
        ),
        ("6.10: one CONTINUATION", vec![cut(END, 1), more(HEAD, 1)], Fine),
        (
            "6.10: many",
            vec![cut(END, 1), (CONTINUATION, 0, 1, vec![]), (CONTINUATION, 0, 1, vec![]), more(HEAD, 1)],
            Fine,
        ),
        ("6.10: of another stream", vec![cut(END, 1), more(HEAD, 3)], Ended(PROTOCOL_ERROR)),
        ("6.10: on stream 0", vec![cut(END, 1), more(HEAD, 0)], Ended(PROTOCOL_ERROR)),
        ("6.10: behind a whole head", vec![waiting(1), more(HEAD, 1)], Ended(PROTOCOL_ERROR)),
        ("6.2: HEADERS of another stream between", vec![cut(END, 1), waiting(3)], Ended(PROTOCOL_ERROR)),
        ("6.2: PRIORITY between", vec![cut(END, 1), (PRIORITY, 0, 1, vec![0; 5])], Ended(PROTOCOL_ERROR)),
        ("6.2: DATA between", vec![cut(0, 1), (DATA, END, 1, vec![0])], Ended(PROTOCOL_ERROR)),
        ("5.5: an unknown frame between", vec![cut(END, 1), (0xfa, 0, 1, vec![0])], Ended(PROTOCOL_ERROR)),
    ]);
}

#[test]
fn heads() {
    let request = |fields: &[(&str, &str)]| vec![(HEADERS, HEAD | END, 1, block(fields))];
    let with = |more: &[(&str, &str)]| vec![(HEADERS, HEAD | END, 1, head(more))];
    let without = |name: &str| {
        let fields: Vec<_> = GET.into_iter().filter(|(other, _)| *other != name).collect();
        request(&fields)
    };
    let broken = Reset(PROTOCOL_ERROR);
    let no_field = Ended(PROTOCOL_ERROR);
    check(vec![
        ("8.2.1: capitals in a name", with(&[("X-A", "1")]), no_field),
        ("8.2.1: a blank in a name", with(&[("x a", "1")]), no_field),
        ("8.2.1: a line feed in a value", with(&[("x-a", "1\n2")]), no_field),
        ("8.2.1: no name", with(&[("", "1")]), no_field),
        (
            "8.2.1: capitals in a name, in parts",
            vec![(HEADERS, END, 1, head(&[("X-A", "1")])), (CONTINUATION, HEAD, 1, block(&[("x-b", "2")]))],
            no_field,
        ),
        (
            "8.2.1: capitals in a trailer",
            vec![upload(1), (HEADERS, HEAD | END, 1, block(&[("A", "1")]))],
            no_field,
        ),
        ("8.2.2: connection", with(&[("connection", "close")]), broken),
        ("8.2.2: transfer-encoding", with(&[("transfer-encoding", "chunked")]), broken),
        ("8.2.2: upgrade", with(&[("upgrade", "websocket")]), broken),
        ("8.2.2: keep-alive", with(&[("keep-alive", "1")]), broken),
        ("8.2.2: te", with(&[("te", "gzip")]), broken),
        ("8.2.2: te of trailers", with(&[("te", "trailers")]), Fine),
        ("8.3: an unknown one", with(&[(":other", "1")]), no_field),
        ("8.3: one of answers", with(&[(":status", "200")]), broken),
        ("8.3: behind others", request(&[&[("x-a", "1")][..], &GET].concat()), broken),
        ("8.3.1: no method", without(":method"), broken),
        ("8.3.1: no scheme", without(":scheme"), broken),
        ("8.3.1: no path", without(":path"), broken),
        ("8.3.1: an empty path", request(&[GET[0], GET[1], (":path", ""), GET[3]]), broken),
        ("8.3.1: two methods", with(&[GET[0]]), broken),
        ("8.3.1: two schemes", with(&[GET[1]]), broken),
        ("8.3.1: two paths", with(&[GET[2]]), broken),
        ("8.3: :protocol without CONNECT", with(&[(":protocol", "websocket")]), broken),
        ("8.5: CONNECT with a path", request(&[(":method", "CONNECT"), GET[2], GET[3]]), broken),
        (
            "RFC 8441: extended CONNECT without a path",
            request(&[(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[3]]),
            broken,
        ),
    ]);
}

#[test]
fn trailers_lengths_and_compression() {
    let broken = Reset(PROTOCOL_ERROR);
    let no_field = Ended(PROTOCOL_ERROR);
    check(vec![
        (
            "8.1: a second head without an end",
            vec![upload(1), (HEADERS, HEAD, 1, block(&[("x-a", "1")]))],
            broken,
        ),
        ("8.1: trailers", vec![upload(1), trailers(1)], Fine),
        (
            "8.1: a pseudo-field in trailers",
            vec![upload(1), (HEADERS, HEAD | END, 1, block(&GET[..1]))],
            no_field,
        ),
        (
            "8.1: a pseudo-field of a table in trailers",
            vec![upload(1), (HEADERS, HEAD | END, 1, vec![0x82])],
            no_field,
        ),
        (
            "8.1: a pseudo-field in trailers in parts",
            vec![upload(1), (HEADERS, END, 1, block(&[("x-a", "1")])), (CONTINUATION, HEAD, 1, vec![0x82])],
            no_field,
        ),
        (
            "4.3: trailers that cannot be decoded",
            vec![upload(1), (HEADERS, HEAD | END, 1, vec![0x80])],
            Ended(COMPRESSION_ERROR),
        ),
        (
            "8.1.1: less than the length",
            vec![(HEADERS, HEAD, 1, post(&[("content-length", "2")])), (DATA, END, 1, vec![0])],
            broken,
        ),
        (
            "8.1.1: more than the length",
            vec![(HEADERS, HEAD, 1, post(&[("content-length", "1")])), (DATA, END, 1, vec![0; 2])],
            broken,
        ),
        (
            "RFC 7541 section 6.3: a table of more than was offered",
            vec![(HEADERS, HEAD | END, 1, [&[0x3f, 0xff, 0xff, 0x03][..], &head(&[])].concat())],
            Ended(COMPRESSION_ERROR),
        ),
        (
            "RFC 7541 section 2.3.3: an index beyond the tables",
            vec![(HEADERS, HEAD | END, 1, [&head(&[])[..], &[0xff, 0x80, 0x01]].concat())],
            Ended(COMPRESSION_ERROR),
        ),
        (
            "RFC 7541 section 5.2: padding that is too long",
            vec![(HEADERS, HEAD | END, 1, [&head(&[])[..], &[0, 1, b'x', 0x82, 0xff, 0xff]].concat())],
            Ended(COMPRESSION_ERROR),
        ),
    ]);
}
