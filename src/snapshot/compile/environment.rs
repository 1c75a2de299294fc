//! What compiling is given, and what a snapshot remembers of it.

use crate::runtime::hash::HashMap;
use std::sync::Arc;

use crate::cache::Cache;
use crate::config::{CacheBounds, Config};
use crate::exchange::{Name, Pseudonym};
use crate::net::Network;
use crate::policy::authenticate::jwt::Jwt;
use crate::runtime::random;
use crate::store::SystemClock;
use crate::store::registry::Registry;
use crate::telemetry::OperatorLog;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Tools;

/// What compiling needs beside the configuration; one for the life of the process.
pub struct Environment {
    /// How many cores there are.
    pub cores: usize,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// Where limits count; it outlives every snapshot, so a reload gives nobody a new budget.
    pub counters: Arc<Registry>,
    /// The store of answers; it outlives every snapshot.
    pub cache: Arc<Cache>,
    /// The network that services are reached by.
    pub network: Network,
    /// How the process names itself to services.
    pub pseudonym: Arc<Pseudonym>,
    /// What the background work of upstreams needs; none where a configuration is only checked.
    pub tools: Option<Tools>,
    /// Where a route tells, at the level debug, that its `match` could not be evaluated.
    pub log: Option<Arc<OperatorLog>>,
}

impl Environment {
    /// The environment of a process that serves, with a name that no other process has.
    pub fn serving(cores: usize) -> Environment {
        Environment { pseudonym: Arc::new(Pseudonym::new(random::u32(..))), ..Environment::new(cores) }
    }

    /// The environment of a process with so many cores.
    pub fn new(cores: usize) -> Environment {
        Environment {
            cores,
            metrics: Metrics::new(cores),
            counters: Arc::new(Registry::new(Arc::new(SystemClock))),
            cache: Arc::new(Cache::bounded(CacheBounds::default())),
            network: Network::default(),
            pseudonym: Arc::new(Pseudonym::new(0)),
            tools: None,
            log: None,
        }
    }
}

/// What a snapshot was compiled from, and what the next one may take over.
pub struct Sources {
    /// The configuration as written.
    pub config: Arc<Config>,
    /// The authenticators by name: one whose definition is unchanged goes on, with the tokens it knows.
    pub auth: HashMap<Name, Arc<Jwt>>,
}
