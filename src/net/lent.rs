//! Reads that lend: connections of one core share one buffer, because each uses what it has read before the next reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::Stream;

/// Room for several heads, and more than one needs: a read that does not fill it shows the runtime that the socket is
/// drained.
const ROOM: usize = 16 * 1024;

/// The buffer that the connections of a core read into, one after the other. What is read is lent until the next read;
/// what must live longer is copied.
pub struct ReadBuffer {
    room: Box<[u8]>,
    /// How many bytes the last read has filled.
    filled: usize,
}

impl Default for ReadBuffer {
    fn default() -> ReadBuffer {
        ReadBuffer { room: vec![0; ROOM].into_boxed_slice(), filled: 0 }
    }
}

impl ReadBuffer {
    /// What the last read gave.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    /// Reads once from anything that can be read; no bytes are the end.
    ///
    /// # Errors
    /// Those of what is read from.
    pub fn poll_fill(
        &mut self,
        from: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.room);
        ready!(from.poll_read(cx, &mut room))?;
        self.filled = room.filled().len();
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// Reads once into a buffer that others use too; no bytes are the end of the stream. They are lent: they are gone with the next read of any connection.
    ///
    /// # Errors
    /// The socket's own.
    #[inline]
    pub fn poll_read_lent(&mut self, buffer: &mut ReadBuffer, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        buffer.poll_fill(Pin::new(self), cx)
    }
}
