//! One exchange as one line: a JSON object for machines, aligned columns for people.
//!
//! Neither tells a query, a header or a credential: they may hold secrets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::Version;

use super::escape::push_escaped;
use super::stamp::Stamp;
use crate::exchange::address::{push_address, push_ip};
use crate::exchange::{Ended, ErrorKind, Exchange};

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Columns for people.
    Text {
        /// Whether the status is coloured by its class.
        colour: bool,
    },
}

/// The facts that a line tells, borrowed for as long as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the line is written: the end of the exchange.
    pub at: SystemTime,
    /// The request id.
    pub id: &'a [u8],
    /// The client's address.
    pub client: IpAddr,
    /// The other end of the socket, where that is another than the client: a trusted proxy.
    pub peer: Option<SocketAddr>,
    /// The listener's name.
    pub listener: &'a str,
    /// The route's pattern, empty where none was found.
    pub route: &'a str,
    /// The method as sent.
    pub method: &'a [u8],
    /// The host as sent.
    pub host: &'a [u8],
    /// The path of the target, without its query.
    pub path: &'a [u8],
    /// The version the client spoke.
    pub version: Version,
    /// The status that was sent, 0 where none was.
    pub status: u16,
    /// The gate's own error.
    pub error: Option<ErrorKind>,
    /// The word that refines the error, or empty.
    pub reason: &'a str,
    /// The private part of the error.
    pub source: Option<&'a str>,
    /// An expression that could not be evaluated.
    pub note: Option<&'a str>,
    /// Bytes of the request's body, or of a tunnel to the service.
    pub bytes_in: u64,
    /// Bytes of the answer's body, or of a tunnel to the client.
    pub bytes_out: u64,
    /// How a tunnel has ended.
    pub tunnel: Option<Ended>,
    /// How a call of gRPC has ended.
    pub grpc: Option<u8>,
    /// From the first byte of the request to the last of the answer.
    pub duration: Duration,
    /// The upstream's name, where one was called.
    pub upstream: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<SocketAddr>,
    /// How many attempts were made.
    pub attempts: u32,
    /// From the first attempt to the end of the upstream's answer head.
    pub upstream_time: Duration,
    /// The identity's id.
    pub identity: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// The facts of an exchange that ended at `at` after `duration`.
    pub fn of(exchange: &'a Exchange, at: SystemTime, duration: Duration) -> Entry<'a> {
        let (client, request, record) = (&exchange.client, &exchange.request, &exchange.record);
        Entry {
            at,
            id: exchange.id.as_bytes(),
            client: client.ip,
            peer: (client.peer.ip().to_canonical() != client.ip.to_canonical()).then_some(client.peer),
            listener: exchange.place.listener(),
            route: exchange.place.route(exchange.rule),
            method: request.method.as_str().as_bytes(),
            host: request.host_bytes(),
            path: request.target.path().as_bytes(),
            version: request.version,
            status: record.status,
            error: record.error,
            reason: record.reason,
            source: record.source.as_deref(),
            note: record.note.as_deref(),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            tunnel: record.tunnel,
            grpc: record.grpc,
            duration,
            upstream: record.upstream.map(|upstream| exchange.place.upstream(upstream)),
            endpoint: record.attempts.endpoint(),
            attempts: record.attempts.count(),
            upstream_time: record.attempts.time(record.started + duration),
            identity: exchange.identity.as_ref().map(|identity| identity.id.as_str()),
        }
    }
}

/// Writes lines; one for each core, for it keeps the text of the present second.
pub struct Formatter {
    format: Format,
    stamp: Stamp,
    number: itoa::Buffer,
}

impl Formatter {
    /// A writer of lines of this format.
    pub fn new(format: Format) -> Formatter {
        Formatter { format, stamp: Stamp::new(), number: itoa::Buffer::new() }
    }

    /// Appends the entry as one line with its LF, the only one in it. Allocates only where `out` must grow.
    pub fn push(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        match self.format {
            Format::Json => self.json(out, entry),
            Format::Text { colour } => self.text(out, entry, colour),
        }
    }

    fn json(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        out.reserve(640);
        out.extend_from_slice(b"{\"time\":\"");
        self.stamp.push(out, entry.at);
        text(out, b"\",\"id\":\"", entry.id);
        out.extend_from_slice(b"\",\"client\":\"");
        push_ip(out, entry.client);
        if let Some(peer) = entry.peer {
            out.extend_from_slice(b"\",\"peer\":\"");
            push_address(out, peer);
        }
        text(out, b"\",\"listener\":\"", entry.listener.as_bytes());
        text(out, b"\",\"route\":\"", entry.route.as_bytes());
        text(out, b"\",\"method\":\"", entry.method);
        text(out, b"\",\"host\":\"", entry.host);
        text(out, b"\",\"path\":\"", entry.path);
        out.extend_from_slice(b"\",\"version\":\"");
        out.extend_from_slice(version(entry.version));
        out.extend_from_slice(b"\",\"status\":");
        self.number(out, u64::from(entry.status));
        out.extend_from_slice(b",\"bytes_in\":");
        self.number(out, entry.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        self.number(out, entry.bytes_out);
        out.extend_from_slice(b",\"duration_ms\":");
        self.millis(out, entry.duration);
        if let Some(upstream) = entry.upstream {
            text(out, b",\"upstream\":\"", upstream.as_bytes());
            if let Some(endpoint) = entry.endpoint {
                out.extend_from_slice(b"\",\"endpoint\":\"");
                push_address(out, endpoint);
            }
            out.push(b'"');
        }
        // An aggregate has attempts and no one upstream.
        if entry.upstream.is_some() || entry.attempts > 0 {
            out.extend_from_slice(b",\"attempts\":");
            self.number(out, u64::from(entry.attempts));
            out.extend_from_slice(b",\"upstream_ms\":");
            self.millis(out, entry.upstream_time);
        }
        if let Some(Ended { by, how }) = entry.tunnel {
            text(out, b",\"ended_by\":\"", by.as_str().as_bytes());
            text(out, b"\",\"ended\":\"", how.as_bytes());
            out.push(b'"');
        }
        if let Some(status) = entry.grpc {
            out.extend_from_slice(b",\"grpc_status\":");
            self.number(out, u64::from(status));
        }
        if let Some(identity) = entry.identity {
            text(out, b",\"identity\":\"", identity.as_bytes());
            out.push(b'"');
        }
        if let Some(note) = entry.note {
            text(out, b",\"note\":\"", note.as_bytes());
            out.push(b'"');
        }
        if let Some(error) = entry.error {
            out.extend_from_slice(b",\"error\":\"");
            phrase(out, error);
            if !entry.reason.is_empty() {
                text(out, b"\",\"reason\":\"", entry.reason.as_bytes());
            }
            if let Some(source) = entry.source {
                text(out, b"\",\"source\":\"", source.as_bytes());
            }
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>, colour: bool) {
        self.stamp.push(out, entry.at);
        out.push(b' ');
        let paint = if colour { class_colour(entry.status) } else { b"" };
        out.extend_from_slice(paint);
        match entry.status {
            0 => out.extend_from_slice(b"---"),
            status => self.number(out, u64::from(status)),
        }
        if !paint.is_empty() {
            out.extend_from_slice(b"\x1b[0m");
        }
        let start = out.len();
        text(out, b" ", entry.method);
        pad(out, start + 7);
        out.push(b' ');
        // Right-aligned, so that a slow one stands out: the text is written first and then moved.
        let start = out.len();
        self.millis(out, entry.duration);
        let width = out.len() - start;
        out.resize(out.len() + 10usize.saturating_sub(width), b' ');
        out[start..].rotate_right(10usize.saturating_sub(width));
        out.extend_from_slice(b" ms ");
        let start = out.len();
        push_ip(out, entry.client);
        pad(out, start + 15);
        text(out, b" ", entry.host);
        text(out, b"", entry.path);
        if let Some(upstream) = entry.upstream {
            text(out, b" -> ", upstream.as_bytes());
            if let Some(endpoint) = entry.endpoint {
                out.push(b' ');
                push_address(out, endpoint);
            }
            if entry.attempts > 1 {
                out.extend_from_slice(b" x");
                self.number(out, u64::from(entry.attempts));
            }
        }
        if let Some(Ended { by, how }) = entry.tunnel {
            text(out, b" ended by ", by.as_str().as_bytes());
            text(out, b" (", how.as_bytes());
            out.push(b')');
        }
        if let Some(status) = entry.grpc {
            out.extend_from_slice(b" grpc-status ");
            self.number(out, u64::from(status));
        }
        if let Some(identity) = entry.identity {
            text(out, b" as ", identity.as_bytes());
        }
        if let Some(note) = entry.note {
            text(out, b" ? ", note.as_bytes());
        }
        if let Some(error) = entry.error {
            out.extend_from_slice(b" ! ");
            phrase(out, error);
            if !entry.reason.is_empty() {
                text(out, b" (", entry.reason.as_bytes());
                out.push(b')');
            }
            if let Some(source) = entry.source {
                text(out, b": ", source.as_bytes());
            }
        }
        text(out, b" ", entry.id);
        out.push(b'\n');
    }

    fn number(&mut self, out: &mut Vec<u8>, number: u64) {
        out.extend_from_slice(self.number.format(number).as_bytes());
    }

    /// Milliseconds with three decimals, cut and not rounded.
    fn millis(&mut self, out: &mut Vec<u8>, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.number(out, micros / 1000);
        let part = micros % 1000;
        out.extend_from_slice(&[b'.', digit(part / 100), digit(part / 10), digit(part)]);
    }
}

const fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

fn text(out: &mut Vec<u8>, before: &[u8], text: &[u8]) {
    out.extend_from_slice(before);
    push_escaped(out, text);
}

fn pad(out: &mut Vec<u8>, end: usize) {
    if out.len() < end {
        out.resize(end, b' ');
    }
}

/// [`ErrorKind::phrase`] without its allocation.
fn phrase(out: &mut Vec<u8>, error: ErrorKind) {
    out.extend(error.name().bytes().map(|byte| if byte == b'_' { b' ' } else { byte }));
}

fn version(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2",
        Version::HTTP_3 => b"HTTP/3",
        _ => b"HTTP/1.1",
    }
}

const fn class_colour(status: u16) -> &'static [u8] {
    match status {
        200..=299 => b"\x1b[32m",
        300..=399 => b"\x1b[36m",
        400..=499 => b"\x1b[33m",
        500.. => b"\x1b[31m",
        _ => b"",
    }
}

#[cfg(test)]
mod tests;
