//! Where an upstream lives: an address, or a name that is asked for again with every new connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

/// A host and a port.
pub(super) enum Address {
    Ip(SocketAddr),
    Name(String, u16),
}

impl Address {
    pub(super) fn new(host: &str, port: u16) -> Address {
        match host.parse::<IpAddr>() {
            Ok(ip) => Address::Ip(SocketAddr::new(ip, port)),
            Err(_) => Address::Name(host.to_owned(), port),
        }
    }

    /// The address, where no name has to be asked for it.
    pub(super) fn known(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Name(..) => None,
        }
    }

    /// Opens a connection to the first address that answers.
    pub(super) async fn connect(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Address::Ip(address) => open(*address).await,
            Address::Name(host, port) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in tokio::net::lookup_host((host.as_str(), *port)).await? {
                    match open(address).await {
                        Ok(open) => return Ok(open),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address).await?;
    // Heads and bodies leave in whole writes: waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, address))
}
