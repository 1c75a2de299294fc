//! A connection: reading, writing, ending it, and what the system says of it.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::server::ClientHello;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::facts::{Facts, TlsFacts};
use super::tls::HandshakeError;
use super::tls::handshake::{self, Refused};
use super::tls::session::{Nothing, Session};

/// A connection that is no socket of the system: the two ends meet in memory.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ready once there is something to read, the end included. As with a socket, it shares the one waker of reads.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether there is nothing to read, neither bytes nor the end.
    fn is_quiet(&self) -> bool;

    /// Whether the other end has reset it.
    fn has_failed(&self) -> bool;

    /// Says that nothing more will be written.
    fn finish_writing(&self);

    /// What its handshake agreed on; nothing on a connection without TLS.
    fn tls(&self) -> Option<TlsFacts> {
        None
    }
}

/// A connection, of the system's network, with TLS or without, or of one in memory.
pub struct Stream(Kind);

enum Kind {
    Tcp(TcpStream),
    /// Boxed, so that a connection without TLS does not carry its size.
    Tls(Box<RefCell<Session>>),
    Memory(Box<dyn Duplex>),
}

/// The least room that a read is given.
const LEAST_ROOM: usize = 4 * 1024;

/// A connection between two threads: it belongs to no runtime.
#[derive(Debug)]
pub struct Detached(std::net::TcpStream);

impl Stream {
    /// A connection that was accepted or opened.
    pub(super) fn tcp(stream: TcpStream) -> Stream {
        Stream(Kind::Tcp(stream))
    }

    /// Opens a connection of the system's network.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Stream> {
        TcpStream::connect(address).await.map(Stream::tcp)
    }

    /// Takes a client in that speaks TLS. `choose` is given its first message and says how to go on, if at
    /// all. It has no deadline of its own. Only for a socket.
    ///
    /// # Errors
    /// Why the handshake came to nothing. With it comes the connection where the client has been sent an alert: it is to
    /// be closed in stages ([`Stream::finish_writing`], [`Stream::discard_rest`]), so that the client can read that.
    pub async fn accept_tls(
        self,
        choose: impl FnOnce(&ClientHello<'_>) -> Option<Arc<ServerConfig>>,
    ) -> Result<Stream, (HandshakeError, Option<Stream>)> {
        let socket = self.into_socket().map_err(|error| (error.into(), None))?;
        match handshake::accept(socket, choose).await {
            Ok(session) => Ok(Stream::tls(session)),
            Err((error, refused)) => {
                let stream = refused.map(|refused| match refused {
                    Refused::Early(socket) => Stream::tcp(socket),
                    Refused::Late(session) => Stream::tls(*session),
                });
                Err((error, stream))
            }
        }
    }

    /// Speaks TLS to a server that has to prove to be `name`. It has no deadline of its own. Only for a socket.
    ///
    /// # Errors
    /// Why the handshake came to nothing.
    pub async fn connect_tls(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Stream, HandshakeError> {
        handshake::connect(self.into_socket()?, config, name).await.map(Stream::tls)
    }

    fn tls(session: Session) -> Stream {
        Stream(Kind::Tls(Box::new(RefCell::new(session))))
    }

    fn into_socket(self) -> io::Result<TcpStream> {
        match self.0 {
            Kind::Tcp(socket) => Ok(socket),
            Kind::Tls(_) | Kind::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A connection in memory.
    pub fn memory(duplex: impl Duplex + 'static) -> Stream {
        Stream(Kind::Memory(Box::new(duplex)))
    }

    /// Has every write leave at once: heads and bodies leave in whole writes, and waiting for more to send would only
    /// delay them.
    ///
    /// # Errors
    /// The socket's own.
    pub fn send_at_once(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.set_nodelay(true),
            Kind::Tls(session) => session.borrow().socket().set_nodelay(true),
            Kind::Memory(_) => Ok(()),
        }
    }

    /// What is known of a connection that was accepted from an address.
    pub fn facts(&self, peer: SocketAddr) -> Facts {
        match &self.0 {
            Kind::Tcp(stream) => Facts { peer, local: stream.local_addr().ok(), tls: None },
            Kind::Tls(session) => {
                let session = session.borrow();
                let local = session.socket().local_addr().ok();
                Facts { peer, local, tls: Some(Box::new(session.facts())) }
            }
            Kind::Memory(stream) => Facts { peer, local: None, tls: stream.tls().map(Box::new) },
        }
    }

    /// Reads once into the buffer's free room; `0` is the end of the stream.
    ///
    /// A read that fills only a part of the room shows the runtime that the socket is drained, so the next poll waits
    /// without asking the kernel first: give more room than one answer needs.
    ///
    /// # Errors
    /// The socket's own.
    #[inline]
    pub fn poll_read_buffer(
        &mut self,
        buffer: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer),
            Kind::Tls(session) => {
                if buffer.len() == buffer.capacity() {
                    buffer.reserve(LEAST_ROOM);
                }
                session.get_mut().poll_read(buffer, cx)
            }
            Kind::Memory(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer),
        }
    }

    /// Ready once there is something to read, the end included; holds no buffer meanwhile.
    ///
    /// # Errors
    /// The socket's own.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_read_ready(cx),
            // What has come is opened: records of the engine's own are nothing to read.
            Kind::Tls(session) => session.borrow_mut().poll_read(&mut Nothing, cx).map_ok(drop),
            Kind::Memory(stream) => stream.poll_readable(cx),
        }
    }

    /// Whether there is nothing to read, neither bytes nor the end. Costs a system call only where the runtime already
    /// knows that something has happened on the socket.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => {
                let read = stream.try_read(&mut [0u8; 1]);
                matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Kind::Tls(session) => session.borrow_mut().is_quiet(),
            Kind::Memory(stream) => stream.is_quiet(),
        }
    }

    /// Whether the connection has failed (the other end has reset it), found without reading from it.
    pub fn has_failed(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => !matches!(stream.take_error(), Ok(None)),
            Kind::Tls(session) => session.borrow().has_failed(),
            Kind::Memory(stream) => stream.has_failed(),
        }
    }

    /// Whether its TLS handshake has agreed on HTTP/2 (ALPN, RFC 7301).
    pub fn speaks_http2(&self) -> bool {
        match &self.0 {
            Kind::Tcp(_) => false,
            Kind::Tls(session) => session.borrow().speaks_http2(),
            Kind::Memory(stream) => stream.tls().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2")),
        }
    }

    /// Whether its TLS handshake took up an earlier one.
    pub fn is_resumed(&self) -> bool {
        match &self.0 {
            Kind::Tls(session) => session.borrow().is_resumed(),
            Kind::Tcp(_) | Kind::Memory(_) => false,
        }
    }

    /// Whether the other end has left without saying that it had sent everything, where it would say so: what ends with
    /// the connection may not be whole then (RFC 8446 section 6.1).
    pub fn was_cut_off(&self) -> bool {
        match &self.0 {
            Kind::Tls(session) => session.borrow_mut().was_cut_off(),
            Kind::Tcp(_) | Kind::Memory(_) => false,
        }
    }

    /// Whether bytes that count as written may wait until the socket takes more.
    #[inline]
    pub fn holds_back(&self) -> bool {
        matches!(self.0, Kind::Tls(_))
    }

    /// How many bytes that count as written wait until the socket takes more: [`AsyncWrite::poll_flush`] waits for them.
    #[inline]
    pub fn unsent(&self) -> usize {
        match &self.0 {
            Kind::Tls(session) => session.borrow_mut().unsent(),
            Kind::Tcp(_) | Kind::Memory(_) => 0,
        }
    }

    /// Whether the end of the connection is to be a reset: the other end then knows that what it got is not whole.
    pub fn reset_at_end(&self, reset: bool) {
        match &self.0 {
            Kind::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(reset.then_some(Duration::ZERO));
            }
            Kind::Tls(session) => session.borrow_mut().reset_at_end(reset),
            Kind::Memory(_) => {}
        }
    }

    /// Says that nothing more will be sent, so that the other end can read what was sent to its end. A connection that
    /// is gone already is as finished as it can be.
    pub fn finish_writing(&self) {
        match &self.0 {
            Kind::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Write);
            }
            Kind::Tls(session) => session.borrow_mut().finish(),
            Kind::Memory(stream) => stream.finish_writing(),
        }
    }

    /// What still comes will be thrown away, after [`Stream::finish_writing`]: on a connection with TLS it is not opened
    /// any more, and reads give it as it is.
    pub fn discard_rest(&self) {
        if let Kind::Tls(session) = &self.0 {
            session.borrow_mut().discard();
        }
    }

    /// Takes it from its runtime, for another thread.
    ///
    /// # Errors
    /// The system's own; `Unsupported` for a connection in memory or behind a TLS handshake, which stays on its thread.
    pub fn detach(self) -> io::Result<Detached> {
        self.into_socket()?.into_std().map(Detached)
    }
}

impl Detached {
    /// A socket that belongs to no runtime.
    ///
    /// # Errors
    /// The system's own.
    pub fn new(stream: std::net::TcpStream) -> io::Result<Detached> {
        stream.set_nonblocking(true)?;
        Ok(Detached(stream))
    }

    /// Gives it to the runtime of this thread.
    ///
    /// # Errors
    /// The system's own.
    pub fn attach(self) -> io::Result<Stream> {
        TcpStream::from_std(self.0).map(Stream::tcp)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp(stream) => stream.fmt(f),
            Kind::Tls(session) => f.debug_tuple("Tls").field(session.borrow().socket()).finish(),
            Kind::Memory(_) => f.write_str("Memory"),
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, room),
            Kind::Tls(session) => {
                ready!(session.get_mut().poll_read(room, cx))?;
                Poll::Ready(Ok(()))
            }
            Kind::Memory(stream) => Pin::new(stream).poll_read(cx, room),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Tls(session) => session.get_mut().poll_write(&[IoSlice::new(bytes)], cx),
            Kind::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Tls(session) => session.get_mut().poll_out(cx),
            Kind::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Tls(session) => session.get_mut().poll_finish(cx),
            Kind::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Kind::Tls(session) => session.get_mut().poll_write(parts, cx),
            Kind::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
