//! How many client connections are open: over all listeners and cores, and from each client address.
//!
//! A connection is counted when it is accepted and given back when its [`OpenConnection`] is dropped, on whichever core
//! that happens.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError};

use crate::runtime::hash::HashMap;
use crate::runtime::sync::{Mutex, MutexGuard};

/// The bits of an IPv6 address that name a client: a single host commonly has a whole /64.
const IPV6_PREFIX: u32 = 64;

/// From this size on, a table that has become nearly empty gives its memory back.
const SHRINK_FROM: usize = 1024;

/// The open connections of the process; one for all cores.
#[derive(Debug)]
pub struct ConnectionCounts {
    /// What the limit of open files leaves for clients.
    most: u64,
    counts: Mutex<Counts>,
}

/// Both counts are judged and changed in one step: cores never take the last place twice, and what one bound refuses
/// is never counted for the other.
#[derive(Default, Debug)]
struct Counts {
    open: u64,
    /// Only clients that have open connections.
    clients: HashMap<ClientKey, u32>,
}

/// A client of one listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct ClientKey {
    listener: usize,
    address: IpAddr,
}

/// What bounds one new connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct ConnectionBounds {
    /// `overload.max_connections`.
    pub process: Option<u64>,
    /// `limits.connections_per_client` of the listener.
    pub client: Option<u32>,
}

/// Which bound a connection met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BoundReached {
    /// `overload.max_connections`, of so many.
    Process(u64),
    /// What the limit of open files leaves for clients.
    OpenFiles(u64),
    /// `limits.connections_per_client`, of so many.
    Client(u32),
}

impl ConnectionCounts {
    /// Nothing is open yet. No more than `most` connections are taken, whatever the configuration says.
    pub fn new(most: u64) -> Arc<ConnectionCounts> {
        Arc::new(ConnectionCounts { most, counts: Mutex::default() })
    }

    /// The most connections that are taken, whatever the configuration says.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// How many connections are open.
    pub fn open(&self) -> u64 {
        self.lock().open
    }

    /// How many client addresses are in the table.
    pub fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    /// Counts one more connection of a listener. Connections without a client address are not counted for one.
    ///
    /// # Errors
    /// The bound that is reached already.
    pub fn take(
        self: &Arc<Self>,
        bounds: ConnectionBounds,
        listener: usize,
        client: Option<IpAddr>,
    ) -> Result<OpenConnection, BoundReached> {
        let most = bounds.process.unwrap_or(u64::MAX).min(self.most);
        let client = client.map(|address| ClientKey { listener, address: client_address(address) });
        let mut counts = self.lock();
        if counts.open >= most {
            return Err(match bounds.process {
                Some(process) if process == most => BoundReached::Process(process),
                _ => BoundReached::OpenFiles(most),
            });
        }
        if let Some(key) = client {
            let open = counts.clients.get(&key).copied().unwrap_or(0);
            if let Some(most) = bounds.client.filter(|most| open >= *most) {
                return Err(BoundReached::Client(most));
            }
            counts.clients.insert(key, open + 1);
        }
        counts.open += 1;
        drop(counts);
        Ok(OpenConnection { counts: Arc::clone(self), client })
    }

    fn give_back(&self, client: Option<ClientKey>) {
        let mut counts = self.lock();
        counts.open -= 1;
        let Some(key) = client else { return };
        let clients = &mut counts.clients;
        match clients.get_mut(&key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                clients.remove(&key);
            }
        }
        if clients.capacity() >= SHRINK_FROM && clients.len() < clients.capacity() / 8 {
            let room = clients.len() * 2;
            clients.shrink_to(room);
        }
    }

    /// Nothing under the lock panics half-way: a poisoned lock changes nothing.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection; it is given back when this is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    counts: Arc<ConnectionCounts>,
    client: Option<ClientKey>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counts.give_back(self.client);
    }
}

/// The address that stands for a client: an IPv4 address whole, an IPv6 address by its /64.
pub fn client_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> IPV6_PREFIX << IPV6_PREFIX)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
