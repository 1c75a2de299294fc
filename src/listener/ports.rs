//! Who listens on a port, as the system reports it.
//!
//! Sockets that share a port (`SO_REUSEPORT`) hide one another: the kernel lets every process of one user join. Whether
//! somebody else is there is asked by a socket that does not share; where this process has sockets on the port itself
//! that says nothing, and the system's table of listening sockets is read in its place.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// A listening socket of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Where it listens.
    pub address: SocketAddr,
    /// The number by which the system's table names it; none where there is no such table.
    pub inode: Option<u64>,
}

impl Own {
    /// This socket.
    ///
    /// # Errors
    /// The system's own.
    pub fn of(socket: &TcpListener) -> io::Result<Own> {
        let inode = std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        Ok(Own { address: socket.local_addr()?, inode: inode.ok().map(|inode| inode.ino()) })
    }
}

/// Whether a socket on `wide` takes all connections to `narrow`: a wildcard of the same port, `[::]` also those of IPv4.
pub fn covers(wide: SocketAddr, narrow: SocketAddr) -> bool {
    let covers = match (wide.ip(), narrow.ip().to_canonical()) {
        (IpAddr::V4(wide), IpAddr::V4(_)) => wide.is_unspecified(),
        (IpAddr::V6(wide), _) => wide.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    covers && wide.port() == narrow.port()
}

/// Whether some connection could come to either of two addresses.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    plain(one) == plain(other) || covers(one, other) || covers(other, one)
}

/// The sockets by which this process listens, to be asked about while addresses are bound, on a thread that may block.
/// The system's table has a line for each connection too: it is read once, and only where an address overlaps.
#[derive(Default)]
pub struct Ours {
    own: Vec<Own>,
    /// All that listens; none where the system has no such table.
    table: OnceCell<Option<Vec<(SocketAddr, u64)>>>,
}

impl Ours {
    /// These sockets.
    pub fn new(own: Vec<Own>) -> Ours {
        Ours { own, table: OnceCell::new() }
    }

    /// Whether all that listens where `address` would is ours, and something is. Without a table of the system, what is
    /// ours is all that is known.
    pub(super) fn alone_at(&self, address: SocketAddr) -> bool {
        if !self.own.iter().any(|own| overlap(own.address, address)) {
            return false;
        }
        let Some(table) = self.table.get_or_init(|| listening().ok()) else { return true };
        let known = |inode: u64| self.own.iter().any(|own| own.inode == Some(inode));
        table.iter().all(|(other, inode)| !overlap(*other, address) || known(*inode))
    }
}

/// All sockets that listen, with the numbers of their inodes.
fn listening() -> io::Result<Vec<(SocketAddr, u64)>> {
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let file = match File::open(table) {
            Ok(file) => file,
            // A kernel without IPv6 has no second table.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines() {
            found.extend(entry(&line?));
        }
    }
    Ok(found)
}

/// One line of the table, where it is a listening socket (`proc_pid_net(5)`): address and port in hexadecimal, the words
/// of an address in the machine's order of bytes.
fn entry(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut words = line.split_ascii_whitespace();
    let (local, state) = (words.nth(1)?, words.nth(1)?);
    if state != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut octets = [0; 16];
            octets.iter_mut().zip(words.as_flattened()).for_each(|(octet, byte)| *octet = *byte);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some((SocketAddr::new(ip, port), inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_covers_its_family_and_the_one_of_ipv6_both() {
        for (wide, narrow) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "[::ffff:127.0.0.1]:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::]:80", "0.0.0.0:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert!(covers(at(wide), at(narrow)), "{wide} {narrow}");
        }
        for (one, other) in [
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("0.0.0.0:80", "[::]:80"),
            ("0.0.0.0:80", "[::1]:80"),
            ("0.0.0.0:80", "127.0.0.1:81"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert!(!covers(at(one), at(other)), "{one} {other}");
        }
        assert!(overlap(at("127.0.0.1:80"), at("[::ffff:127.0.0.1]:80")));
        assert!(!overlap(at("127.0.0.1:80"), at("127.0.0.2:80")));
    }

    #[test]
    fn lines_of_the_table_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0";
        if cfg!(target_endian = "little") {
            assert_eq!(entry(line), Some((at("127.0.0.1:8080"), 4711)));
            let six = line.replace("0100007F", "00000000000000000000000001000000");
            assert_eq!(entry(&six), Some((at("[::1]:8080"), 4711)));
        }
        assert_eq!(entry(&line.replace(" 0A ", " 01 ")), None, "a connection");
        for broken in ["", "sl local_address", "0: 0100007F 0 0A", "0: 01007F:1F90 0 0A 0 0 0 0 0 1"] {
            assert_eq!(entry(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_is_ours_is_told_from_what_is_not() {
        let (ours, theirs) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let own = Own::of(&ours).unwrap();
        let wide =
            |of: &TcpListener| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), of.local_addr().unwrap().port());
        let known = Ours::new(vec![own]);
        assert!(known.alone_at(wide(&ours)) && known.alone_at(own.address));
        assert!(!known.alone_at(wide(&theirs)));
        let wrong = Own { address: theirs.local_addr().unwrap(), ..own };
        assert!(!Ours::new(vec![own, wrong]).alone_at(wide(&theirs)), "there is one that is not ours");
    }

    #[test]
    fn the_table_is_read_once_and_only_where_an_address_overlaps() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = Own::of(&socket).unwrap();
        let ours = Ours::new(vec![own]);
        assert!(!ours.alone_at(SocketAddr::new(own.address.ip(), 1)) && ours.table.get().is_none());
        assert!(ours.alone_at(own.address));
        let read = ours.table.get().unwrap().as_ref().map(Vec::as_ptr);
        assert!(read.is_some() || !cfg!(target_os = "linux"));
        assert!(ours.alone_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), own.address.port())));
        assert_eq!(ours.table.get().unwrap().as_ref().map(Vec::as_ptr), read);
    }
}
