//! The balancers there are.

use super::Balancer;
use super::consistent_hash::ConsistentHash;
use super::least_request::LeastRequest;
use super::random::Random;
use super::round_robin::RoundRobin;

/// Which balancer an upstream uses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Kind {
    /// The less busy of two.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// By the hash of a key.
    ConsistentHash,
}

impl Kind {
    /// All, in the order of the documentation.
    pub const ALL: [Kind; 4] = [Kind::LeastRequest, Kind::RoundRobin, Kind::Random, Kind::ConsistentHash];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::LeastRequest => "least_request",
            Kind::RoundRobin => "round_robin",
            Kind::Random => "random",
            Kind::ConsistentHash => "consistent_hash",
        }
    }

    /// A balancer of this kind for a set that is yet to be told by [`Balancer::rebuilt`].
    pub fn build(self) -> Box<dyn Balancer> {
        match self {
            Kind::LeastRequest => Box::new(LeastRequest::default()),
            Kind::RoundRobin => Box::new(RoundRobin::default()),
            Kind::Random => Box::new(Random::default()),
            Kind::ConsistentHash => Box::new(ConsistentHash::default()),
        }
    }
}
