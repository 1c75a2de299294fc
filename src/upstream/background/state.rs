//! What the work of an upstream beside its calls needs, and how far it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::telemetry::OperatorLog;

use super::discovery::{Found, Resolver};
use super::guard::Guard;
use crate::upstream::endpoints::Endpoint;

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
pub(in crate::upstream) struct Tended {
    state: Mutex<State>,
}

/// How far it is.
#[derive(Default)]
pub(in crate::upstream) struct State {
    pub(in crate::upstream) begun: bool,
    /// What was found for each endpoint that is written, or for the one source of all.
    pub(in crate::upstream) found: Vec<Option<Vec<Found>>>,
    pub(in crate::upstream) guards: Vec<Box<dyn std::any::Any + Send>>,
    /// Probers, each with the endpoint that it asks.
    pub(in crate::upstream) probers: Vec<(Arc<Endpoint>, Guard)>,
}

impl Tended {
    pub(in crate::upstream) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
