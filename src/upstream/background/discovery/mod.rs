//! Where the endpoints of an upstream are: names that are asked for again and again, and lists in files.
//!
//! Every source gives whole sets, never changes to one, and only when a set differs from the last. What cannot be
//! learned is reported too, and the last set stays in force: a name server that is away, or a file that is still being
//! written, takes no service down. An empty set says that there are no endpoints: an empty list in a file and an SRV
//! record with the target `.` say so at once, a name that is absent after [`Pace::absent_after`].

pub mod dns;
pub mod file;
mod host;
pub mod names;
mod order;
pub mod resolver;
#[cfg(test)]
pub(crate) mod testing;

use std::net::SocketAddr;
use std::sync::Arc;

pub use host::Pace;
pub use names::Names;
pub use resolver::Resolver;

/// One endpoint as a source names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Found {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the calls beside the others; at least 1.
    pub weight: u32,
    /// The priority its SRV record gave it, 0 elsewhere. A set holds one priority only: the best that has addresses.
    pub priority: u16,
    /// Whether the address is what a name means today.
    pub by_name: bool,
}

/// Takes every new set, and why one could not be learned. Called on the runtime that runs the source: it must not
/// block.
pub type Sink = Arc<dyn Fn(Result<Vec<Found>, String>) + Send + Sync>;

/// The most endpoints of one upstream; what a source names beyond them is left out.
pub const MAX_ENDPOINTS: usize = 4096;

/// Tells a sink what is new.
struct Teller {
    sink: Sink,
    last: Option<Vec<Found>>,
}

impl Teller {
    fn new(sink: Sink) -> Teller {
        Teller { sink, last: None }
    }

    /// Tells the set unless it is the one that was told last, in whatever order.
    fn set(&mut self, set: Vec<Found>) {
        let mut sorted = set.clone();
        sorted.sort_unstable();
        if self.last.as_ref() != Some(&sorted) {
            self.last = Some(sorted);
            (self.sink)(Ok(set));
        }
    }

    fn failed(&self, why: String) {
        (self.sink)(Err(why));
    }
}
