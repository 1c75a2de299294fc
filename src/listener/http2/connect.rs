//! WebSocket over one stream: extended CONNECT (RFC 8441), which becomes an `Upgrade` towards the service.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::headers::is_token;
use crate::exchange::{Body, Ended, EndedBy, Error, ErrorKind, HeaderId, Headers, Response, Tunnel};
use crate::listener::streams::{Guard, Progress};
use crate::net::Timer;
use crate::pipeline::{Core, Walk};
use crate::runtime::{clock, random};
use crate::tunnel::{Bounds, Moment, Relay};

use super::lines;
use super::stall::Piece;

const WEBSOCKET: &[u8] = b"websocket";

/// Fields of a handshake over HTTP/1.1 that the one over HTTP/2 does not have (RFC 8441 section 5).
const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";

/// What is behind the key in the digest that a service answers with (RFC 6455 section 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The most that is handed to the library at once.
const PIECE: usize = 16 * 1024;

/// Makes a handshake over HTTP/1.1 of the lines of an extended CONNECT. Gives whether it was one; other lines stay.
///
/// # Errors
/// It asks for another protocol (RFC 9220 section 3).
pub(super) fn translate(head: &mut Parts, lines: Headers) -> Result<(Headers, bool), Error> {
    if head.method != Method::CONNECT {
        return Ok((lines, false));
    }
    match head.extensions.remove::<Protocol>() {
        Some(protocol) => handshake(head, lines, protocol.as_ref()).map(|lines| (lines, true)),
        None => Ok((lines, false)),
    }
}

#[cold]
fn handshake(head: &mut Parts, mut lines: Headers, protocol: &[u8]) -> Result<Headers, Error> {
    if protocol.is_empty() || !protocol.iter().all(|byte| is_token(*byte)) {
        return Err(Error::new(ErrorKind::MalformedRequest).reason("head").detail("bad :protocol"));
    }
    if !protocol.eq_ignore_ascii_case(WEBSOCKET) {
        return Err(Error::new(ErrorKind::ProtocolNotSupported));
    }
    head.method = Method::GET;
    lines.remove(KEY);
    lines.push_id(HeaderId::Upgrade, WEBSOCKET);
    let key = STANDARD.encode(random::u128(..).to_be_bytes());
    lines.push_judged(KEY.as_bytes(), key.as_bytes());
    Ok(lines)
}

/// What a service says that has understood this key.
fn accepted(key: &[u8]) -> String {
    let mut digest = sha1_smol::Sha1::new();
    digest.update(key);
    digest.update(SUFFIX);
    STANDARD.encode(digest.digest().bytes())
}

/// A stream whose client asks for WebSocket.
pub(super) struct Connecting {
    /// What it sends.
    pub(super) body: RecvStream,
    pub(super) core: Rc<Core>,
}

/// The answer of a service that has switched, and its connection.
pub(super) struct Switched {
    head: Response,
    tunnel: Box<Tunnel>,
}

/// What an answer means to a client that has asked for WebSocket.
///
/// # Errors
/// The answer to give: a success without a tunnel would be taken for one.
pub(super) fn outcome(walk: &mut Walk, mut answer: Response) -> Result<Box<Switched>, Box<Response>> {
    if matches!(answer.body, Body::Tunnel(_))
        && let Body::Tunnel(tunnel) = answer.body.take()
    {
        let key = walk.exchange.request.headers.get(KEY).unwrap_or_default();
        if answer.headers.get(ACCEPT) == Some(accepted(key).as_bytes()) {
            return Ok(Box::new(Switched { head: answer, tunnel }));
        }
        let wrong =
            Error::new(ErrorKind::UpstreamFailure).reason("protocol").source("a wrong Sec-WebSocket-Accept");
        return Err(Box::new(walk.instead(wrong)));
    }
    if answer.status.is_success() {
        return Err(Box::new(walk.instead(Error::new(ErrorKind::ProtocolNotSupported))));
    }
    Err(Box::new(answer))
}

impl Switched {
    /// Serves the tunnel to its end.
    pub(super) async fn serve(
        self: Box<Self>,
        mut walk: Box<Walk>,
        mut reply: SendResponse<Piece>,
        Connecting { body, core }: Connecting,
        mut guard: Guard,
    ) {
        let mut lines = lines::lines(&self.head.headers);
        lines.remove(ACCEPT);
        let mut head = http::Response::new(());
        *head.headers_mut() = lines;
        walk.exchange.record.status = StatusCode::OK.as_u16();
        // Before the client can know of it: what it asks for next finds the place free.
        walk.switched();
        let Ok(stream) = reply.send_response(head, false) else {
            walk.tunnel_ended(Ended { by: EndedBy::Client, how: "reset" });
            return;
        };
        let Tunnel { mut service, early, websocket, idle, total, guard: held } = *self.tunnel;
        let progress = Rc::clone(guard.progress());
        let mut client = ClientSide { body, rest: Bytes::new(), stream, progress, ended: false };
        let bounds = Bounds { idle, until: total.map(|total| clock::now() + total) };
        let mut relay = Relay::new([BytesMut::new(), early], websocket, bounds);
        let mut timer = Timer::new();
        // The connection is woken as the process ends, its streams are not.
        let _entered = poll_fn(|cx| Poll::Ready(core.enter(cx.waker().clone()))).await;
        let ended = poll_fn(|cx| {
            let mut with = Moment {
                client: &mut client,
                service: &mut *service,
                room: &core.read_buffer,
                draining: core.is_draining(),
            };
            let mut ended = relay.poll(&mut with, |at, cx| timer.poll(at, cx), cx);
            // A client that has ended its side may still reset the stream.
            if ended.is_pending() && client.stream.poll_reset(cx).is_ready() {
                ended = Poll::Ready(Ended { by: EndedBy::Client, how: "reset" });
            }
            // Counted as it goes: the task may be dropped.
            walk.tunnelled(relay.moved());
            ended
        })
        .await;
        walk.tunnel_ended(ended);
        guard.complete();
        drop(held);
    }
}

/// The client's side of a tunnel: what it sends on the stream, and what it is sent.
struct ClientSide {
    body: RecvStream,
    /// What is left of a piece that has come.
    rest: Bytes,
    stream: SendStream<Piece>,
    progress: Rc<Progress>,
    /// Whether the end of this side was sent.
    ended: bool,
}

impl AsyncRead for ClientSide {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(room.remaining());
        room.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        // What follows may come: no more than the window is held.
        let _ = self.body.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSide {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted = bytes.len().min(PIECE);
        self.stream.reserve_capacity(wanted);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = self.stream.capacity().min(wanted);
        let piece = Piece::new(Bytes::copy_from_slice(&bytes[..length]), &self.progress);
        self.stream.send_data(piece, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Bytes of which the client has room leave as soon as its connection takes them.
        if self.progress.is_flushed(cx.waker()) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            let last = Piece::new(Bytes::new(), &self.progress);
            self.stream.send_data(last, true).map_err(io::Error::other)?;
            self.ended = true;
        }
        self.poll_flush(cx)
    }
}

impl Drop for ClientSide {
    fn drop(&mut self) {
        // As a reset of the connection is (RFC 8441 section 5): the client must not take what it got for all there was.
        if !self.ended {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_example_of_the_standard() {
        assert_eq!(accepted(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn translated(protocol: &'static str) -> Result<(Method, Headers), Error> {
        let (mut head, ()) = http::Request::builder()
            .method(Method::CONNECT)
            .extension(Protocol::from_static(protocol))
            .body(())
            .unwrap_or_default()
            .into_parts();
        let mut lines = Headers::new();
        lines.push_judged(KEY.as_bytes(), b"of the client");
        translate(&mut head, lines).map(|(lines, is)| {
            assert!(is);
            (head.method, lines)
        })
    }

    #[test]
    fn websocket_becomes_an_offer_and_nothing_else_does() {
        let (method, lines) = translated("WebSocket").unwrap_or_else(|_| unreachable!("it is one"));
        assert_eq!((method, lines.get_id(HeaderId::Upgrade)), (Method::GET, Some(WEBSOCKET)));
        assert_eq!(lines.all_id(HeaderId::Upgrade).count() + 1, lines.len());
        assert_eq!(lines.get(KEY).map(<[u8]>::len), Some(24));
        for (protocol, kind) in [
            ("connect-udp", ErrorKind::ProtocolNotSupported),
            ("", ErrorKind::MalformedRequest),
            ("a b", ErrorKind::MalformedRequest),
        ] {
            assert_eq!(
                translated(protocol).map(drop).map_err(|error| error.kind()),
                Err(kind),
                "{protocol:?}"
            );
        }
        let (mut plain, ()) = http::Request::new(()).into_parts();
        assert!(matches!(translate(&mut plain, Headers::new()), Ok((_, false))));
    }
}
