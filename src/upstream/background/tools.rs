//! What the background work of an upstream needs.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::telemetry::OperatorLog;

use super::discovery::Resolver;

/// What the work needs; one for the process.
#[derive(Clone)]
pub struct Tools {
    /// Where it runs: on one thread, so that nothing comes between the steps of a take-over.
    pub runtime: Handle,
    /// Who is asked for names.
    pub resolver: Resolver,
    /// Where changes are logged.
    pub log: Arc<OperatorLog>,
}
