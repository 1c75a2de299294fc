//! Listening sockets: one a core for each address, so that the kernel spreads the connections.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// Binds one socket a core to the address. Port 0 lets the system choose; all sockets then share its choice.
///
/// # Errors
/// The address is taken, also by another process that shares ports, or cannot be bound.
pub fn bind(address: SocketAddr, cores: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Sharing a port would hide that somebody else is there already: ask once without it.
        drop(bound(address, false)?);
    }
    let first = open(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(open(address)?);
    }
    Ok(sockets)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that has the address and takes no connection yet: one that is only there to ask would reset whoever
/// came in.
fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A gate that is started again must not wait for the old one's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` serves IPv4 too, as operators expect of it.
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_socket_that_only_asks_takes_no_connection() {
        let asking = bound("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = asking.local_addr().unwrap().as_socket().unwrap();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_address_that_somebody_has_is_not_shared_with_him() {
        let theirs = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let taken = bind(theirs[0].local_addr().unwrap(), 2).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
