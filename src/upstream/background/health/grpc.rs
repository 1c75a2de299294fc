//! A probe by gRPC's health checking protocol: `grpc.health.v1.Health/Check`, once, on a connection of its own.
//!
//! The two messages are small enough to be written and read by hand: a request with the name of a service (field 1),
//! an answer with a status (field 1).

use std::pin::pin;

use ::http::{HeaderMap, Request, Uri};
use bytes::Bytes;
use h2::client::SendRequest;

use crate::net::Stream;

/// The longest answer.
const MAX_ANSWER: usize = 16 * 1024;
/// `SERVING` among the statuses.
const SERVING: u64 = 1;

/// Asks, and judges the answer.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) async fn check(
    stream: Stream,
    service: &str,
    (scheme, authority): (&str, &str),
) -> Result<(), String> {
    let handshake = h2::client::handshake(stream).await;
    let (sender, connection) = handshake.map_err(|error| format!("HTTP/2: {error}"))?;
    let mut call = pin!(call(sender, service, (scheme, authority)));
    tokio::select! {
        outcome = &mut call => outcome,
        // All that came may have come with the end of the connection.
        _ = connection => call.await,
    }
}

async fn call(
    sender: SendRequest<Bytes>,
    service: &str,
    (scheme, authority): (&str, &str),
) -> Result<(), String> {
    let failed = |error: h2::Error| format!("HTTP/2: {error}");
    let mut sender = sender.ready().await.map_err(failed)?;
    let (answer, mut body) = sender.send_request(request(scheme, authority)?, false).map_err(failed)?;
    body.send_data(message(service), true).map_err(failed)?;
    let (head, mut body) = answer.await.map_err(failed)?.into_parts();
    if !head.status.is_success() {
        return Err(format!("status {}", head.status.as_u16()));
    }
    // An error without a message may come in the head alone.
    judge(&head.headers)?;
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(failed)?;
        body.flow_control().release_capacity(piece.len()).map_err(failed)?;
        if data.len() + piece.len() > MAX_ANSWER {
            return Err("an answer without end".to_owned());
        }
        data.extend_from_slice(&piece);
    }
    judge(&body.trailers().await.map_err(failed)?.unwrap_or_default())?;
    match status(&data).ok_or("not an answer of the health protocol")? {
        SERVING => Ok(()),
        0 => Err("UNKNOWN".to_owned()),
        2 => Err("NOT_SERVING".to_owned()),
        3 => Err("SERVICE_UNKNOWN".to_owned()),
        other => Err(format!("health status {other}")),
    }
}

fn request(scheme: &str, authority: &str) -> Result<Request<()>, String> {
    let uri =
        Uri::builder().scheme(scheme).authority(authority).path_and_query("/grpc.health.v1.Health/Check");
    uri.build()
        .and_then(|uri| {
            Request::post(uri)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("user-agent", "portcullis-health")
                .body(())
        })
        .map_err(|error| error.to_string())
}

/// The request with its prefix: not compressed, and so many bytes.
fn message(service: &str) -> Bytes {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// What the server says of the call itself.
fn judge(headers: &HeaderMap) -> Result<(), String> {
    match headers.get("grpc-status") {
        None => Ok(()),
        Some(status) if status == "0" => Ok(()),
        Some(status) => Err(format!("gRPC status {}", String::from_utf8_lossy(status.as_bytes()))),
    }
}

/// The status in the answer; 0 where it names none. `None` where it is no such message.
fn status(framed: &[u8]) -> Option<u64> {
    let (&[0, a, b, c, d], mut message) = framed.split_first_chunk::<5>()? else { return None };
    if message.len() != usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()? {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = number(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = number(&mut message)?,
            (_, 0) => drop(number(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A variable-length number at the start.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_those_of_the_protocol() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("abc")[..], b"\0\0\0\0\x05\x0a\x03abc");
        assert_eq!(&message(&"x".repeat(200))[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
        assert_eq!(status(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(status(b"\0\0\0\0\0"), Some(0), "the default is not written");
        assert_eq!(status(b"\0\0\0\0\x06\x12\x02ab\x08\x02"), Some(2), "fields of later versions");
        for wrong in [&b""[..], b"\0\0\0\0\x02\x08", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x0b\x01"] {
            assert_eq!(status(wrong), None, "{wrong:?}");
        }
        assert_eq!(status(&[0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}
