//! What the work of an upstream beside its calls needs, and how far it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::telemetry::OperatorLog;

use super::background::Guard;
use super::discovery::{Found, Resolver};
use super::endpoint::Endpoint;

/// What the work needs; one for the process.
#[derive(Clone)]
pub struct Tools {
    /// Where it runs.
    pub runtime: Handle,
    /// Who is asked for names; none where the machine's settings cannot be used.
    pub resolver: Option<Resolver>,
    /// Who is told what changes.
    pub log: Arc<OperatorLog>,
}

/// The work that is under way.
#[derive(Default)]
pub(super) struct Tended {
    state: Mutex<State>,
}

/// How far it is.
#[derive(Default)]
pub(super) struct State {
    pub(super) begun: bool,
    /// What was found for each endpoint that is written, or for the one source of all.
    pub(super) found: Vec<Option<Vec<Found>>>,
    pub(super) guards: Vec<Box<dyn std::any::Any + Send>>,
    /// Probers, each with the endpoint that it asks.
    pub(super) probers: Vec<(Arc<Endpoint>, Guard)>,
}

impl Tended {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
