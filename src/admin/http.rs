//! A small HTTP/1.1 server on the gate's own codec, for answers that are made in one piece.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::runtime::time;
use crate::runtime::time::timeout;
use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode, Version};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::exchange::target::PathRules;
use crate::exchange::{Headers, Target};
use crate::http1::{
    ConnectionLine, Decoder, Framing, HeadError, HeadLimits, Piece, RequestHead, encode, parse_request,
};
use crate::net::{Listener, Stream};

use super::seats::{Seat, Seats};

/// The media type of an error (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";

/// The media type of a document.
const JSON: &str = "application/json";

/// After an error that will not pass by itself at once (no free descriptor), accepting rests this long.
const BREATHE: Duration = Duration::from_millis(50);

/// How long, and for how many bytes, a client is read after its last answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// What a client may take up.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Connections at a time; a further one takes the place of the oldest that is not being answered.
    pub connections: usize,
    /// Of a head.
    pub head: HeadLimits,
    /// Bytes of a request's body, which nobody reads.
    pub body: u64,
    /// From a connection, or from the first byte of a further request on it, to the end of the head.
    pub head_wait: Duration,
    /// For the body of a request, for the sending of an answer, and for the next request.
    pub wait: Duration,
}

impl Bounds {
    /// Enough for a person and for a program that asks now and then.
    pub const SMALL: Bounds = Bounds {
        connections: 64,
        head: HeadLimits { head: 8 * 1024, headers: 64, target: 2 * 1024 },
        body: 64 * 1024,
        head_wait: Duration::from_secs(2),
        wait: Duration::from_secs(10),
    };
}

/// A request.
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The normalised path, without the query.
    pub path: String,
    /// The header lines.
    pub headers: Headers,
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: &'static str,
    /// Further header lines.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Plain text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Reply {
        Reply {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: text.into().into(),
        }
    }

    /// A document.
    pub fn json(document: &Value) -> Reply {
        Reply { content_type: JSON, ..Reply::text(StatusCode::OK, format!("{document}\n")) }
    }

    /// A document that tells of an error.
    pub fn problem(status: StatusCode, document: &Value) -> Reply {
        Reply { content_type: PROBLEM, ..Reply::text(status, format!("{document}\n")) }
    }
}

/// Serves every connection on this runtime until the future is dropped.
pub async fn serve<A>(listener: Listener, bounds: Bounds, answer: A)
where
    A: AsyncFn(&Asked) -> Reply + 'static,
{
    let answer = Rc::new(answer);
    let seats = Seats::new(bounds.connections);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = Rc::clone(&answer);
                let serve = |seat: Rc<Seat>| async move {
                    // Whoever breaks off has told us that there is nothing more to say.
                    let _ = connection(stream, bounds, &seat, &*answer).await;
                };
                seats.seat(serve).await;
            }
            Err(_) => time::sleep(BREATHE).await,
        }
    }
}

async fn connection<A>(mut stream: Stream, bounds: Bounds, seat: &Seat, answer: &A) -> io::Result<()>
where
    A: AsyncFn(&Asked) -> Reply,
{
    stream.send_at_once()?;
    let mut buffer = BytesMut::new();
    for served in 0u64.. {
        if served > 0 && buffer.is_empty() {
            let read = timeout(bounds.wait, stream.read_buf(&mut buffer)).await.unwrap_or(Ok(0));
            if read? == 0 {
                return Ok(());
            }
        }
        let head = match timeout(bounds.head_wait, read_head(&mut stream, &mut buffer, &bounds.head)).await {
            Ok(head) => head?,
            Err(_) => return Ok(()),
        };
        let (asked, framing, keep_alive) = match head {
            Read::Head(head) => {
                let (framing, keep_alive) =
                    (head.framing, head.keep_alive && head.version == Version::HTTP_11);
                let line = buffer.split_to(head.len);
                let asked = asked(*head, &line);
                (asked, framing, keep_alive)
            }
            Read::Bad(error) => (Err(error.reason()), Framing::None, false),
            Read::End => return Ok(()),
        };
        let whole =
            match timeout(bounds.wait, skip_body(&mut stream, &mut buffer, framing, bounds.body)).await {
                Ok(whole) => whole?,
                Err(_) => false,
            };
        let (reply, is_head, known) = match &asked {
            Ok(asked) => (seat.answering(answer(asked)).await, asked.method == Method::HEAD, true),
            Err(why) => (Reply::text(StatusCode::BAD_REQUEST, format!("{why}\n")), false, false),
        };
        let keep_alive = keep_alive && whole && known;
        let head = written(&reply, is_head, keep_alive);
        let body = if is_head { Bytes::new() } else { reply.body };
        // In one write where it fits, and a long body is not copied.
        let mut out = Buf::chain(head.as_slice(), body);
        let Ok(sent) = timeout(bounds.wait, stream.write_all_buf(&mut out)).await else {
            // A part of the answer may be out: nothing can follow it on this connection.
            return Ok(());
        };
        sent?;
        if !keep_alive {
            return end(&mut stream, buffer).await;
        }
    }
    Ok(())
}

/// Closes in stages: a client that is still sending must be able to read its answer (RFC 9112 section 9.6).
async fn end(stream: &mut Stream, mut buffer: BytesMut) -> io::Result<()> {
    stream.shutdown().await?;
    let discard = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            buffer.clear();
            match stream.read_buf(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    };
    timeout(LINGER, discard).await.unwrap_or(Ok(()))
}

enum Read {
    Head(Box<RequestHead>),
    Bad(HeadError),
    End,
}

async fn read_head(stream: &mut Stream, buffer: &mut BytesMut, limits: &HeadLimits) -> io::Result<Read> {
    loop {
        match parse_request(buffer, limits, Headers::new()) {
            Ok(Some(head)) => return Ok(Read::Head(Box::new(head))),
            Ok(None) => {}
            Err(error) => return Ok(Read::Bad(error)),
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Read::End);
        }
    }
}

/// Reads the body away; whether the next request can be told from it.
async fn skip_body(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    framing: Framing,
    most: u64,
) -> io::Result<bool> {
    let mut decoder = Decoder::new(framing);
    let mut skipped = 0;
    loop {
        match decoder.decode(buffer) {
            Ok(Piece::End | Piece::Trailers(_)) => return Ok(true),
            Ok(Piece::Data(data)) => skipped += data.len() as u64,
            Ok(Piece::More) => {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(false);
                }
            }
            Err(_) => return Ok(false),
        }
        if skipped > most {
            return Ok(false);
        }
    }
}

fn asked(head: RequestHead, line: &[u8]) -> Result<Asked, &'static str> {
    let parsed =
        Target::parse(&line[head.target.clone()], PathRules::default()).map_err(|error| error.reason())?;
    Ok(Asked { method: head.method, path: parsed.target.path().to_owned(), headers: head.headers })
}

/// The head of an answer.
fn written(reply: &Reply, is_head: bool, keep_alive: bool) -> Vec<u8> {
    let mut headers = Headers::new();
    let mut set = |name: &str, value: &str| {
        // Names and values are of our own making; one that is none is better left out than sent.
        let _ = headers.set(name, value.as_bytes());
    };
    set("content-type", reply.content_type);
    set("cache-control", "no-store");
    for (name, value) in &reply.headers {
        set(name, value);
    }
    if is_head {
        set("content-length", &reply.body.len().to_string());
    }
    let framing = if is_head { Framing::None } else { Framing::Length(reply.body.len() as u64) };
    let connection = if keep_alive { ConnectionLine::None } else { ConnectionLine::Close };
    let mut out = Vec::with_capacity(256);
    encode::response_head(&mut out, reply.status, &headers, framing, connection);
    out
}
