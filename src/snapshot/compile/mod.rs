//! Configuration into snapshot: names resolved, kinds built, every fault reported at once.
//!
//! `check` and `run` take the same way; `check` throws the snapshot away. Nothing here opens a socket or starts a
//! task.

mod listeners;
mod policies;
mod rules;
mod upstreams;

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Config, Diagnostics, Vocabulary};
use crate::policy;
use crate::store::memory::MemoryStore;
use crate::store::{Clock, Store, SystemClock};
use crate::telemetry::metrics::Metrics;

use super::Snapshot;

/// What compiling needs beside the configuration; one for the life of the process.
pub struct Environment {
    /// How many cores there are.
    pub cores: usize,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// Where limits count; it outlives every snapshot, so a reload gives nobody a new budget.
    pub store: Arc<dyn Store>,
    /// Where limits take the time from.
    pub clock: Arc<dyn Clock>,
}

impl Environment {
    /// The environment of a process with so many cores.
    pub fn new(cores: usize) -> Environment {
        Environment {
            cores,
            metrics: Metrics::new(cores),
            store: Arc::new(MemoryStore::new(crate::store::memory::DEFAULT_MAX_KEYS)),
            clock: Arc::new(SystemClock),
        }
    }
}

/// What a snapshot was compiled from.
pub struct Sources {
    /// The configuration as written.
    pub config: Arc<Config>,
}

/// The kinds of policies, as the configuration must know them to read a file.
pub fn vocabulary() -> Vocabulary<'static> {
    Vocabulary { policies: policy::kinds::NAMES, later: policy::kinds::LATER }
}

/// Compiles a configuration. What is unchanged since `previous` keeps its objects, and with them connections.
///
/// `None` where `out` has got an error.
pub fn compile(
    config: &Arc<Config>,
    previous: Option<&Snapshot>,
    environment: &Environment,
    out: &Diagnostics,
) -> Option<Snapshot> {
    let mut upstreams = upstreams::Upstreams::declare(config, previous, environment.cores);
    let definitions = policies::Definitions::build(config, environment, out);
    let listeners = listeners::compile(config, &mut upstreams, &definitions, environment, out);
    if out.has_errors() {
        return None;
    }
    Some(Snapshot {
        version: previous.map_or(1, |previous| previous.version + 1),
        made: SystemTime::now(),
        listeners,
        upstreams: upstreams.into_list(),
        identity_headers: definitions.identity_headers(),
        admin: config.admin.as_ref().map(|admin| admin.value),
        sources: Sources { config: Arc::clone(config) },
    })
}
