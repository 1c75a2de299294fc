//! Sockets as both ends of the gate use them: reads that fill a buffer, writes that go out in one piece, and a timer
//! that costs nothing while nothing is late.
//!
//! Knows nothing of HTTP. The listener and the transports share it.

pub mod outbox;
pub mod timer;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::net::TcpStream;

pub use outbox::Outbox;
pub use timer::Timer;

/// Reads once into the buffer's free room; `0` is the end of the stream.
///
/// A read that fills only a part of the room tells the runtime that the socket is drained, so the next poll waits
/// without asking the kernel first: give more room than one answer needs.
///
/// # Errors
/// The socket's own.
pub fn poll_read(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer)
}
