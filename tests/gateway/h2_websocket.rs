//! WebSocket over HTTP/2: extended CONNECT (RFC 8441).

use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use serde_json::Value;

use crate::support::h2::{Session, Stream, block_on, read, request, wait_for};
use crate::support::websocket::{CLOSE, Frame, TEXT, code, echo, frame, read_frame};
use crate::support::{Gate, Gateway, Origin, token};

const OPEN: &str = "routes: { /ws/*: { upstream: STEADY1, rewrite: / }, /here: { respond: { body: here } } }";

/// Asks for a protocol over a stream. The gateway's settings have come.
async fn ask(session: &Session, protocol: &'static str, path: &str, headers: &[(&str, &str)]) -> Stream {
    let mut request = request("CONNECT", path, headers);
    request.extensions_mut().insert(Protocol::from_static(protocol));
    session.open(request, false).await.unwrap()
}

/// A session whose gateway says that it takes extended CONNECT.
async fn session(gateway: &Gateway) -> Session {
    let session = Session::connect(gateway.address()).await;
    wait_for("SETTINGS_ENABLE_CONNECT_PROTOCOL", || session.connects_extended()).await;
    session
}

/// A WebSocket over a stream.
struct Socket {
    up: SendStream<Bytes>,
    down: RecvStream,
    held: Vec<u8>,
}

impl Socket {
    async fn open(session: &Session, path: &str) -> Socket {
        let stream = ask(session, "websocket", path, &[("sec-websocket-version", "13")]).await;
        let (answer, up) = stream.head().await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        for absent in ["sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"]
        {
            assert!(!answer.headers().contains_key(absent), "{answer:?}");
        }
        Socket { up, down: answer.into_body(), held: Vec::new() }
    }

    fn say(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.up.send_data(frame(opcode, payload.as_ref(), true).into(), false).unwrap();
    }

    /// Takes more of what the gateway sends; false at the end of it.
    async fn more(&mut self) -> Result<bool, h2::Error> {
        let Some(data) = self.down.data().await else { return Ok(false) };
        let data = data?;
        let _ = self.down.flow_control().release_capacity(data.len());
        self.held.extend_from_slice(&data);
        Ok(true)
    }

    /// Takes the end, with nothing before it.
    async fn ends(&mut self) {
        while self.more().await.unwrap() {}
        assert_eq!(self.held, b"", "END_STREAM alone");
    }

    /// The next frame.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            let mut at = 0;
            let frame = read_frame(
                |length| {
                    let end = self.held.len().min(at + usize::try_from(length).unwrap());
                    let piece = self.held[at..end].to_vec();
                    at = end;
                    piece
                },
                false,
            );
            if let Some(frame) = frame {
                self.held.drain(..at);
                return Some(frame);
            }
            if !self.more().await.ok()? {
                return None;
            }
        }
    }
}

#[track_caller]
fn ended(line: &Value) -> (&str, &str) {
    assert_eq!(line["status"], 200, "{line}");
    (line["ended_by"].as_str().unwrap_or_default(), line["ended"].as_str().unwrap_or_default())
}

#[test]
fn a_websocket_passes_both_ways_beside_other_streams() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = session(&gateway).await;
        let mut socket = Socket::open(&session, "/ws/chat?room=1").await;
        let long: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
        for payload in [&b""[..], b"hello", &long[..1000], &long] {
            socket.say(TEXT, payload);
            assert_eq!(socket.hear().await, Some((TEXT, payload.to_vec())));
            assert_eq!(session.fetch("GET", "/here").await.unwrap().status, 200);
        }
        let mut other = Socket::open(&session, "/ws/other").await;
        other.say(TEXT, "too");
        assert_eq!(other.hear().await, Some((TEXT, b"too".to_vec())));
        socket.say(CLOSE, code(1000));
        assert_eq!(socket.hear().await, Some((CLOSE, code(1000))));
        socket.ends().await;
        wait_for("it is recorded", || gateway.log_lines().len() == 5).await;
    });
    let seen = origin.requests();
    let seen = seen.iter().find(|seen| seen.line.contains("room")).unwrap();
    assert_eq!(seen.line, "GET /chat?room=1 HTTP/1.1");
    assert_eq!((seen.header("connection"), seen.header("upgrade")), (Some("Upgrade"), Some("websocket")));
    assert_eq!(seen.header("sec-websocket-key").map(str::len), Some(24), "the gateway's own");
    assert_eq!(seen.header("sec-websocket-version"), Some("13"));
    assert_eq!(
        (seen.header("x-forwarded-host"), seen.header("x-forwarded-proto")),
        (Some("gw.test"), Some("http"))
    );
    let log = gateway.log(5);
    let line = log.iter().find(|line| line["path"] == "/ws/chat").unwrap();
    assert_eq!(ended(line), ("client", "close"));
    assert_eq!(line["method"], "GET");
    assert!(line["bytes_out"].as_u64() > Some(301_005), "{line}");
    assert!(line["error"].is_null(), "{line}");
}

#[test]
fn each_direction_ends_by_itself() {
    let origin = Origin::serve(|turn| {
        turn.accept();
        if turn.request().target() == "/client" {
            let mut all = Vec::new();
            while let bytes @ [_, ..] = &turn.some()[..] {
                all.extend_from_slice(bytes);
            }
            turn.raw([&b"got "[..], &all].concat());
        } else {
            turn.raw("the last word");
            turn.finish();
            while !turn.some().is_empty() {}
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = session(&gateway).await;
        let mut socket = Socket::open(&session, "/ws/client").await;
        socket.up.send_data("all of it".into(), true).unwrap();
        let (body, _) = read(socket.down).await.unwrap();
        assert_eq!(body, b"got all of it");
        let mut socket = Socket::open(&session, "/ws/service").await;
        while socket.more().await.unwrap() {}
        assert_eq!(socket.held, b"the last word");
        socket.up.send_data("still heard".into(), false).unwrap();
        wait_for("it is heard", || origin.raw(1).ends_with("still heard")).await;
        socket.up.send_data("".into(), true).unwrap();
        wait_for("both are recorded", || gateway.log_lines().len() == 2).await;
    });
    let log = gateway.log(2);
    assert_eq!((ended(&log[0]), ended(&log[1])), (("client", "close"), ("service", "close")));
}

#[test]
fn who_breaks_off_takes_the_other_side_along() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.accept();
        if turn.request().target() == "/service" {
            turn.wait(&held);
            turn.reset();
        } else {
            turn.wait_closed();
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    block_on(async {
        let session = session(&gateway).await;
        let mut socket = Socket::open(&session, "/ws/client").await;
        socket.up.send_reset(Reason::CANCEL);
        wait_for("it is recorded", || gateway.log_lines().len() == 1).await;
        let mut socket = Socket::open(&session, "/ws/service").await;
        gate.open();
        assert_eq!(socket.more().await.unwrap_err().reason(), Some(Reason::CANCEL));
        assert_eq!(session.fetch("GET", "/here").await.unwrap().status, 200, "the connection goes on");
    });
    origin.wait_closed(0);
    let log = gateway.log(3);
    assert_eq!((ended(&log[0]), ended(&log[1])), (("client", "reset"), ("service", "reset")));
}

#[test]
fn a_bound_or_the_end_of_the_process_is_a_close_frame_for_both() {
    for drains in [false, true] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let origin = Origin::serve(move |turn| {
            turn.accept();
            while let Some((opcode, payload)) = turn.hear() {
                turn.say(opcode, &payload);
                hears.lock().unwrap().push((opcode, payload));
            }
        });
        let gateway = Gateway::start(
            &[&origin],
            &format!(
                "
                upstreams: {{ s: {{ url: ORIGIN1, timeouts: {{ tunnel_idle: {} }} }} }}
                routes: {{ /ws/*: {{ upstream: s, rewrite: / }} }}
                ",
                if drains { "60s" } else { "300ms" }
            ),
        );
        block_on(async {
            let session = session(&gateway).await;
            let mut socket = Socket::open(&session, "/ws/x").await;
            socket.say(TEXT, "hello");
            assert_eq!(socket.hear().await, Some((TEXT, b"hello".to_vec())));
            if drains {
                gateway.signal("TERM");
            }
            assert_eq!(socket.hear().await, Some((CLOSE, code(1001))));
            socket.say(CLOSE, code(1001));
            socket.up.send_data("".into(), true).unwrap();
            socket.ends().await;
            if drains {
                session.driver.await.unwrap().unwrap();
            }
        });
        origin.wait_closed(0);
        assert_eq!(heard.lock().unwrap().last(), Some(&(CLOSE, code(1001))), "the service too");
        let how = if drains { "drain" } else { "idle" };
        assert_eq!(ended(&gateway.log(1)[0]), ("gateway", how));
        if drains {
            assert!(gateway.wait_exit().success());
        }
    }
}

#[test]
fn what_is_no_tunnel_is_no_success() {
    let origin = Origin::serve(|turn| match turn.request().target() {
        "/no" => turn.answer(403, &[("x-why", "closed")], "not you"),
        "/moved" => turn.answer(302, &[("location", "/elsewhere")], ""),
        "/page" => turn.answer(200, &[], "a page"),
        "/other" => turn.switch("websocket", b""),
        _ => turn.accept(),
    });
    let config = format!(
        r#"
        auth: {{ user: {{ jwt: {{ secret: "{}", algorithms: [HS256] }} }} }}
        routes:
          /ws/*: {{ upstream: STEADY1, rewrite: / }}
          /private/*: {{ upstream: STEADY1, policies: {{ auth: user }} }}
          /here: {{ respond: {{ body: here }} }}
        "#,
        token::SECRET
    );
    let gateway = Gateway::start(&[&origin], &config);
    block_on(async {
        let session = session(&gateway).await;
        for (protocol, path, status, error) in [
            ("websocket", "/ws/no", 403, None),
            ("websocket", "/ws/moved", 302, None),
            ("websocket", "/ws/page", 501, Some("protocol not supported")),
            ("websocket", "/here", 501, Some("protocol not supported")),
            ("websocket", "/ws/other", 502, Some("upstream failure")),
            ("websocket", "/private/x", 401, Some("missing token")),
            ("websocket", "/none", 404, Some("no route")),
            ("connect-udp", "/ws/x", 501, Some("protocol not supported")),
            ("web socket", "/ws/x", 400, Some("malformed request")),
        ] {
            let asked = origin.count();
            let whole = ask(&session, protocol, path, &[]).await.whole().await.unwrap();
            let body = String::from_utf8(whole.body).unwrap();
            assert_eq!(whole.status, status, "{protocol} {path}: {body}");
            match error {
                Some(error) => assert!(body.contains(error), "{protocol} {path}: {body}"),
                None => assert!(body.is_empty() || body == "not you", "{body}"),
            }
            let reaches = path.starts_with("/ws/") && protocol == "websocket";
            assert_eq!(origin.count(), asked + usize::from(reaches), "{protocol} {path}");
        }
    });
}

#[test]
fn a_client_of_node_opens_one() {
    let origin = echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let script = r#"
        const session = require('http2').connect(process.argv[1]);
        session.once('remoteSettings', settings => {
            if (!settings.enableConnectProtocol) throw new Error('not offered');
            const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http',
                ':path': '/ws/x', ':authority': 'gw.test', 'sec-websocket-version': '13' });
            stream.on('response', head => process.stdout.write(head[':status'] + ' '));
            stream.on('data', data => process.stdout.write(data.toString('hex') + ' '));
            stream.on('close', () => { process.stdout.write('closed ' + stream.rstCode); session.close(); });
            stream.write(Buffer.from('81820000000068698882000000000' + '3e8', 'hex'));
        });
    "#;
    let output =
        Command::new("node").args(["-e", script]).arg(format!("http://{}", gateway.address())).output();
    let output = output.expect("node (Debian: nodejs)");
    let said = String::from_utf8_lossy(&output.stdout);
    let frames: String = said.split(' ').filter(|word| word.len() > 3 && *word != "closed").collect();
    assert_eq!(frames, "81026869880203e8", "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("200 ") && said.ends_with("closed 0"), "{said}");
}
