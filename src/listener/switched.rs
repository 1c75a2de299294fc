//! A client's connection that carries HTTP no more: the 101 goes out, and then bytes both ways until the tunnel ends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::{Body, Ended, EndedBy, Response, Tunnel};
use crate::http1::{ConnectionLine, Framing, encode};
use crate::pipeline::{Core, Walk};
use crate::runtime::clock;
use crate::tunnel::{Bounds, Moment, Relay};

use super::pump::Pump;
use super::wire::Wire;

/// An exchange that goes on as a tunnel.
pub(super) struct Switched {
    /// The 101 without its tunnel.
    pub(super) head: Response,
    pub(super) tunnel: Box<Tunnel>,
}

impl Switched {
    /// Serves it to its end.
    pub(super) async fn serve(self: Box<Self>, walk: &mut Walk, wire: &Wire, core: &Core) {
        let limits = *walk.limits();
        let Response { status, headers, .. } = self.head;
        encode::response_head(wire.out().small(), status, &headers, Framing::None, ConnectionLine::None);
        drop(headers);
        // Before the client can know of it: what it asks for next finds the place free.
        walk.switched();
        let mut pump = Pump::new(wire, Framing::None);
        let sent = poll_fn(|cx| pump.poll(&mut Body::Empty, &limits, cx)).await;
        if let Err(error) = sent {
            walk.broke(&error);
            walk.tunnel_ended(Ended { by: EndedBy::Client, how: "reset" });
            return;
        }
        // Until an end of it is said, its end is a reset: neither side then takes what it got for all there was.
        wire.reset_at_end(true);
        let Tunnel { mut service, early, websocket, idle, total, guard } = *self.tunnel;
        // What the client has sent behind its request belongs to the tunnel from here on.
        let ahead = std::mem::take(&mut *wire.buffer());
        wire.release();
        let bounds = Bounds { idle, until: total.map(|total| clock::now() + total) };
        let mut relay = Relay::new([ahead, early], websocket, bounds);
        let ended = poll_fn(|cx| {
            let mut with = Moment {
                client: &mut ClientSide(wire),
                service: &mut *service,
                room: &core.read_buffer,
                draining: core.is_draining(),
            };
            let ended = relay.poll(&mut with, |at, cx| wire.poll_timer(at, cx), cx);
            // Counted as it goes: the task may be dropped.
            walk.tunnelled(relay.moved());
            ended
        })
        .await;
        walk.tunnel_ended(ended);
        drop(guard);
    }
}

/// The client's side of a tunnel.
struct ClientSide<'a>(&'a Wire);

impl AsyncRead for ClientSide<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream()).poll_read(cx, room)
    }
}

impl AsyncWrite for ClientSide<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.stream()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.0.stream();
        stream.reset_at_end(false);
        Pin::new(&mut *stream).poll_shutdown(cx)
    }
}
