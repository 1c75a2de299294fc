//! How HTTP/2 connections end that the gateway ends: what a client still has on its way resets nothing.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::support::h2::{Frame, Frames};
use crate::support::pki::{Pki, connect};
use crate::support::{Gateway, Origin, holds_within, until};
use crate::tls::{one, pki};

/// Longer than a gateway takes that closes as soon as it has sent its last frame, shorter than the silence it waits for.
const A_WHILE: Duration = Duration::from_millis(200);

/// A connection of either kind.
trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

type Any = Frames<Box<dyn Both>>;

fn plain(gateway: &Gateway) -> Any {
    let socket = std::net::TcpStream::connect(gateway.address()).unwrap();
    socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    Frames::over(Box::new(socket))
}

fn secured(gateway: &Gateway, pki: &Pki) -> Any {
    let mut config = pki.trusting(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = connect(gateway.address(), "a.test", &Arc::new(config)).unwrap();
    Frames::over(Box::new(client.into_stream()))
}

/// Asks for `/x` and reads the whole answer.
fn ask(frames: &mut Any, stream: u32) -> Vec<u8> {
    assert!(frames.send(1, 0x5, stream, &Frames::get_block("/x")));
    let mut body = Vec::new();
    loop {
        let (kind, flags, on, payload) = frames.next().expect("an answer");
        if kind == 0 && on == stream {
            body.extend_from_slice(&payload);
        }
        if kind <= 1 && on == stream && flags & 1 == 1 {
            return body;
        }
    }
}

/// Reads to the GOAWAY that names the last stream; answers the PING between two of them.
fn last_goaway(frames: &mut Any, acknowledges: bool) -> Frame {
    loop {
        let frame = frames.next().expect("GOAWAY");
        match &frame {
            (6, 0, _, payload) if acknowledges => assert!(frames.send(6, 1, 0, payload)),
            (7, _, _, payload) if payload[..4] != [0x7f, 0xff, 0xff, 0xff] => return frame,
            _ => {}
        }
    }
}

/// Sends frames for a while that a client may have on its way, then reads the end of the connection.
fn ends_in_order(mut frames: Any, what: &str) {
    let refused = holds_within(A_WHILE, || {
        !frames.send(8, 0, 0, &[0, 0, 0, 1])
            || !frames.send(4, 1, 0, &[])
            || !frames.send(6, 0, 0, b"are you?")
    });
    assert!(!refused, "{what}: the connection was closed before its client knew");
    assert_eq!(frames.read().map_err(|error| error.kind()), Ok(None), "{what}");
}

fn config(pki: Option<&Pki>, limits: &str) -> String {
    let routes = "routes: { /x: { respond: { body: here } } }\n";
    match pki {
        Some(pki) => one(pki, "", &format!("    limits: {{ {limits} }}\n{routes}")),
        None => {
            format!("listeners: {{ default: {{ listen: 127.0.0.1:0, limits: {{ {limits} }} }} }}\n{routes}")
        }
    }
}

/// A gateway and a client of it, without TLS and with it.
fn each_way(limits: &str, each: impl Fn(&Gateway, Any, &str)) {
    let pki = pki();
    let gateway = Gateway::start(&[], &config(None, limits));
    each(&gateway, plain(&gateway), "plain");
    let gateway = Gateway::start(&[], &config(Some(&pki), limits));
    each(&gateway, secured(&gateway, &pki), "TLS");
}

#[test]
fn a_drain_closes_in_stages() {
    for acknowledges in [true, false] {
        each_way("idle: 60s", |gateway, mut frames, what| {
            assert_eq!(ask(&mut frames, 1), b"here");
            gateway.signal("TERM");
            let (.., payload) = last_goaway(&mut frames, acknowledges);
            assert_eq!(payload, [0, 0, 0, 1, 0, 0, 0, 0], "{what}: the last stream, no error");
            ends_in_order(frames, what);
            assert!(gateway.wait_exit().success());
        });
    }
}

#[test]
fn an_idle_connection_is_closed_in_stages() {
    each_way("idle: 200ms", |_, mut frames, what| {
        assert_eq!(ask(&mut frames, 1), b"here");
        assert_eq!(last_goaway(&mut frames, true).3[4..], [0; 4], "{what}");
        ends_in_order(frames, what);
    });
    each_way("head_timeout: 200ms", |_, mut frames, what| {
        assert_eq!(last_goaway(&mut frames, true).3, [0; 8], "{what}: nothing was asked");
        ends_in_order(frames, what);
    });
}

#[test]
fn a_refused_connection_is_closed_in_stages() {
    each_way("idle: 60s", |_, mut frames, what| {
        assert_eq!(ask(&mut frames, 1), b"here");
        assert!(frames.send(0, 0, 9, b"DATA on an idle stream"));
        assert_eq!(last_goaway(&mut frames, true).3, [0, 0, 0, 1, 0, 0, 0, 1], "{what}");
        ends_in_order(frames, what);
    });
}

#[test]
fn a_connection_of_a_listener_that_is_gone_is_closed_in_stages() {
    let gateway = Gateway::start(
        &[],
        "
        listeners: { default: { listen: 127.0.0.1:0 }, kept: { listen: 127.0.0.1:0 } }
        routes: { /x: { respond: { body: here } } }
        ",
    );
    let mut frames = plain(&gateway);
    assert_eq!(ask(&mut frames, 1), b"here");
    gateway.replace_config(
        "
        listeners: { kept: { listen: 127.0.0.1:0 } }
        routes: { /x: { respond: { body: here } } }
        ",
    );
    gateway.signal("HUP");
    assert_eq!(last_goaway(&mut frames, true).3, [0, 0, 0, 1, 0, 0, 0, 0]);
    ends_in_order(frames, "gone");
}

#[test]
fn a_connection_whose_stream_stalled_is_closed_in_stages() {
    let origin = Origin::serve(|turn| turn.answer(200, &[], vec![b'x'; 1 << 20]));
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: 127.0.0.1:0, limits: { idle: 300ms } } }
        routes: { /x: { upstream: ORIGIN1 } }
        ",
    );
    let mut frames = plain(&gateway);
    assert!(frames.send(1, 0x5, 1, &Frames::get_block("/x")));
    last_goaway(&mut frames, true);
    ends_in_order(frames, "stalled");
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_never_stops() {
    let gateway = Gateway::start(&[], &config(None, "idle: 60s"));
    let mut frames = plain(&gateway);
    assert_eq!(ask(&mut frames, 1), b"here");
    gateway.signal("TERM");
    // It acknowledges nothing, reads nothing, and always has something on its way.
    until("the process ends", || {
        let _ = frames.send(8, 0, 0, &[0, 0, 0, 1]);
        gateway.exited()
    });
    assert!(gateway.wait_exit().success());
}
