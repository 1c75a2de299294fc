//! One TLS connection: the engine, the socket below it, and what is between the two.
//!
//! Records are read into the stack and opened from there, so that a connection at rest holds no buffer for them. What
//! was opened stays with the engine until it is taken; once that is a whole record, what lies behind it stays sealed.
//! Outward the engine holds at most 64 KiB of records, which leave in one system call as far as the socket takes them.

use std::io::{self, BufRead, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::{Connection, Error, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::error::HandshakeError;
use super::socket::{Polled, Tried};
use crate::net::facts::TlsFacts;

/// Room for two of the largest records that TLS 1.3 knows (RFC 8446 section 5.2).
const ROOM: usize = 2 * (5 + 16 * 1024 + 256);

/// Room for what is read to be thrown away.
const DISCARDED: usize = 8 * 1024;

/// How often a resting connection is read to find out whether it is quiet.
const QUIET_READS: usize = 4;

/// What is read while nobody waits: session tickets, mostly.
const LOOK: usize = 2 * 1024;

/// Where opened bytes go.
pub(in crate::net) trait Sink {
    /// How many it takes.
    fn room(&self) -> usize;
    /// Takes some, not more than it has room for.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for ReadBuf<'_> {
    fn room(&self) -> usize {
        self.remaining()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

impl Sink for BytesMut {
    fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Takes nothing: what was opened stays with the engine.
pub(in crate::net) struct Nothing;

impl Sink for Nothing {
    fn room(&self) -> usize {
        0
    }

    fn put(&mut self, _: &[u8]) {}
}

/// What can be read without the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Bytes,
    End,
    Nothing,
}

/// How far this side has come with ending the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It may still write.
    Open,
    /// Its last record waits for the socket, whose end follows.
    LastRecord,
    /// All is said.
    Done,
}

/// A TLS connection. Only the thread that polls it knows it.
pub(in crate::net) struct Session {
    socket: TcpStream,
    engine: Connection,
    /// What was read behind a record that nobody has taken yet.
    sealed: Vec<u8>,
    /// Why the engine gave up.
    broken: Option<Error>,
    ending: Ending,
    /// Whether the end is to show that what was sent is not whole.
    reset: bool,
    /// Whether what comes is not opened any more.
    discards: bool,
}

impl Session {
    /// A connection before its handshake, or in the midst of it; `sealed` was read already and is to be opened first.
    pub(super) fn new(socket: TcpStream, engine: Connection, sealed: Vec<u8>) -> Session {
        Session { socket, engine, sealed, broken: None, ending: Ending::Open, reset: false, discards: false }
    }

    /// The socket below.
    pub(in crate::net) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What the handshake agreed on.
    pub(in crate::net) fn facts(&self) -> TlsFacts {
        let server_name = match &self.engine {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        };
        let certificate = self.engine.peer_certificates().and_then(|chain| chain.first());
        TlsFacts {
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            is_13: self.engine.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            alpn: self.engine.alpn_protocol().map(Into::into),
            certificate: certificate.map(|der| der.as_ref().into()),
            terms: None,
        }
    }

    /// Whether both ends have agreed on HTTP/2 (ALPN).
    pub(in crate::net) fn speaks_http2(&self) -> bool {
        self.engine.alpn_protocol() == Some(b"h2")
    }

    /// Whether the handshake took up an earlier one.
    pub(in crate::net) fn is_resumed(&self) -> bool {
        self.engine.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Ready once both ends have agreed. What a server says last may still wait: it leaves with the first bytes that
    /// are written, or as soon as the client is waited for.
    ///
    /// # Errors
    /// Why they have not; the other end has been sent an alert, as far as the socket took it.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            if let Some(error) = self.broken.clone() {
                let _ = self.poll_out(cx);
                self.shut_down();
                return Poll::Ready(Err(error.into()));
            }
            let out = self.poll_out_agreed(cx)?;
            if !self.engine.is_handshaking() {
                return out.map(Ok);
            }
            if !self.sealed.is_empty() {
                self.open_sealed(&mut Nothing);
                continue;
            }
            ready!(self.poll_socket(&mut Nothing, cx))?;
            if self.broken.is_none() && self.engine.is_handshaking() && self.held() == Held::End {
                return Poll::Ready(Err(HandshakeError::Left));
            }
        }
    }

    /// Writes what the handshake wants to say. A server's last word, session tickets, may wait for an answer that they
    /// leave with; what a client says last is waited for by its server.
    fn poll_out_agreed(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, HandshakeError> {
        let agreed = !self.engine.is_handshaking();
        if agreed && matches!(self.engine, Connection::Server(_)) {
            return Ok(Poll::Ready(()));
        }
        match self.poll_out(cx) {
            Poll::Ready(written) => Ok(Poll::Ready(written?)),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Reads into the sink as much as one read of the socket brings, and gives how much that is. `0` is the end of the
    /// stream, or that there is something to read and the sink takes nothing.
    #[inline(never)]
    pub(in crate::net) fn poll_read(
        &mut self,
        sink: &mut impl Sink,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.discards {
            return self.poll_discard(sink, cx);
        }
        let mut taken = self.take(sink);
        loop {
            if taken == 0 && !self.sealed.is_empty() {
                taken = self.open_sealed(sink);
            }
            if taken > 0 || self.held() != Held::Nothing {
                return Poll::Ready(Ok(taken));
            }
            if let Some(error) = &self.broken {
                return Poll::Ready(Err(invalid(error)));
            }
            taken = ready!(self.poll_socket(sink, cx))?;
        }
    }

    /// What comes from here on is thrown away by those who read it, and not opened: the engine would answer a record
    /// that it cannot open with an alert, which has no place behind its `close_notify`.
    pub(in crate::net) fn discard(&mut self) {
        self.discards = true;
    }

    /// Reads bytes as they come, for those who throw them away. What is still to be sent leaves meanwhile.
    #[cold]
    fn poll_discard(&mut self, sink: &mut impl Sink, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        let mut space = [MaybeUninit::uninit(); DISCARDED];
        let mut room = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
        let taken = room.filled().len().min(sink.room());
        sink.put(&room.filled()[..taken]);
        Poll::Ready(Ok(taken))
    }

    /// Whether there is nothing to read, neither bytes nor the end. What the engine takes for itself is not counted.
    #[inline(never)]
    pub(in crate::net) fn is_quiet(&mut self) -> bool {
        // Who sends more records without content than that is not quiet.
        for _ in 0..QUIET_READS {
            if !self.sealed.is_empty() {
                self.open_sealed(&mut Nothing);
            }
            if self.held() != Held::Nothing || self.broken.is_some() {
                return false;
            }
            let mut space = [0; LOOK];
            match self.socket.try_read(&mut space) {
                Ok(0) => return false,
                Ok(len) => self.open(&space[..len], &mut Nothing),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
        }
        false
    }

    /// Whether the connection has failed, found without reading from it.
    pub(in crate::net) fn has_failed(&self) -> bool {
        self.broken.is_some() || !matches!(self.socket.take_error(), Ok(None))
    }

    /// Whether the other end has left without saying that it has sent everything (RFC 8446 section 6.1).
    pub(in crate::net) fn was_cut_off(&mut self) -> bool {
        let mut reader = self.engine.reader();
        matches!(reader.fill_buf(), Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Seals as many bytes as may wait for the socket, and writes what it takes of them. Those that were sealed count
    /// as written: [`Session::poll_out`] waits for them.
    #[inline(never)]
    pub(in crate::net) fn poll_write(
        &mut self,
        parts: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.ending != Ending::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Whole records only: room that a slow socket leaves in between would be filled with small ones.
        ready!(self.poll_out(cx))?;
        let sealed = self.engine.writer().write_vectored(parts)?;
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(sealed))
    }

    /// Ready once the socket has taken all that was sealed.
    #[inline(never)]
    pub(in crate::net) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.engine.wants_write() {
            match self.engine.write_tls(&mut Polled::new(&mut self.socket, cx)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.ending == Ending::LastRecord {
            self.shut_down();
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes wait for the socket.
    #[inline(never)]
    pub(in crate::net) fn unsent(&mut self) -> usize {
        if !self.engine.wants_write() {
            return 0;
        }
        self.engine.process_new_packets().map_or(1, |state| state.tls_bytes_to_write())
    }

    /// Says that nothing more will be sent: `close_notify`, then the end of the socket. What the socket does not take
    /// at once goes out while the other end is read.
    pub(in crate::net) fn finish(&mut self) {
        if self.ending != Ending::Open {
            return;
        }
        self.engine.send_close_notify();
        self.ending = Ending::LastRecord;
        self.try_out();
    }

    /// As [`Session::finish`]; ready once all of it has left.
    pub(in crate::net) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        self.poll_out(cx)
    }

    /// Whether the end is to be a reset: no `close_notify` is sent then.
    pub(in crate::net) fn reset_at_end(&mut self, reset: bool) {
        self.reset = reset;
        let _ = socket2::SockRef::from(&self.socket).set_linger(reset.then_some(Duration::ZERO));
    }

    /// Writes what the socket takes now.
    fn try_out(&mut self) {
        while self.engine.wants_write() {
            match self.engine.write_tls(&mut Tried(&self.socket)) {
                Ok(1..) => {}
                _ => return,
            }
        }
        if self.ending == Ending::LastRecord {
            self.shut_down();
        }
    }

    fn shut_down(&mut self) {
        let _ = socket2::SockRef::from(&self.socket).shutdown(Shutdown::Write);
        self.ending = Ending::Done;
    }

    fn held(&mut self) -> Held {
        match self.engine.reader().fill_buf() {
            Ok([]) => Held::End,
            Ok(_) => Held::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Held::Nothing,
            // The end came without `close_notify`: many clients leave so.
            Err(_) => Held::End,
        }
    }

    /// Moves what is open into the sink.
    fn take(&mut self, sink: &mut impl Sink) -> usize {
        let mut taken = 0;
        while sink.room() > 0 {
            let mut reader = self.engine.reader();
            let Ok(chunk @ [_, ..]) = reader.fill_buf() else { break };
            let len = chunk.len().min(sink.room());
            sink.put(&chunk[..len]);
            reader.consume(len);
            taken += len;
        }
        taken
    }

    /// Opens records into the sink. What the engine does not take, because as much is open as it holds, is kept.
    fn open(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut taken = 0;
        while !bytes.is_empty() && self.broken.is_none() {
            match self.engine.read_tls(&mut bytes) {
                // Nothing behind a `close_notify` is read.
                Ok(0) => return taken,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Other => {
                    self.sealed.extend_from_slice(bytes);
                    return taken;
                }
                Err(error) => self.broken = Some(Error::General(error.to_string())),
            }
            if let Err(error) = self.engine.process_new_packets() {
                self.broken = Some(error);
            }
            taken += self.take(sink);
        }
        taken
    }

    fn open_sealed(&mut self, sink: &mut impl Sink) -> usize {
        let sealed = std::mem::take(&mut self.sealed);
        self.open(&sealed, sink)
    }

    /// Reads the socket once. Not inlined: only a read needs the room on the stack.
    #[inline(never)]
    fn poll_socket(&mut self, sink: &mut impl Sink, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); ROOM];
        let mut room = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.socket).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            // What the engine says by itself (tickets, alerts) leaves with an answer, or now that none is at hand.
            Poll::Pending if self.engine.wants_write() => {
                return match self.poll_out(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Pending,
                };
            }
            Poll::Pending => return Poll::Pending,
        }
        if room.filled().is_empty() {
            // The engine is to know that nothing more comes.
            let _ = self.engine.read_tls(&mut io::empty());
            return Poll::Ready(Ok(0));
        }
        let taken = self.open(room.filled(), sink);
        if self.broken.is_some() {
            // A last word, as far as it can be said at once.
            let _ = self.poll_out(cx);
        }
        Poll::Ready(Ok(taken))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let agreed = !self.engine.is_handshaking() && self.broken.is_none();
        if agreed && !self.reset && self.ending == Ending::Open {
            self.engine.send_close_notify();
            self.try_out();
        }
    }
}

fn invalid(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}
