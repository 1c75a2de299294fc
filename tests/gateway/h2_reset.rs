//! Streams of HTTP/2 that their client takes back.

use crate::support::h2::{Frames, Session, block_on, request, wait_for};
use crate::support::{Gate, Gateway, Origin};

#[test]
fn a_stream_that_is_reset_while_it_is_served_is_recorded_with_what_came() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: ORIGIN1 } }\n");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let length = [("content-length", "6000")];
        let mut stream = session.open(request("POST", "/api/x", &length), false).await.unwrap();
        stream.body.send_data(vec![b'x'; 6000].into(), true).unwrap();
        // The service has all of it, so the gate has had it.
        wait_for("the service is asked", || origin.count() == 1).await;
        stream.body.send_reset(h2::Reason::CANCEL);
        wait_for("it is recorded", || !gateway.log(0).is_empty()).await;
    });
    let log = gateway.log(1);
    assert_eq!((&log[0]["status"], &log[0]["bytes_in"]), (&499.into(), &6000.into()), "{}", log[0]);
    gate.open();
}

/// Sends a part of an upload that no route takes, and reads the answer to its end.
fn refused(frames: &mut Frames, bytes: usize) {
    let mut post = Frames::get_block("/none");
    // Indexed :method POST.
    post[0] = 0x83;
    assert!(frames.send(1, 0x4, 1, &post));
    assert!(frames.send(0, 0, 1, &vec![b'x'; bytes]));
    loop {
        let (kind, flags, _, _) = frames.next().expect("the connection goes on");
        assert_ne!(kind, 3, "the answer comes first");
        if kind == 0 && flags & 1 == 1 {
            return;
        }
    }
}

/// The reason of the reset of the stream, if one came before the gateway has answered a ping.
fn reset(frames: &mut Frames) -> Option<Vec<u8>> {
    assert!(frames.send(6, 0, 0, b"are you?"));
    let mut reset = None;
    loop {
        match frames.next().expect("the connection goes on") {
            (3, _, 1, reason) => reset = Some(reason),
            (6, 1, _, _) => return reset,
            _ => {}
        }
    }
}

#[test]
fn a_refused_upload_is_read_on_before_its_stream_is_reset() {
    let gateway = Gateway::start(
        &[],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { linger_bytes: 16KiB } } }
        routes: { /x: { respond: { body: here } } }
        ",
    );
    let mut frames = Frames::connect(gateway.address());
    refused(&mut frames, 1000);
    assert_eq!(gateway.log(1)[0]["status"], 404, "the record does not wait");
    assert_eq!(reset(&mut frames), None);
    assert!(frames.send(0, 1, 1, &[b'x'; 1000]));
    assert_eq!(reset(&mut frames), None, "the client has ended it");

    let mut frames = Frames::connect(gateway.address());
    refused(&mut frames, 1000);
    assert!(frames.send(0, 0, 1, &[b'x'; 16_000]));
    let reason = loop {
        let (kind, _, _, payload) = frames.next().expect("the connection goes on");
        if kind == 3 {
            break payload;
        }
    };
    assert_eq!(reason, [0; 4], "NO_ERROR");
    assert_eq!(reset(&mut frames), None, "the connection goes on");
}
