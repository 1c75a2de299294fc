//! Tunnels: what client and service send each other behind a 101, and what each of them must get.

use std::time::Duration;

use fastrand::Rng;
use portcullis::runtime::time;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;

use crate::network::End;
use crate::plan::{Parts, Tunnel};
use crate::time::pass;
use crate::wire::{Head, Wire, pattern};

const CLOSE: u8 = 0x8;

/// The code of a Close frame of either side, and that of the gateway when it leaves.
const DONE: u16 = 1000;
const AWAY: u16 = 1001;

/// Which side of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Client,
    Service,
}

/// What one side got.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The content, without frames.
    pub(crate) bytes: Vec<u8>,
    /// How many bytes of the other side came, frames included.
    pub(crate) raw: usize,
    /// Whether the other side has ended its own in order.
    pub(crate) ended: bool,
    /// Whether the gateway has said that it leaves.
    pub(crate) away: bool,
    /// What must never come.
    pub(crate) fault: Option<String>,
}

/// The protocol that a tunnel is asked for.
pub(crate) fn protocol(tunnel: &Tunnel) -> &'static str {
    if tunnel.websocket { "websocket" } else { "sim/1" }
}

/// The content that one side sends.
pub(crate) fn content(tunnel: &Tunnel, token: u64, side: Side) -> Vec<u8> {
    match side {
        Side::Client => pattern(token, 0, tunnel.up),
        Side::Service => pattern(token, 7, tunnel.down),
    }
}

/// The bytes by which one side sends its content.
fn outgoing(tunnel: &Tunnel, token: u64, side: Side) -> Vec<u8> {
    let content = content(tunnel, token, side);
    if !tunnel.websocket {
        return content;
    }
    let mut rng = Rng::with_seed(token << 1 | u64::from(side == Side::Client));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < content.len() {
        let most = [1, 126, 3000, 100_000][rng.usize(0..4)].min(content.len() - at);
        let length = rng.usize(0..=most);
        out.extend(frame(rng.u8(0..3), &content[at..at + length], side == Side::Client, &mut rng));
        at += length;
    }
    out
}

fn frame(opcode: u8, payload: &[u8], masked: bool, rng: &mut Rng) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => out.push(bit | length as u8),
        length @ 126..=65_535 => {
            out.push(bit | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(bit | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = if masked { rng.u32(..).to_be_bytes() } else { [0; 4] };
    out.extend_from_slice(if masked { &mask } else { &[] });
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// The lines by which a client asks for a tunnel, and the service knows what it is to do.
pub(crate) fn asks(tunnel: &Tunnel) -> String {
    let Tunnel { up, down, early_up, early_down, parts, .. } = tunnel;
    format!(
        "connection: upgrade\r\nupgrade: {}\r\nx-tunnel: {up} {down} {early_up} {early_down} {parts:?}\r\n",
        protocol(tunnel)
    )
}

/// The tunnel that a head asks for.
pub(crate) fn asked(head: &Head) -> Option<Tunnel> {
    let websocket = head.get("upgrade")? == "websocket";
    let mut words = head.get("x-tunnel")?.split(' ');
    let mut number = || words.next()?.parse().ok();
    let (up, down, early_up, early_down) = (number()?, number()?, number()?, number()?);
    let parts = match words.next()? {
        "Client" => Parts::Client,
        "Service" => Parts::Service,
        "ClientBreaks" => Parts::ClientBreaks,
        "ServiceBreaks" => Parts::ServiceBreaks,
        "Nobody" => Parts::Nobody,
        _ => Parts::Refused,
    };
    Some(Tunnel { websocket, up, down, early_up, early_down, parts })
}

/// What one side sends together with its head, and what it sends later.
pub(crate) fn cut(tunnel: &Tunnel, token: u64, side: Side) -> (Vec<u8>, Vec<u8>) {
    let mut all = outgoing(tunnel, token, side);
    let early = if side == Side::Client { tunnel.early_up } else { tunnel.early_down };
    let later = all.split_off(early.min(all.len()));
    (all, later)
}

/// Sends what is left, reads what comes, and ends as the plan says.
pub(crate) async fn talk(tunnel: &Tunnel, token: u64, side: Side, later: Vec<u8>, wire: &mut Wire) -> Heard {
    let ahead = wire.ahead();
    let (mut read, mut write) = split(&mut wire.end);
    let heard_all = Notify::new();
    let hears = async {
        let mut heard = Heard::default();
        hear(tunnel, side, ahead, &mut read, &mut heard).await;
        heard_all.notify_one();
        heard
    };
    let ((), mut heard) = tokio::join!(speak(tunnel, (token, side), &later, &mut write, &heard_all), hears);
    if breaks(tunnel, side) {
        wire.end.abort();
        heard.ended = false;
    }
    let wanted = content(tunnel, token, if side == Side::Client { Side::Service } else { Side::Client });
    if !wanted.starts_with(&heard.bytes) {
        heard.fault.get_or_insert_with(|| "other bytes came".to_owned());
    }
    // A side that ends in order has said all that it had to say, unless the gateway came before it.
    if heard.ended && !heard.away && heard.bytes.len() < wanted.len() && tunnel.parts.is_orderly() {
        let (got, of) = (heard.bytes.len(), wanted.len());
        heard.fault.get_or_insert_with(|| format!("only {got} of {of} bytes came before the end"));
    }
    heard
}

/// Whether this side breaks the connection off.
fn breaks(tunnel: &Tunnel, side: Side) -> bool {
    let by = if side == Side::Client { Parts::ClientBreaks } else { Parts::ServiceBreaks };
    tunnel.parts == by
}

async fn speak(
    tunnel: &Tunnel,
    (token, side): (u64, Side),
    mut left: &[u8],
    write: &mut WriteHalf<&mut End>,
    heard_all: &Notify,
) {
    let mut rng = Rng::with_seed(token << 8 | u64::from(side == Side::Client));
    while !left.is_empty() {
        let (now, rest) = left.split_at(rng.usize(1..=left.len().min(20_000)));
        if write.write_all(now).await.is_err() {
            return;
        }
        left = rest;
        if rng.bool() {
            pass(Duration::from_millis(rng.u64(0..150))).await;
        }
    }
    if breaks(tunnel, side) {
        return pass(Duration::from_millis(rng.u64(0..300))).await;
    }
    let first = if side == Side::Client { Parts::Client } else { Parts::Service };
    if tunnel.parts != first {
        heard_all.notified().await;
    }
    if tunnel.websocket {
        let _ = write.write_all(&frame(CLOSE, &DONE.to_be_bytes(), side == Side::Client, &mut rng)).await;
    }
    let _ = write.shutdown().await;
}

/// Reads until the other side has ended, by a frame or by the end of its stream.
async fn hear(tunnel: &Tunnel, side: Side, ahead: Vec<u8>, read: &mut ReadHalf<&mut End>, heard: &mut Heard) {
    let mut pending = ahead;
    heard.raw = pending.len();
    loop {
        if !tunnel.websocket {
            heard.bytes.append(&mut pending);
        }
        while let Some((opcode, payload, length)) = whole_frame(&pending).filter(|_| tunnel.websocket) {
            pending.drain(..length);
            if opcode != CLOSE {
                heard.bytes.extend(payload);
                continue;
            }
            heard.ended = true;
            heard.away = payload == AWAY.to_be_bytes();
            heard.raw -= if heard.away { length } else { 0 };
            if !pending.is_empty() || !(heard.away || payload == DONE.to_be_bytes()) {
                heard.fault =
                    Some(format!("a Close frame of {payload:?}, {} bytes behind it", pending.len()));
            }
            return;
        }
        let mut room = [0; 4096];
        // One that breaks off does not wait for the other.
        let most = Duration::from_millis(if breaks(tunnel, side) { 500 } else { 30_000 });
        match time::timeout(most, read.read(&mut room)).await {
            Ok(Ok(length @ 1..)) => {
                heard.raw += length;
                pending.extend_from_slice(&room[..length]);
            }
            Ok(Ok(_)) => {
                heard.ended = !tunnel.websocket;
                return;
            }
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// The frame that the bytes begin with, unmasked, and its length with its head.
fn whole_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let [first, second, ..] = *bytes else { return None };
    let (length, mut at) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        127 => {
            let eight: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            (u64::from_be_bytes(eight) as usize, 10)
        }
        short => (usize::from(short), 2),
    };
    let mask = if second & 0x80 == 0 {
        [0; 4]
    } else {
        at += 4;
        bytes.get(at - 4..at)?.try_into().ok()?
    };
    let payload = bytes.get(at..at.checked_add(length)?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((first & 0x0f, payload, at + length))
}
