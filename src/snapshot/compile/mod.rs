//! Configuration into snapshot: names resolved, kinds built, every fault reported at once.
//!
//! `check` and `run` take the same way; `check` throws the snapshot away. Nothing here opens a socket or starts a
//! task.

mod environment;
mod listeners;
mod policies;
mod rules;
mod tls;
mod trailers;
mod upstream_tls;
mod upstreams;

use std::sync::Arc;

use crate::config::{Config, Diagnostics, Vocabulary};
use crate::policy;
use crate::runtime::clock;

use super::Snapshot;

pub use environment::{Environment, Sources};

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
    let mut upstreams = upstreams::Upstreams::declare(config, previous, environment, out);
    let definitions = policies::Definitions::build(config, previous, environment, out);
    let listeners = listeners::compile(config, previous, &mut upstreams, &definitions, environment, out);
    if out.has_errors() {
        return None;
    }
    Some(Snapshot {
        version: previous.map_or(1, |previous| previous.version + 1),
        made: clock::wall(),
        listeners,
        upstreams: upstreams.into_list(),
        identity_headers: definitions.identity_headers(),
        pseudonym: Arc::clone(&environment.pseudonym),
        admin: config.admin.as_ref().map(|admin| admin.value),
        sources: Sources { config: Arc::clone(config), auth: definitions.into_auth() },
    })
}

#[cfg(test)]
mod tests;
