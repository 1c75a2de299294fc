//! Names that are looked up without name servers.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// What becomes of a question.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Option<Vec<IpAddr>>> + Send + 'a>>;

/// Answers questions in place of the name servers of the system: names of a network in memory.
pub trait Names: Send + Sync {
    /// The addresses of a host; none where there is no such name; nothing where the name server failed.
    fn addresses<'a>(&'a self, host: &'a str) -> Asked<'a>;
}
