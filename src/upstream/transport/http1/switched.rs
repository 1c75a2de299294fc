//! A connection whose service has switched protocols: what is read and written are bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::{Body, HeaderId, Response, Tunnel};
use crate::http1::{ResponseHead, upgrade};
use crate::net::Stream;
use crate::upstream::transport::connection::Connection;
use crate::upstream::transport::exchange::Exchanged;

/// The service's side of a tunnel. Dropped before its end was said, it is reset.
struct Switched(Stream);

/// The 101 with its tunnel, whose bounds the call sets; `None` where the connection is gone.
#[cold]
pub(super) fn exchanged(connection: Option<Box<Connection>>, head: ResponseHead) -> Option<Exchanged> {
    let (stream, early) = connection?.into_parts();
    let websocket = upgrade::is_websocket(head.headers.all_id(HeaderId::Upgrade));
    stream.reset_at_end(true);
    let service = Box::new(Switched(stream));
    let tunnel = Tunnel { service, early, websocket, idle: Duration::ZERO, total: None, guard: None };
    let body = Body::Tunnel(Box::new(tunnel));
    let response = Response { status: head.status, headers: head.headers, body };
    Some(Exchanged { response, uploaded: None, client_stalled: false })
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, room))?;
        // An end that nobody has vouched for is no end (RFC 8446 section 6.1).
        if room.filled().len() == before && room.remaining() > 0 && self.0.was_cut_off() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.reset_at_end(false);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
