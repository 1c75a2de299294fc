//! Listening sockets: one a core for each address, so that the kernel spreads the connections.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::ports::Ours;

/// How many connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// Sockets that have their address and take no connection yet, one a core.
pub struct Bound(Vec<Socket>);

/// Binds one socket a core to the address. Port 0 lets the system choose; all sockets then share its choice. `ours` are
/// the sockets by which this process listens already: they may be on the same port. May block, to read a table of the
/// system.
///
/// # Errors
/// The address is taken, also by another process that shares ports, or cannot be bound.
pub fn bind(address: SocketAddr, cores: usize, ours: &Ours) -> io::Result<Bound> {
    if address.port() != 0 {
        // Sharing a port would hide that somebody else is there already: ask once without it.
        match bound(address, false) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse || !ours.alone_at(address) => {
                return Err(error);
            }
            _ => {}
        }
    }
    let first = bound(address, true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(bound(address, true)?);
    }
    Ok(Bound(sockets))
}

impl Bound {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// The system's own: somebody else was faster.
    pub fn listen(self) -> io::Result<Vec<TcpListener>> {
        let listen = |socket: Socket| socket.listen(BACKLOG).map(|()| socket.into());
        self.0.into_iter().map(listen).collect()
    }
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
    use crate::listener::ports::Own;

    #[test]
    fn a_socket_that_only_asks_takes_no_connection() {
        let asking = bound("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = asking.local_addr().unwrap().as_socket().unwrap();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    fn listen(address: &str, ours: &[Own]) -> io::Result<Vec<TcpListener>> {
        bind(address.parse().unwrap(), 2, &Ours::new(ours.to_vec())).and_then(Bound::listen)
    }

    fn own(sockets: &[TcpListener]) -> Vec<Own> {
        sockets.iter().map(|socket| Own::of(socket).unwrap()).collect()
    }

    #[test]
    fn an_address_that_somebody_has_is_not_shared_with_him() {
        let theirs = listen("127.0.0.1:0", &[]).unwrap();
        let ours = own(&listen("127.0.0.1:0", &[]).unwrap());
        for ours in [&ours[..], &[]] {
            let taken = listen(&theirs[0].local_addr().unwrap().to_string(), ours).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn an_address_that_is_bound_takes_no_connection_until_it_listens() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 2, &Ours::default()).unwrap();
        let address = bound.0[0].local_addr().unwrap().as_socket().unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listening = bound.listen().unwrap();
        TcpStream::connect(address).unwrap();
    }

    /// Every address that a port can be had on, with one that is served already: own sockets do not count as taken,
    /// and another process that shares the port is found.
    #[test]
    fn a_port_that_is_ours_can_be_had_on_every_other_address_too() {
        let all = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::]", "[::1]"];
        let (mut pairs, mut thirds) = (Vec::new(), 0);
        for from in all {
            for to in all.into_iter().filter(|to| *to != from) {
                // One that is free on every address.
                let Ok(free) = listen("[::]:0", &[]).or_else(|_| listen("0.0.0.0:0", &[])) else {
                    panic!("no port is free")
                };
                let port = free[0].local_addr().unwrap().port();
                drop(free);
                let Ok(had) = listen(&format!("{from}:{port}"), &[]) else { continue };
                let wanted = format!("{to}:{port}");
                let ours = own(&had);
                let more = match listen(&wanted, &ours) {
                    Ok(more) => more,
                    Err(error) if error.kind() != io::ErrorKind::AddrInUse => continue,
                    Err(error) => panic!("{from} to {to}: {error}"),
                };
                assert_eq!(more.len(), 2);
                drop(more);
                let overlap = listen(&wanted, &[]).is_err();
                let reaches = |a: &str, b: &str| {
                    let at = |text: &str| format!("{text}:{port}").parse().unwrap();
                    crate::listener::ports::covers(at(a), at(b))
                };
                assert_eq!(overlap, reaches(from, to) || reaches(to, from), "{from} to {to}, not ours");
                pairs.push((from, to));
                // Another one that shares the port on an address that ours is not in the way of.
                for third in all.into_iter().filter(|third| ![from, to].contains(third)) {
                    let Ok(theirs) = listen(&format!("{third}:{port}"), &ours) else { continue };
                    let taken = listen(&wanted, &ours);
                    let hides = reaches(third, to) || reaches(to, third);
                    assert_eq!(taken.is_err(), hides, "{from} to {to}, {third} is theirs");
                    drop(theirs);
                    thirds += 1;
                }
            }
        }
        // A machine may have no IPv6, and only Linux has all of 127.0.0.0/8.
        let must = if cfg!(target_os = "linux") { &all[..3] } else { &["127.0.0.1", "0.0.0.0"][..] };
        for (from, to) in must.iter().flat_map(|from| must.iter().map(move |to| (*from, *to))) {
            assert!(from == to || pairs.contains(&(from, to)), "{from} to {to} was not judged");
        }
        assert!(thirds > 0 || !cfg!(target_os = "linux"), "no other socket was judged");
    }
}
