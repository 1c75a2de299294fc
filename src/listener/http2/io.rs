//! A connection as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;

/// How much is read from a connection at once.
const READ_SPACE: usize = 16 * 1024;

/// A connection as hyper reads it, with what was read before.
pub(super) struct Io {
    stream: Stream,
    /// What was read before the protocol was clear.
    read: BytesMut,
    space: Box<[u8]>,
}

impl Io {
    /// A connection of which `read` has been read already.
    pub(super) fn new(stream: Stream, read: BytesMut) -> Io {
        Io { stream, read, space: vec![0; READ_SPACE].into() }
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let take = self.read.len().min(room.remaining());
            room.put_slice(&self.read[..take]);
            self.read.advance(take);
            return Poll::Ready(Ok(()));
        }
        // hyper's cursor can only be filled by copying without unsafe code: one copy of a frame's bytes.
        let this = &mut *self;
        let take = this.space.len().min(room.remaining());
        let mut buffer = ReadBuf::new(&mut this.space[..take]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
        room.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}
