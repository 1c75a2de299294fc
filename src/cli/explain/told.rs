//! What is told of a request, before it is written down.

use std::net::{IpAddr, SocketAddr};

use crate::exchange::{Error, Name};
use crate::snapshot::explain::Explanation;

/// What is told of one request.
pub(super) struct Told {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) client: IpAddr,
    pub(super) listener: Name,
    pub(super) address: SocketAddr,
    /// Why this listener.
    pub(super) why: String,
    /// The target as the gate reads it, and the client it takes it to come from.
    pub(super) read: Option<(String, IpAddr)>,
    pub(super) outcome: Result<Explanation, Refused>,
}

/// A request that is refused before anything looks for a route.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) phrase: String,
    pub(super) detail: Option<String>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused {
            status: error.status().as_u16(),
            phrase: error.kind().phrase(),
            detail: error.public_detail().map(str::to_owned),
        }
    }
}
