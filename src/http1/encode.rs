//! Writes heads, chunks and trailers as they go on the wire (RFC 9112).

use http::{Method, StatusCode};

use super::Framing;
use crate::exchange::{HeaderId, Headers};

/// What an answer says of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionLine {
    /// Nothing: HTTP/1.1 connections stay open.
    None,
    /// The connection ends after this answer.
    Close,
    /// It stays open; to be said to clients of HTTP/1.0.
    KeepAlive,
}

/// Writes a request head of HTTP/1.1. `target` and `headers` have been judged; `headers` holds Host, and no line that
/// speaks of framing or the connection. A request cannot end with its connection: [`Framing::UntilClose`] goes out as
/// chunked.
pub fn request_head(out: &mut Vec<u8>, method: &Method, target: &str, headers: &Headers, framing: Framing) {
    debug_assert!(!headers.has_id(HeaderId::ContentLength) && !headers.has_id(HeaderId::TransferEncoding));
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    headers.write_to(out);
    match framing {
        // Where a body is expected, its absence is said (RFC 9110 section 8.6).
        Framing::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Framing::None => {}
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked | Framing::UntilClose => out.extend_from_slice(CHUNKED),
    }
    out.extend_from_slice(b"\r\n");
}

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a response head of HTTP/1.1. A 1xx, 204 or 304 never gets a line about framing here; an answer to HEAD is
/// given with [`Framing::None`], its Content-Length, if there is one, among the headers.
pub fn response_head(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &Headers,
    framing: Framing,
    connection: ConnectionLine,
) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    headers.write_to(out);
    let bodiless =
        status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    match framing {
        _ if bodiless => {}
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => out.extend_from_slice(CHUNKED),
    }
    if status == StatusCode::UPGRADE_REQUIRED && headers.has_id(HeaderId::Upgrade) {
        // What stands in Upgrade is for this connection alone (RFC 9110 section 7.8).
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // Alone: some clients refuse a list with `keep-alive` in it.
        out.extend_from_slice(b"connection: Upgrade\r\n");
    }
    out.extend_from_slice(match connection {
        ConnectionLine::None => b"\r\n" as &[u8],
        ConnectionLine::Close => b"connection: close\r\n\r\n",
        ConnectionLine::KeepAlive => b"connection: keep-alive\r\n\r\n",
    });
}

/// Writes one chunk; nothing for no bytes, as an empty chunk would end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        chunk_head(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the line before a chunk of `len` bytes, at least 1; the caller sends the bytes and a CRLF after it.
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0);
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (place * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body with its trailer fields, if there are any.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Headers>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_to(out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
