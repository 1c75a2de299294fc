//! From a socket to a TLS connection. How long it may take is the caller's to say: it drops what takes longer.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use rustls::{ClientConfig, ClientConnection, Error, PeerIncompatible, ServerConfig};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::error::HandshakeError;
use super::session::Session;
use super::socket::Tried;

/// Room for the first message of most clients: with a post-quantum key it is about 2 KiB.
const HELLO: usize = 4 * 1024;

/// The type of a record of a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Records with the fatal alerts `decode_error` and `protocol_version` (RFC 8446 section 6).
const DECODE_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 50];
const PROTOCOL_VERSION: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// A client that was not taken in, with its connection.
pub(in crate::net) enum Refused {
    /// Before the engine had anything to say to it.
    Early(TcpStream),
    /// By the engine.
    Late(Box<Session>),
}

/// Takes a client in. `choose` is given its first message and says how to go on with it, if at all.
///
/// # Errors
/// Why the handshake came to nothing. Where TLS itself failed, the client has been sent an alert, as far as its socket
/// took it, and its connection is given back: closed at once it might be reset, and the alert lost.
pub(in crate::net) async fn accept(
    mut socket: TcpStream,
    choose: impl FnOnce(&ClientHello<'_>) -> Option<Arc<ServerConfig>>,
) -> Result<Session, (HandshakeError, Option<Refused>)> {
    let (mut acceptor, mut begun) = (Acceptor::default(), false);
    let hello = poll_fn(|cx| poll_hello(&mut socket, &mut acceptor, &mut begun, cx)).await;
    let (accepted, rest) = match hello {
        Ok(hello) => hello,
        Err(error @ HandshakeError::Tls(_)) => return Err((error, Some(Refused::Early(socket)))),
        Err(error) => return Err((error, None)),
    };
    let Some(config) = choose(&accepted.client_hello()) else { return Err((HandshakeError::Left, None)) };
    let engine = match accepted.into_connection(config) {
        Ok(engine) => engine,
        Err((error, mut alert)) => {
            send(&mut alert, &socket);
            return Err((error.into(), Some(Refused::Early(socket))));
        }
    };
    let mut session = Session::new(socket, engine.into(), rest);
    match poll_fn(|cx| session.poll_handshake(cx)).await {
        Ok(()) => Ok(session),
        Err(error @ HandshakeError::Tls(_)) => Err((error, Some(Refused::Late(Box::new(session))))),
        Err(error) => Err((error, None)),
    }
}

/// Whether a first message is that of a client which speaks nothing newer than TLS 1.1. The engine misses other things in
/// it first, and would say nothing of the version (RFC 5246 appendix E.1).
fn is_too_old(bytes: &[u8]) -> bool {
    /// The message `client_hello`, which holds the newest version of its client behind its length.
    const CLIENT_HELLO: u8 = 1;
    matches!(bytes, [HANDSHAKE, _, _, _, _, CLIENT_HELLO, _, _, _, 3, 0..=2, ..])
}

/// Sends the alert of the engine, which has none for a first message that it could not even read.
fn send(alert: &mut AcceptedAlert, socket: &TcpStream) {
    match alert.write(&mut Tried(socket)) {
        Ok(0) => drop(socket.try_write(DECODE_ERROR)),
        Ok(_) => drop(alert.write_all(&mut Tried(socket))),
        Err(_) => {}
    }
}

/// Speaks to a server that has to prove to be `name`.
///
/// # Errors
/// Why the handshake came to nothing.
pub(in crate::net) async fn connect(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Session, HandshakeError> {
    let engine = ClientConnection::new(config, name)?;
    let mut session = Session::new(socket, engine.into(), Vec::new());
    poll_fn(|cx| session.poll_handshake(cx)).await?;
    Ok(session)
}

/// Reads until the client's first message is whole. Gives what came behind it, too.
fn poll_hello(
    socket: &mut TcpStream,
    acceptor: &mut Acceptor,
    begun: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(Accepted, Vec<u8>), HandshakeError>> {
    loop {
        let mut space = [MaybeUninit::uninit(); HELLO];
        let mut room = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *socket).poll_read(cx, &mut room))?;
        let mut bytes = room.filled();
        let Some(&first) = bytes.first() else { return Poll::Ready(Err(HandshakeError::Left)) };
        // A client that does not even begin to speak TLS could not read an alert.
        if !std::mem::replace(begun, true) {
            if first != HANDSHAKE {
                return Poll::Ready(Err(HandshakeError::NotTls));
            }
            if is_too_old(bytes) {
                let _ = socket.try_write(PROTOCOL_VERSION);
                return Poll::Ready(Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered).into()));
            }
        }
        while !bytes.is_empty() {
            if let Err(error) = acceptor.read_tls(&mut bytes) {
                return Poll::Ready(Err(Error::General(error.to_string()).into()));
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Poll::Ready(Ok((accepted, bytes.to_vec()))),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    send(&mut alert, socket);
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }
}
