//! Where connections come from and go to: sockets that accept, and addresses that are dialled.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::stream::{Detached, Stream};
use super::tls::client::{Protocol, Secure};

/// A connection that is being opened.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;

/// Opens connections in place of the system's network.
pub trait Dial: Send + Sync {
    /// Opens a connection to an address.
    fn dial(&self, address: SocketAddr) -> Dialling<'_>;
}

/// The network that services are reached by: the system's, or one in memory in which everything is decided by a seed.
#[derive(Clone, Default)]
pub struct Network(Option<Arc<dyn Dial>>);

impl Network {
    /// A network in memory.
    pub fn memory(dial: Arc<dyn Dial>) -> Network {
        Network(Some(dial))
    }

    /// Opens a connection whose writes leave at once.
    ///
    /// # Errors
    /// The system's own.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let stream = match &self.0 {
            None => Stream::connect(address).await?,
            Some(dial) => dial.dial(address).await?,
        };
        stream.send_at_once()?;
        Ok(stream)
    }
}

/// Where the connections of one endpoint lead.
#[derive(Clone)]
pub struct Destination {
    /// What it is reached by.
    pub network: Network,
    /// Its address.
    pub address: SocketAddr,
    /// How TLS is spoken there, if it is.
    pub secure: Option<Secure>,
}

impl Destination {
    /// An endpoint without TLS on the system's network.
    pub fn plain(address: SocketAddr) -> Destination {
        Destination { network: Network::default(), address, secure: None }
    }

    /// Opens a connection over which this protocol is to be spoken.
    ///
    /// # Errors
    /// The system's own, or why the TLS handshake came to nothing.
    pub async fn connect(&self, protocol: Protocol) -> io::Result<Stream> {
        open(&self.network, self.address, self.secure.as_ref(), protocol).await
    }
}

/// Opens a connection over which a protocol is to be spoken, with TLS where that is spoken there.
///
/// # Errors
/// The system's own, or why the TLS handshake came to nothing.
pub async fn open(
    network: &Network,
    address: SocketAddr,
    secure: Option<&Secure>,
    protocol: Protocol,
) -> io::Result<Stream> {
    let stream = network.connect(address).await?;
    match secure {
        None => Ok(stream),
        // Boxed: a connection without TLS has no room for a handshake.
        Some(secure) => Box::pin(secure.over(stream, protocol)).await,
    }
}

/// A listening socket.
pub struct Listener(tokio::net::TcpListener);

impl Listener {
    /// A socket that is bound and non-blocking, on the runtime of this thread.
    ///
    /// # Errors
    /// The system's own.
    pub fn new(socket: std::net::TcpListener) -> io::Result<Listener> {
        tokio::net::TcpListener::from_std(socket).map(Listener)
    }

    /// The next connection and its peer.
    ///
    /// # Errors
    /// The system's own.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream::tcp(stream), peer))
    }

    /// Takes it from its runtime.
    ///
    /// # Errors
    /// The system's own.
    pub fn into_queue(self) -> io::Result<Queue> {
        self.0.into_std().map(Queue)
    }
}

/// A listening socket that takes no more than what the kernel holds already. It is asked directly: a runtime's word
/// about it may be out of date.
pub struct Queue(std::net::TcpListener);

impl Queue {
    /// The next connection that waits; `WouldBlock` where there is none.
    ///
    /// # Errors
    /// The system's own.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept()?;
        Ok((Detached::new(stream)?.attach()?, peer))
    }
}
