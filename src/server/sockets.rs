//! Which listener has which sockets, and what a new configuration changes about it.
//!
//! Sockets belong to an address: a listener that is renamed, or whose meaning changes, keeps its sockets and every
//! connection that waits in them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::exchange::Name;
use crate::listener::bind::{self, bind};
use crate::listener::ports::{Ours, Own, covers};

/// A listener whose sockets are open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    /// Names its sockets on every core; never used twice in the life of the process.
    pub(super) number: usize,
    /// The listener's name.
    pub(super) name: Name,
    /// The address as configured.
    pub(super) asked: SocketAddr,
    /// The address it has: the system may have chosen the port.
    pub(super) local: SocketAddr,
    /// Its sockets, as the system knows them.
    pub(super) own: Vec<Own>,
}

/// Whatever has a socket: the listeners that are served, and those that are given up but still accept.
#[derive(Default)]
pub(super) struct Listening {
    /// The listeners of the configuration in force.
    pub(super) bound: Vec<Bound>,
    closing: Vec<usize>,
}

impl Listening {
    /// These listeners are open.
    pub(super) fn new(bound: Vec<Bound>) -> Listening {
        Listening { bound, closing: Vec::new() }
    }

    /// Serves these no more. Until [`Listening::closed`] tells otherwise they have their sockets.
    pub(super) fn give_up(&mut self, numbers: &[usize]) {
        self.bound.retain(|bound| !numbers.contains(&bound.number));
        self.closing.extend_from_slice(numbers);
    }

    /// The sockets of these are closed.
    pub(super) fn closed(&mut self, numbers: &[usize]) {
        self.closing.retain(|number| !numbers.contains(number));
    }

    /// All that may have a socket, to be closed: nothing is left.
    pub(super) fn take_all(&mut self) -> Vec<usize> {
        let Listening { bound, closing } = std::mem::take(self);
        closing.into_iter().chain(bound.into_iter().map(|bound| bound.number)).collect()
    }
}

/// What has to be done so that exactly the wanted listeners are open.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Changes {
    /// Sockets that go on under the same name.
    pub(super) kept: Vec<usize>,
    /// Sockets that go on under another name, or for an address that is written otherwise: the one that is asked for now.
    pub(super) renamed: Vec<(usize, Name, SocketAddr)>,
    /// Addresses to bind.
    pub(super) opened: Vec<(Name, SocketAddr)>,
    /// Sockets that nobody wants any more.
    pub(super) closed: Vec<usize>,
}

/// Compares what is open with what is wanted.
pub(super) fn changes(bound: &[Bound], wanted: &[(Name, SocketAddr)]) -> Changes {
    let mut changes = Changes::default();
    let mut free: Vec<&Bound> = bound.iter().collect();
    let mut missing = Vec::new();
    for (name, address) in wanted {
        match free.iter().position(|bound| bound.name == *name && bound.asked == *address) {
            Some(at) => changes.kept.push(free.swap_remove(at).number),
            None => missing.push((Name::clone(name), *address)),
        }
    }
    for (name, address) in missing {
        // A port that the system is to choose is another one for every listener; one that it has chosen may be asked for.
        let same = |bound: &&Bound| (bound.asked == address || bound.local == address) && address.port() != 0;
        match free.iter().position(same) {
            Some(at) => changes.renamed.push((free.swap_remove(at).number, name, address)),
            None => changes.opened.push((name, address)),
        }
    }
    // What a wider address covers stays open: closing it would reset connections that are being completed.
    free.retain(|bound| {
        let by_family = |(_, wide): &&(Name, SocketAddr)| wide.is_ipv4() != bound.local.is_ipv4();
        let Some((name, _)) =
            wanted.iter().filter(|(_, wide)| covers(*wide, bound.local)).min_by_key(by_family)
        else {
            return true;
        };
        if bound.name == *name {
            changes.kept.push(bound.number);
        } else {
            changes.renamed.push((bound.number, Name::clone(name), bound.asked));
        }
        false
    });
    changes.closed = free.iter().map(|bound| bound.number).collect();
    changes.closed.sort_unstable();
    changes
}

/// Newly opened sockets, one a core.
pub(super) struct Opened {
    pub(super) bound: Bound,
    pub(super) sockets: Vec<TcpListener>,
}

/// Addresses that are ours, where no client finds anybody yet.
pub(super) struct Reserved(Vec<(Name, SocketAddr, bind::Bound)>);

/// Opens every address, or none; see [`reserve`] and [`Reserved::open`].
pub(super) fn open(
    wanted: &[(Name, SocketAddr)],
    cores: usize,
    bound: &[Bound],
    next: usize,
) -> Result<Vec<Opened>, String> {
    reserve(wanted, cores, bound)?.open(next)
}

/// Binds every address, or none: what was bound is given up again where another fails. `bound` are the listeners that
/// are open. May block, see [`bind()`].
pub(super) fn reserve(
    wanted: &[(Name, SocketAddr)],
    cores: usize,
    bound: &[Bound],
) -> Result<Reserved, String> {
    let ours = Ours::new(bound.iter().flat_map(|bound| bound.own.iter().copied()).collect());
    let reserve = |(name, address): &(Name, SocketAddr)| {
        let sockets = bind(*address, cores, &ours).map_err(|error| refused(name, *address, &error))?;
        Ok((Name::clone(name), *address, sockets))
    };
    wanted.iter().map(reserve).collect::<Result<_, String>>().map(Reserved)
}

impl Reserved {
    /// Lets clients in, by all of them or by none. The numbers start at `next`.
    pub(super) fn open(self, next: usize) -> Result<Vec<Opened>, String> {
        let open = |(at, (name, asked, sockets)): (usize, (Name, SocketAddr, bind::Bound))| {
            let opened = sockets.listen().and_then(|sockets| {
                let own = sockets.iter().map(Own::of).collect::<io::Result<Vec<_>>>()?;
                Ok((sockets, own))
            });
            let (sockets, own) = opened.map_err(|error| refused(&name, asked, &error))?;
            let local = own.first().map_or(asked, |own| own.address);
            Ok(Opened { bound: Bound { number: next + at, name, asked, local, own }, sockets })
        };
        self.0.into_iter().enumerate().map(open).collect()
    }
}

fn refused(name: &str, address: SocketAddr, error: &io::Error) -> String {
    format!("listener `{name}` {}", cannot_bind(address, error))
}

/// Why an address cannot be bound and what mends it; completes a sentence that begins with who wanted it.
pub(super) fn cannot_bind(address: SocketAddr, error: &io::Error) -> String {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken: stop the process that has it, or choose another port",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: choose another address"
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted: ports below 1024 want the capability CAP_NET_BIND_SERVICE; choose a higher port or grant it"
        }
        _ => return format!("cannot listen on {address}: {error}"),
    };
    format!("cannot listen on {address}: {mend}")
}

#[cfg(test)]
mod tests;
