//! What waits to be written: small pieces are gathered, a large one goes out from where it lies.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::stream::Stream;

/// Pieces up to this size are copied behind the head, so that head and body leave in one write.
const GATHER: usize = 16 * 1024;

/// Room for a head and a small body.
const HEAD: usize = 1024;

/// Bytes on their way into one socket.
#[derive(Default)]
pub struct Outbox {
    small: Vec<u8>,
    at: usize,
    large: Bytes,
    tail: &'static [u8],
    written: u64,
    /// How many bytes the connection has taken and its socket has not: none without TLS.
    unsent: usize,
}

impl Outbox {
    /// Nothing to write.
    pub const fn new() -> Outbox {
        Outbox { small: Vec::new(), at: 0, large: Bytes::new(), tail: b"", written: 0, unsent: 0 }
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.is_taken() && self.unsent == 0
    }

    /// Whether the connection has taken everything.
    fn is_taken(&self) -> bool {
        self.at == self.small.len() && self.large.is_empty() && self.tail.is_empty()
    }

    /// Whether another piece can be pushed before the next flush.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.tail.is_empty() && self.small.len() < GATHER
    }

    /// How many bytes have left since [`Outbox::clear`].
    pub fn written(&self) -> u64 {
        self.written.saturating_sub(self.unsent as u64)
    }

    /// Forgets what is left and keeps the memory.
    pub fn clear(&mut self) {
        self.small.clear();
        self.at = 0;
        self.large = Bytes::new();
        self.tail = b"";
        (self.written, self.unsent) = (0, 0);
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        *self = Outbox::new();
    }

    /// Where heads are written. Only while [`Outbox::has_room`].
    pub fn small(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.large.is_empty() && self.tail.is_empty());
        if self.small.capacity() == 0 {
            // A head and a small body, in one piece of memory.
            self.small = Vec::with_capacity(HEAD);
        }
        &mut self.small
    }

    /// Adds a piece and what closes it. Only while [`Outbox::has_room`].
    pub fn push(&mut self, data: Bytes, tail: &'static [u8]) {
        debug_assert!(self.large.is_empty() && self.tail.is_empty());
        if data.len() <= GATHER {
            self.small.extend_from_slice(&data);
            self.small.extend_from_slice(tail);
        } else {
            self.large = data;
            self.tail = tail;
        }
    }

    /// Writes until nothing is left.
    ///
    /// # Errors
    /// The socket's own; `WriteZero` where it takes no more.
    pub fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut flushed = self.poll_pass(stream, cx);
        if stream.holds_back() {
            flushed = self.poll_held_back(flushed, stream, cx);
        }
        flushed
    }

    /// What the connection has taken may wait in it.
    #[cold]
    fn poll_held_back(
        &mut self,
        passed: Poll<io::Result<()>>,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = match passed {
            Poll::Ready(Ok(())) => Pin::new(&mut *stream).poll_flush(cx),
            passed => passed,
        };
        self.unsent = if flushed.is_pending() { stream.unsent() } else { 0 };
        flushed
    }

    /// Passes everything on, until nothing of it waits any more.
    fn poll_pass(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_taken() {
            let wrote = if self.large.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.small[self.at..]))?
            } else {
                let parts = [
                    IoSlice::new(&self.small[self.at..]),
                    IoSlice::new(&self.large),
                    IoSlice::new(self.tail),
                ];
                let skip = usize::from(self.at == self.small.len());
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &parts[skip..]))?
            };
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += wrote as u64;
            self.advance(wrote);
        }
        self.small.clear();
        self.at = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut wrote: usize) {
        let small = wrote.min(self.small.len() - self.at);
        self.at += small;
        wrote -= small;
        let large = wrote.min(self.large.len());
        self.large.advance(large);
        wrote -= large;
        self.tail = &self.tail[wrote..];
        if self.large.is_empty() {
            self.large = Bytes::new();
        }
    }
}
