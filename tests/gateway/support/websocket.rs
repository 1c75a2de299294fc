//! WebSocket as far as tests need it: a handshake, frames, and a service that echoes (RFC 6455).

use std::net::SocketAddr;

use base64::Engine as _;

use super::{Client, Origin, Turn};

/// What opens a WebSocket: the example of RFC 6455 section 1.3.
pub(crate) const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// The answer to that key.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The answer to any key.
fn accept_of(key: &str) -> String {
    let digest = sha1_smol::Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest();
    base64::engine::general_purpose::STANDARD.encode(digest.bytes())
}

/// One frame: its opcode, and its payload unmasked.
pub(crate) type Frame = (u8, Vec<u8>);

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;

/// The mask of all frames here.
const MASK: [u8; 4] = [0x5a, 0x88, 0x81, 0x00];

/// The bytes of a whole frame.
pub(crate) fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => bytes.push(bit | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(bit | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(bit | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// Reads one frame, where `take` gives exactly so many bytes; `None` where the connection ends before or in it.
pub(crate) fn read_frame(mut take: impl FnMut(u64) -> Vec<u8>, masked: bool) -> Option<Frame> {
    let head = take(2);
    let [first, second] = head[..] else { return None };
    assert_eq!(second & 0x80 != 0, masked, "clients mask and services do not (RFC 6455 section 5.1)");
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(take(2).try_into().ok()?)),
        127 => u64::from_be_bytes(take(8).try_into().ok()?),
        short => u64::from(short),
    };
    let mask = if masked { take(4) } else { vec![0; 4] };
    let payload = take(length);
    if mask.len() < 4 || payload.len() as u64 != length {
        return None;
    }
    Some((first & 0x0f, payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

/// The payload of a Close frame with that code.
pub(crate) fn code(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

/// Opens a WebSocket over a new connection; fails the test where it is not opened.
#[track_caller]
pub(crate) fn open(address: SocketAddr, target: &str) -> Client {
    let mut client = Client::connect(address);
    let answer = client.request("GET", target, &HANDSHAKE, b"");
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.headers.all("connection"), ["Upgrade"], "alone: some clients refuse a list");
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    client
}

impl Client {
    /// Sends a frame.
    pub(crate) fn say(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send(frame(opcode, payload.as_ref(), true));
    }

    /// The next frame; `None` where the connection ends before or in it.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        read_frame(|length| self.read_bytes(length), false)
    }
}

impl Turn {
    /// Opens the WebSocket that it was asked for.
    pub(crate) fn accept(&mut self) {
        let accept = accept_of(self.request().header("sec-websocket-key").unwrap_or_default());
        self.raw(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ));
    }

    /// Sends a frame.
    pub(crate) fn say(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.raw(frame(opcode, payload.as_ref(), false));
    }

    /// The next frame; `None` where the connection ends before or in it.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        read_frame(|length| self.read_raw(length), true)
    }

    /// Gives every frame back, up to a Close frame, which it answers; then it closes.
    pub(crate) fn echo_frames(&mut self) {
        while let Some((opcode, payload)) = self.hear() {
            self.say(opcode, payload);
            if opcode == CLOSE {
                break;
            }
        }
        self.close();
    }
}

/// A service that opens every WebSocket and echoes; anything else is answered with what was asked.
pub(crate) fn echo() -> Origin {
    Origin::serve(|turn| {
        if turn.request().has("sec-websocket-key") {
            turn.accept();
            turn.echo_frames();
        } else {
            turn.echo();
        }
    })
}
