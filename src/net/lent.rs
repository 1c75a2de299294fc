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
pub struct ReadBuffer(Box<[u8]>);

impl Default for ReadBuffer {
    fn default() -> ReadBuffer {
        ReadBuffer(vec![0; ROOM].into_boxed_slice())
    }
}

impl ReadBuffer {
    /// The first bytes of the last read.
    pub fn bytes(&self, len: usize) -> &[u8] {
        &self.0[..len]
    }
}

impl Stream {
    /// Reads once into a buffer that others use too, and gives how many bytes that were; `0` is the end of the stream.
    /// The bytes are lent: they are gone with the next read of any connection.
    ///
    /// # Errors
    /// The socket's own.
    pub fn poll_read_lent(
        &mut self,
        buffer: &mut ReadBuffer,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut buffer.0);
        ready!(Pin::new(self).poll_read(cx, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }
}
