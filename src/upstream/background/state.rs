//! How far the background work of an upstream is.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::guard::Guard;
use super::source::EndpointSource;
use crate::upstream::endpoints::Endpoint;
use crate::upstream::limits::breaker::Breaker;

/// The work that is under way.
#[derive(Default)]
pub(in crate::upstream) struct Background {
    /// The sources of the endpoints that are found, each at the place of the endpoint as it is written. Set when the
    /// work begins.
    sources: OnceLock<Box<[Option<Arc<EndpointSource>>]>>,
    state: Mutex<Progress>,
}

/// How far it is.
#[derive(Default)]
pub(in crate::upstream) struct Progress {
    pub(in crate::upstream) begun: bool,
    /// Whether another upstream has taken the work over.
    pub(in crate::upstream) over: bool,
    /// Whether it was logged that there are no endpoints.
    pub(in crate::upstream) empty: bool,
    /// Who checks the health of which endpoint.
    pub(in crate::upstream) probers: Vec<(Arc<Endpoint>, Guard)>,
    /// The breaker that the probers report to: that of the upstream in force, also over reloads.
    pub(in crate::upstream) breaker: Arc<Mutex<Option<Breaker>>>,
}

impl Background {
    pub(in crate::upstream) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sources; none before the work has begun.
    pub(in crate::upstream) fn sources(&self) -> &[Option<Arc<EndpointSource>>] {
        self.sources.get().map_or(&[], |sources| sources)
    }

    pub(in crate::upstream) fn begin(&self, sources: Vec<Option<Arc<EndpointSource>>>) {
        // It begins once.
        let _ = self.sources.set(sources.into());
    }
}
