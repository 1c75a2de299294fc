//! HTTP/2 streams whose clients take nothing of their answers: "Limits" of SECURITY.md.

use std::time::Duration;

use h2::{Reason, RecvStream};
use serde_json::json;

use crate::support::h2::{Frames, Session, block_on, read, request, wait_for};
use crate::support::{Gate, Gateway, Origin, holds_within, until};

/// More than every buffer between a service and its client holds.
const BIG: usize = 16 << 20;

/// An origin whose `/big` is an answer of [`BIG`] bytes.
fn big() -> Origin {
    Origin::serve(|turn| match turn.request().target() {
        "/big" => turn.answer(200, &[], vec![b'x'; BIG]),
        _ => turn.echo(),
    })
}

/// Reads an answer that is cut before its end.
async fn cut(body: RecvStream) -> h2::Error {
    read(body).await.map(|(body, _)| body.len()).expect_err("it is cut")
}

fn gateway(origins: &[&Origin], idle: &str) -> Gateway {
    Gateway::start(
        origins,
        &format!(
            "
            listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ idle: {idle} }} }} }}
            upstreams:
              u: {{ url: ORIGIN1, concurrency: {{ max: 4 }} }}
              slow: {{ url: ORIGIN2 }}
            routes:
              /api/*: {{ upstream: u, rewrite: /, timeout: 10m }}
              /slow/*: {{ upstream: slow, rewrite: /, timeout: 10m }}
            "
        ),
    )
}

#[test]
fn streams_that_are_not_read_are_reset_and_others_go_on() {
    let origin = big();
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = gateway(&[&origin, &slow], "300ms");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let waiting = session.open(request("GET", "/slow/x", &[]), true).await.unwrap();
        wait_for("the call at the slow service", || slow.count() == 1).await;
        let mut unread = Vec::new();
        for _ in 0..4 {
            let stream = session.open(request("GET", "/api/big", &[]), true).await.unwrap();
            let (answer, body) = stream.head().await.unwrap();
            assert_eq!(answer.status(), 200);
            unread.push((answer, body));
        }
        let other = tokio::task::spawn_blocking({
            let address = gateway.address();
            move || {
                until("other clients are served", || {
                    crate::support::Client::connect(address).get("/api/small").status == 200
                });
            }
        });
        other.await.unwrap();
        // One place is free then; the other streams may have a moment left, and are not to be read in it.
        let stalled = || gateway.log_lines().iter().filter(|line| line.contains("\"stalled\"")).count();
        wait_for("every stream is reset", || stalled() == 4).await;
        for (answer, _body) in unread {
            let error = cut(answer.into_body()).await;
            assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::CANCEL)));
        }
        // While a stream waits: a connection without any would end after `idle`.
        assert_eq!(session.fetch("GET", "/api/small").await.unwrap().status, 200, "the connection goes on");
        gate.open();
        assert_eq!(waiting.whole().await.unwrap().status, 200, "the stream that waited too");
    });
    let stalled = || {
        let lines = gateway.log(4).into_iter();
        lines.filter(|line| line["error"] == json!("client closed") && line["reason"] == "stalled").count()
    };
    until("the log blames the client of each", || stalled() == 4);
}

#[test]
fn a_stream_that_is_read_slowly_is_not_cut() {
    let origin = big();
    let gateway = gateway(&[&origin, &origin], "1s");
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(1, 0x5, 1, &Frames::get_block("/api/big")));
    take(&mut frames, 65_535);
    // Far longer than the bound, and far less than the library's buffer for one stream.
    for _ in 0..25 {
        holds_within(Duration::from_millis(100), || false);
        window(&mut frames, 100);
        take(&mut frames, 100);
    }
    window(&mut frames, u32::try_from(BIG).unwrap());
    take(&mut frames, BIG - 65_535 - 25 * 100);
}

/// Grants the stream and the connection so many bytes more.
fn window(frames: &mut Frames, bytes: u32) {
    for stream in [0, 1] {
        assert!(frames.send(8, 0, stream, &bytes.to_be_bytes()));
    }
}

/// Reads so many bytes of the answer.
fn take(frames: &mut Frames, mut bytes: usize) {
    while bytes > 0 {
        let (kind, _, stream, payload) = frames.next().expect("the connection goes on");
        assert!(!matches!(kind, 3 | 7), "the stream or the connection was ended: frame {kind} on {stream}");
        if kind == 0 {
            bytes = bytes.checked_sub(payload.len()).expect("no more than was granted");
        }
    }
}

#[test]
fn an_answer_that_is_there_whole_is_cut_too() {
    let config = format!(
        "
        listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ idle: 300ms }} }} }}
        routes:
          /big: {{ respond: {{ body: {} }} }}
          /x: {{ respond: {{ body: here }} }}
        ",
        "x".repeat(500_000)
    );
    let gateway = Gateway::start(&[], &config);
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let stream = session.open(request("GET", "/big", &[]), true).await.unwrap();
        let (answer, _body) = stream.head().await.unwrap();
        wait_for("the stream is cut", || !gateway.log_lines().is_empty()).await;
        let error = cut(answer.into_body()).await;
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        let session = Session::connect(gateway.address()).await;
        let whole = session.fetch("GET", "/big").await.unwrap();
        assert_eq!((whole.status, whole.body.len()), (200, 500_000));
    });
    let log = gateway.log(2);
    let of = |line: usize| (log[line]["error"].clone(), log[line]["reason"].clone());
    assert_eq!(of(0), (json!("client closed"), json!("stalled")));
    assert_eq!(log[1]["status"], 200);
}

#[test]
fn a_connection_whose_last_stream_stalls_ends() {
    let origin = big();
    let gateway = gateway(&[&origin, &origin], "300ms");
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(1, 0x5, 1, &Frames::get_block("/api/big")));
    let mut reset = None;
    while let Some((kind, _, stream, payload)) = frames.next() {
        if (kind, stream) == (3, 1) {
            reset = Some(payload);
        }
    }
    assert_eq!(reset.as_deref(), Some(&8_u32.to_be_bytes()[..]), "CANCEL");
}

/// A gateway that answers so many bytes of its own.
fn answers(bytes: usize, idle: &str) -> Gateway {
    let config = format!(
        "
        listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ idle: {idle} }} }} }}
        routes: {{ /x: {{ respond: {{ body: {} }} }} }}
        ",
        "x".repeat(bytes)
    );
    Gateway::start(&[], &config)
}

#[test]
fn a_tail_that_the_library_holds_whole_is_cut_too() {
    let gateway = answers(10_000, "300ms");
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(4, 0, 0, &[0, 4, 0, 0, 0, 1]), "a window of one byte");
    assert!(frames.send(1, 0x5, 1, &Frames::get_block("/x")));
    let (mut taken, mut reset) = (0, None);
    while let Some((kind, flags, _, payload)) = frames.next() {
        match kind {
            0 => {
                assert_eq!(flags & 1, 0, "it is no end");
                taken += payload.len();
            }
            3 => reset = Some(payload),
            _ => {}
        }
    }
    assert_eq!((taken, reset.as_deref()), (1, Some(&8_u32.to_be_bytes()[..])), "CANCEL");
    let log = gateway.log(1);
    assert_eq!((&log[0]["error"], &log[0]["reason"]), (&json!("client closed"), &json!("stalled")));
    assert_eq!(log[0]["bytes_out"], 1, "what has left");
}

#[test]
fn a_drain_waits_for_a_slow_reader_to_take_its_whole_answer() {
    const WHOLE: usize = 100 << 10;
    let gateway = answers(WHOLE, "30s");
    let mut frames = Frames::connect(gateway.address());
    assert!(frames.send(1, 0x5, 1, &Frames::get_block("/x")));
    take(&mut frames, 65_535);
    gateway.signal("TERM");
    gateway.wait_stderr("draining");
    // Longer than a connection without streams is waited for.
    assert!(!holds_within(Duration::from_millis(1500), || gateway.exited()));
    window(&mut frames, u32::try_from(WHOLE).unwrap());
    let (mut taken, mut whole) = (65_535, false);
    while let Some((kind, flags, _, payload)) = frames.next() {
        match kind {
            0 => {
                taken += payload.len();
                whole = flags & 1 == 1;
            }
            3 => panic!("the stream was reset"),
            6 if flags & 1 == 0 => assert!(frames.send(6, 1, 0, &payload)),
            _ => {}
        }
    }
    assert_eq!((taken, whole), (WHOLE, true));
    assert!(gateway.wait_exit().success());
    let log = gateway.log(1);
    assert_eq!((&log[0]["status"], &log[0]["bytes_out"]), (&json!(200), &json!(WHOLE)));
    assert!(log[0].get("error").is_none_or(serde_json::Value::is_null), "{}", log[0]);
}

/// So many streams whose answers find no room in their client's window, on connections of 100 each.
fn wait_for_room(gateway: &Gateway, streams: usize) -> Vec<Frames> {
    let connections = (0..streams / 100).map(|_| {
        let mut frames = Frames::connect(gateway.address());
        assert!(frames.send(4, 0, 0, &[0, 4, 0, 0, 0, 0]), "a window of nothing");
        for stream in 0..100 {
            assert!(frames.send(1, 0x5, 2 * stream + 1, &Frames::get_block("/api/big")));
        }
        let mut heads = 0;
        while heads < 100 {
            let (kind, ..) = frames.next().expect("the connection goes on");
            heads += usize::from(kind == 1);
        }
        frames
    });
    connections.collect()
}

#[test]
fn answers_that_wait_for_room_hold_little() {
    const EACH: usize = 800;
    let origin = Origin::serve(|turn| turn.answer(200, &[], vec![b'x'; 100 << 10]));
    let gateway = gateway(&[&origin, &origin], "10m");
    // What serving needs once is not theirs.
    let first = wait_for_room(&gateway, EACH);
    let before = gateway.resident_memory();
    let second = wait_for_room(&gateway, EACH);
    let more = gateway.resident_memory().saturating_sub(before) << 20;
    // In whole MiB.
    assert!(more <= ((EACH * 6) << 10) as u64 + (1 << 20), "{more} bytes for {EACH} streams");
    drop((first, second));
}
