//! The gate's numbers: counters of each core, summed when somebody reads them.
//!
//! A counter has one writer, so counting is a load and a store and never a locked instruction. Labels come from the
//! configuration alone (listener, route, upstream) or from a table of ours: what clients send makes no new series.

mod aggregates;
mod cells;
pub mod exposition;
mod render;
mod tls;

use crate::runtime::hash::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use aggregates::{AggregateMetrics, SOURCE_OUTCOMES, SourceMetrics};
pub use cells::{LimitMetrics, ListenerMetrics, Outcome, RefusedBy, RouteMetrics, UpstreamMetrics, Verdict};
pub use tls::{Expiry, HANDSHAKES, HandshakeMetrics};

use crate::exchange::{CoreId, ErrorKind, Name};
use cells::{ErrorCells, GrpcCells, PerCore};

type Routes = BTreeMap<Name, BTreeMap<Name, Arc<RouteMetrics>>>;

/// Every number of the process; one for its whole life, over all reloads.
pub struct Metrics {
    cores: usize,
    routes: Mutex<Routes>,
    listeners: Mutex<BTreeMap<Name, Arc<ListenerMetrics>>>,
    handshakes: Mutex<BTreeMap<Name, Arc<HandshakeMetrics>>>,
    certificates: Mutex<Vec<Expiry>>,
    upstreams: Mutex<BTreeMap<Name, Arc<UpstreamMetrics>>>,
    limits: Mutex<BTreeMap<Name, Arc<LimitMetrics>>>,
    aggregates: aggregates::Aggregates,
    errors: PerCore<ErrorCells>,
    grpc: PerCore<GrpcCells>,
    access_log_dropped: Arc<AtomicU64>,
    reloads: Reloads,
}

#[derive(Default)]
struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_failed: AtomicBool,
    version: AtomicU64,
    loaded_at: AtomicU64,
}

/// The names of a configuration: those whose numbers are kept.
#[derive(Default, Debug)]
pub struct Names {
    /// The routes of each listener.
    pub routes: HashMap<Name, HashSet<Name>>,
    /// The upstreams.
    pub upstreams: HashSet<Name>,
}

impl Metrics {
    /// All zero, for so many cores.
    pub fn new(cores: usize) -> Arc<Metrics> {
        Arc::new(Metrics {
            cores,
            routes: Mutex::default(),
            listeners: Mutex::default(),
            handshakes: Mutex::default(),
            certificates: Mutex::default(),
            upstreams: Mutex::default(),
            limits: Mutex::default(),
            aggregates: aggregates::Aggregates::default(),
            errors: PerCore::new(cores),
            grpc: PerCore::new(cores),
            access_log_dropped: Arc::default(),
            reloads: Reloads::default(),
        })
    }

    /// The numbers of a route of a listener, the same ones over reloads. The empty name stands for requests that no
    /// route matched. For load time: it locks.
    pub fn route(&self, listener: &str, route: &str) -> Arc<RouteMetrics> {
        let mut listeners = lock(&self.routes);
        let routes = entry(&mut listeners, listener, BTreeMap::new);
        Arc::clone(entry(routes, route, || Arc::new(RouteMetrics::new(self.cores))))
    }

    /// The numbers of a listener's connections. For load time.
    pub fn listener(&self, listener: &str) -> Arc<ListenerMetrics> {
        Arc::clone(entry(&mut lock(&self.listeners), listener, || Arc::new(ListenerMetrics::new(self.cores))))
    }

    /// The numbers of a listener's TLS handshakes. For load time.
    pub fn handshakes(&self, listener: &str) -> Arc<HandshakeMetrics> {
        let make = || Arc::new(HandshakeMetrics::new(self.cores));
        Arc::clone(entry(&mut lock(&self.handshakes), listener, make))
    }

    /// Notes until when the certificates hold that are shown now.
    pub fn set_certificates(&self, expiries: Vec<Expiry>) {
        *lock(&self.certificates) = expiries;
    }

    /// The numbers of an upstream's attempts. For load time.
    pub fn upstream(&self, upstream: &str) -> Arc<UpstreamMetrics> {
        Arc::clone(entry(&mut lock(&self.upstreams), upstream, || Arc::new(UpstreamMetrics::new(self.cores))))
    }

    /// The numbers of a rate limit. For load time.
    pub fn limit(&self, limit: &str) -> Arc<LimitMetrics> {
        Arc::clone(entry(&mut lock(&self.limits), limit, || Arc::new(LimitMetrics::new(self.cores))))
    }

    /// The numbers of an aggregate. For load time.
    pub fn aggregate(&self, listener: &Name, route: &Name) -> Arc<AggregateMetrics> {
        self.aggregates.route(self.cores, (Name::clone(listener), Name::clone(route)))
    }

    /// The numbers of a source of an aggregate. For load time.
    pub fn source(&self, listener: &Name, route: &Name, source: &Name) -> Arc<SourceMetrics> {
        let place = (Name::clone(listener), Name::clone(route));
        self.aggregates.source(self.cores, place, Name::clone(source))
    }

    /// Forgets the numbers of names that the configuration has no more. The unmatched requests of a listener stay as
    /// long as the listener does.
    pub fn retain(&self, names: &Names) {
        lock(&self.routes).retain(|listener, routes| {
            let Some(kept) = names.routes.get(listener) else { return false };
            routes.retain(|route, _| route.is_empty() || kept.contains(route));
            true
        });
        lock(&self.listeners).retain(|listener, _| names.routes.contains_key(listener));
        lock(&self.handshakes).retain(|listener, _| names.routes.contains_key(listener));
        lock(&self.upstreams).retain(|upstream, _| names.upstreams.contains(upstream));
        // A limit that only this map still holds is of no snapshot any more.
        lock(&self.limits).retain(|_, numbers| Arc::strong_count(numbers) > 1);
        self.aggregates.retain();
    }

    /// Counts a call of gRPC that has ended with this status.
    pub fn grpc(&self, core: CoreId, status: u8) {
        if let Some(cell) = self.grpc.get(core).and_then(|cells| cells.0.get(usize::from(status))) {
            cell.add(1);
        }
    }

    /// Counts an error that the gate made.
    pub fn error(&self, core: CoreId, kind: ErrorKind) {
        if let Some(cells) = self.errors.get(core) {
            cells.0[kind.index()].add(1);
        }
    }

    /// The counter of dropped access log lines, for [`super::AccessLogSettings::dropped`].
    pub fn access_log_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.access_log_dropped)
    }

    /// Notes the configuration that the process has started with.
    pub fn loaded(&self, version: u64, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.reloads.version.store(version, Ordering::Relaxed);
        self.reloads.loaded_at.store(seconds, Ordering::Relaxed);
        self.reloads.last_failed.store(false, Ordering::Relaxed);
    }

    /// Notes that a new configuration has taken over.
    pub fn reloaded(&self, version: u64, at: SystemTime) {
        self.loaded(version, at);
        self.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a new configuration was refused.
    pub fn reload_failed(&self) {
        self.reloads.failed.fetch_add(1, Ordering::Relaxed);
        self.reloads.last_failed.store(true, Ordering::Relaxed);
    }
}

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn entry<'a, T>(map: &'a mut BTreeMap<Name, T>, name: &str, make: impl FnOnce() -> T) -> &'a mut T {
    // Names are shared: one is made only for a newcomer.
    let name = map.get_key_value(name).map_or_else(|| Name::from(name), |(name, _)| Name::clone(name));
    map.entry(name).or_insert_with(make)
}

/// Whoever panicked while holding it left counters, which cannot be half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
