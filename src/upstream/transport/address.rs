//! Where an upstream lives: an address, or a name that is asked for again and again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::runtime::{clock, random, time};

/// How long the addresses of a name are used before it is asked for again.
const FRESH: Duration = Duration::from_secs(5);

/// How long a connection to a name may be used again and again, at least and at most: a service that moves is then
/// followed also by those who never stop calling it, and not by all of them at once.
const LIFETIME: std::ops::Range<u64> = 40_000..60_000;

/// A host and a port.
pub(in crate::upstream) enum Address {
    Ip(SocketAddr),
    Name(Name),
}

/// A name and what it was last said to mean.
pub(in crate::upstream) struct Name {
    host: String,
    port: u16,
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    /// Held while the name is asked for: one question at a time, so that a resolver that is away gathers no crowd.
    asking: tokio::sync::Mutex<()>,
}

impl Address {
    pub(in crate::upstream) fn new(host: &str, port: u16) -> Address {
        match host.parse::<IpAddr>() {
            Ok(ip) => Address::Ip(SocketAddr::new(ip, port)),
            Err(_) => Address::Name(Name {
                host: host.to_owned(),
                port,
                known: Mutex::new(None),
                asking: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// Whether it is this name or address, and this port.
    pub(in crate::upstream) fn is(&self, (host, port): (&str, u16)) -> bool {
        match self {
            Address::Ip(address) => address.port() == port && address.ip().to_string() == host,
            Address::Name(name) => name.port == port && name.host == host,
        }
    }

    /// The address, where no name has to be asked for it.
    pub(in crate::upstream) fn known(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Name(_) => None,
        }
    }

    /// How long a new connection may live, where its address is only what a name means today.
    pub(in crate::upstream) fn lifetime(&self) -> Option<Duration> {
        match self {
            Address::Ip(_) => None,
            Address::Name(_) => Some(Duration::from_millis(random::u64(LIFETIME))),
        }
    }

    /// Opens a connection, by `end` at the latest: to any of the addresses, and to the others where one does not
    /// answer in its share of the time.
    pub(in crate::upstream) async fn connect(&self, end: Instant) -> io::Result<(TcpStream, SocketAddr)> {
        let name = match self {
            Address::Ip(address) => return open(*address).await,
            Address::Name(name) => name,
        };
        let addresses = name.addresses().await?;
        let first = random::usize(..addresses.len().max(1));
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for tried in 0..addresses.len() {
            let address = addresses[(first + tried) % addresses.len()];
            let left = end.saturating_duration_since(clock::now()) / (addresses.len() - tried) as u32;
            match time::timeout(left, open(address)).await {
                Ok(Ok(open)) => return Ok(open),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        // What the name meant may have changed.
        name.forget();
        Err(last)
    }
}

impl Name {
    fn fresh(&self) -> Option<Vec<SocketAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .filter(|(asked, _)| clock::since(*asked) < FRESH)
            .map(|(_, addresses)| addresses.clone())
    }

    fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.fresh() {
            return Ok(addresses);
        }
        let _asking = self.asking.lock().await;
        if let Some(addresses) = self.fresh() {
            return Ok(addresses);
        }
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((clock::now(), addresses.clone()));
        Ok(addresses)
    }
}

async fn open(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address).await?;
    // Heads and bodies leave in whole writes: waiting for more to send would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, address))
}
