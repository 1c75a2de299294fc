//! A probe over HTTP/1.1: one GET on a connection of its own.

use ::http::Method;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::settings::{HttpProbe, MAX_BODY};
use crate::exchange::{HeaderId, Headers};
use crate::http1::{Decoder, Framing, HeadLimits, Piece, ResponseHead, encode, parse_response};
use crate::net::Stream;

/// Heads of answers to probes are small.
const HEAD: HeadLimits = HeadLimits { head: 16 * 1024, headers: 128, target: 0 };
/// Interim answers before the final one, at most.
const MAX_INTERIM: u32 = 8;

/// Asks, and judges the answer.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) async fn check(mut stream: Stream, probe: &HttpProbe) -> Result<(), String> {
    stream.write_all(&request(probe)).await.map_err(|error| format!("write: {error}"))?;
    let mut buffer = BytesMut::new();
    let head = head(&mut stream, &mut buffer).await?;
    let status = head.status.as_u16();
    if !probe.status.iter().any(|range| range.contains(&status)) {
        return Err(format!("status {status}"));
    }
    let Some(wanted) = &probe.body else { return Ok(()) };
    let body = body(&mut stream, buffer, head.framing).await?;
    if wanted.is_match(&body) { Ok(()) } else { Err(format!("status {status}, but not the body")) }
}

fn request(probe: &HttpProbe) -> Vec<u8> {
    let mut headers = Headers::new();
    headers.push_id(HeaderId::Host, probe.host.as_bytes());
    headers.push_id(HeaderId::UserAgent, b"portcullis-health");
    headers.push_id(HeaderId::Accept, b"*/*");
    let mut out = Vec::with_capacity(256);
    encode::request_head(&mut out, &Method::GET, &probe.path, &headers, Framing::None);
    // Before the empty line: nothing else will be asked on this connection.
    out.truncate(out.len() - 2);
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out
}

async fn head(stream: &mut Stream, buffer: &mut BytesMut) -> Result<ResponseHead, String> {
    let mut interim = 0;
    loop {
        match parse_response(buffer, &HEAD, Headers::new(), false) {
            Err(error) => return Err(format!("not HTTP: {}", error.reason())),
            Ok(Some(head)) => {
                buffer.advance(head.len);
                if !head.status.is_informational() {
                    return Ok(head);
                }
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err("interim answers without end".to_owned());
                }
            }
            Ok(None) => {
                if read(stream, buffer).await? == 0 {
                    return Err("closed before an answer".to_owned());
                }
            }
        }
    }
}

/// The beginning of the body.
async fn body(stream: &mut Stream, mut buffer: BytesMut, framing: Framing) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::new(framing);
    let mut body = Vec::new();
    while body.len() < MAX_BODY {
        match decoder.decode(&mut buffer).map_err(|reason| format!("not HTTP: {reason}"))? {
            Piece::Data(data) => body.extend_from_slice(&data[..data.len().min(MAX_BODY - body.len())]),
            Piece::Trailers(_) | Piece::End => break,
            Piece::More => {
                if read(stream, &mut buffer).await? == 0 {
                    decoder.eof().map_err(|reason| format!("not HTTP: {reason}"))?;
                    break;
                }
            }
        }
    }
    Ok(body)
}

async fn read(stream: &mut Stream, buffer: &mut BytesMut) -> Result<usize, String> {
    buffer.reserve(4096);
    stream.read_buf(buffer).await.map_err(|error| format!("read: {error}"))
}
