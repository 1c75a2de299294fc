//! Counters with one writer each: a set of them for every core, made when the core first needs it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exchange::{CoreId, ErrorKind, grpc};

/// A number that one core writes and anyone may read.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds; wraps, as a gauge may be lowered by the other core's set.
    pub(super) fn add(&self, number: u64) {
        // One writer: nothing can come between the load and the store, so no locked instruction is needed.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    fn lower(&self) {
        self.add(u64::MAX);
    }

    /// The present number.
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A set of counters for each core. Takes next to no memory before a core first counts.
pub(super) struct PerCore<T> {
    cores: usize,
    sets: OnceLock<Box<[OnceLock<Box<T>>]>>,
}

impl<T: Default> PerCore<T> {
    /// For so many cores.
    pub(super) fn new(cores: usize) -> PerCore<T> {
        PerCore { cores, sets: OnceLock::new() }
    }

    /// The core's own set; none for a core that was not announced.
    pub(super) fn get(&self, core: CoreId) -> Option<&T> {
        let sets = self.sets.get_or_init(|| (0..self.cores).map(|_| OnceLock::new()).collect());
        Some(&**sets.get(core.0)?.get_or_init(Box::default))
    }

    /// The sets that were used.
    pub(super) fn used(&self) -> impl Iterator<Item = &T> {
        self.sets.get().into_iter().flat_map(|sets| sets.iter()).filter_map(|set| set.get().map(|set| &**set))
    }
}

/// The upper bounds of the histogram's buckets in nanoseconds; a last bucket has none.
const BOUNDS: [u64; 14] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// [`BOUNDS`] in seconds, as the label `le` tells them, and the bucket without a bound.
pub(super) const BOUND_LABELS: [&str; BUCKETS] = [
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
    "10", "+Inf",
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// The classes of status, as the label `class` tells them; the first is a request without an answer.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// One core's numbers of a route. Aligned so that no two cores write into one line of the cache.
#[derive(Default)]
#[repr(align(128))]
struct RouteCells {
    in_flight: Count,
    classes: [Count; CLASSES.len()],
    buckets: [Count; BUCKETS],
    nanos: Count,
    bytes_in: Count,
    bytes_out: Count,
    tunnels: Count,
    tunnels_open: Count,
}

/// The numbers of one route of one listener.
pub struct RouteMetrics(PerCore<RouteCells>);

/// A route's numbers, summed over the cores.
#[derive(Default)]
pub(super) struct RouteSum {
    pub(super) in_flight: u64,
    pub(super) classes: [u64; CLASSES.len()],
    pub(super) buckets: [u64; BUCKETS],
    pub(super) nanos: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) tunnels: u64,
    pub(super) tunnels_open: u64,
}

impl RouteMetrics {
    pub(super) fn new(cores: usize) -> RouteMetrics {
        RouteMetrics(PerCore::new(cores))
    }

    /// A request has begun. On the core that will also tell its end.
    pub fn started(&self, core: CoreId) {
        if let Some(cells) = self.0.get(core) {
            cells.in_flight.add(1);
        }
    }

    /// A request has ended: its status (0 for none), how long it took, and the bytes of its bodies.
    #[inline]
    pub fn finished(&self, core: CoreId, status: u16, duration: Duration, bytes_in: u64, bytes_out: u64) {
        let Some(cells) = self.0.get(core) else { return };
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Fourteen comparisons without a branch are cheaper than a few that are guessed wrong.
        let bucket: usize = BOUNDS.iter().map(|bound| usize::from(nanos > *bound)).sum();
        let class = usize::from(status / 100);
        cells.in_flight.lower();
        cells.classes[if class < CLASSES.len() { class } else { 0 }].add(1);
        cells.buckets[bucket].add(1);
        cells.nanos.add(nanos);
        cells.bytes_in.add(bytes_in);
        cells.bytes_out.add(bytes_out);
    }

    /// A request has become a tunnel; its own numbers have been counted by [`RouteMetrics::finished`].
    #[cold]
    pub fn tunnel_opened(&self, core: CoreId, status: u16, duration: Duration) {
        self.finished(core, status, duration, 0, 0);
        if let Some(cells) = self.0.get(core) {
            cells.tunnels.add(1);
            cells.tunnels_open.add(1);
        }
    }

    /// A tunnel has ended, and so many bytes have passed in it.
    pub fn tunnel_closed(&self, core: CoreId, bytes_in: u64, bytes_out: u64) {
        if let Some(cells) = self.0.get(core) {
            cells.tunnels_open.lower();
            cells.bytes_in.add(bytes_in);
            cells.bytes_out.add(bytes_out);
        }
    }

    /// The sum over the cores, none where the route was never used.
    pub(super) fn sum(&self) -> Option<RouteSum> {
        let mut used = self.0.used().peekable();
        used.peek()?;
        let mut sum = RouteSum::default();
        for cells in used {
            sum.in_flight = sum.in_flight.wrapping_add(cells.in_flight.read());
            add_all(&mut sum.classes, &cells.classes);
            add_all(&mut sum.buckets, &cells.buckets);
            sum.nanos = sum.nanos.wrapping_add(cells.nanos.read());
            sum.bytes_in = sum.bytes_in.wrapping_add(cells.bytes_in.read());
            sum.bytes_out = sum.bytes_out.wrapping_add(cells.bytes_out.read());
            sum.tunnels = sum.tunnels.wrapping_add(cells.tunnels.read());
            sum.tunnels_open = sum.tunnels_open.wrapping_add(cells.tunnels_open.read());
        }
        Some(sum)
    }
}

fn add_all<const N: usize>(sums: &mut [u64; N], counts: &[Count; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum = sum.wrapping_add(count.read());
    }
}

/// One core's numbers of a listener's connections.
#[derive(Default)]
#[repr(align(128))]
struct ListenerCells {
    accepted: Count,
    open: Count,
    refused: [Count; REFUSALS.len()],
}

/// Which bound closed a connection at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedBy {
    /// The bound of the process.
    Process,
    /// The bound of a client address.
    Client,
}

/// The bounds, as the label `reason` names them.
pub(super) const REFUSALS: [&str; 2] = ["process", "client"];

/// The numbers of one listener's connections.
pub struct ListenerMetrics(PerCore<ListenerCells>);

impl ListenerMetrics {
    pub(super) fn new(cores: usize) -> ListenerMetrics {
        ListenerMetrics(PerCore::new(cores))
    }

    /// A connection was accepted.
    pub fn opened(&self, core: CoreId) {
        if let Some(cells) = self.0.get(core) {
            cells.accepted.add(1);
            cells.open.add(1);
        }
    }

    /// A connection has ended; on whichever core it ended.
    pub fn closed(&self, core: CoreId) {
        if let Some(cells) = self.0.get(core) {
            cells.open.lower();
        }
    }

    /// A connection was closed at once, for a bound was reached.
    pub fn refused(&self, core: CoreId, by: RefusedBy) {
        if let Some(cells) = self.0.get(core) {
            cells.refused[by as usize].add(1);
        }
    }

    /// Connections that were closed at once, by the bound.
    pub(super) fn refusals(&self) -> [u64; REFUSALS.len()] {
        let mut sums = [0; REFUSALS.len()];
        self.0.used().for_each(|cells| add_all(&mut sums, &cells.refused));
        sums
    }

    /// Connections accepted so far, and open now.
    pub(super) fn sum(&self) -> (u64, u64) {
        self.0.used().fold((0, 0), |(accepted, open), cells| {
            (accepted + cells.accepted.read(), u64::wrapping_add(open, cells.open.read()))
        })
    }
}

/// How an attempt at an upstream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An answer with a status below 500.
    Answered,
    /// An answer with a status of 500 or more.
    ServerError,
    /// No connection could be made.
    ConnectFailed,
    /// The answer did not come in time.
    TimedOut,
    /// The connection or the answer broke off, or the answer broke HTTP.
    Broken,
    /// Nobody waited for the answer any more.
    Cancelled,
}

/// The outcomes, as the label `outcome` tells them.
pub(super) const OUTCOMES: [&str; 6] =
    ["answered", "server_error", "connect_failed", "timed_out", "broken", "cancelled"];

/// One core's numbers of an upstream.
#[derive(Default)]
#[repr(align(128))]
struct UpstreamCells([Count; OUTCOMES.len()]);

/// The numbers of one upstream's attempts.
pub struct UpstreamMetrics(PerCore<UpstreamCells>);

impl UpstreamMetrics {
    pub(super) fn new(cores: usize) -> UpstreamMetrics {
        UpstreamMetrics(PerCore::new(cores))
    }

    /// An attempt has ended.
    pub fn attempted(&self, core: CoreId, outcome: Outcome) {
        if let Some(cells) = self.0.get(core) {
            cells.0[outcome as usize].add(1);
        }
    }

    /// Attempts by outcome, none where the upstream was never called.
    pub(super) fn sum(&self) -> Option<[u64; OUTCOMES.len()]> {
        let mut used = self.0.used().peekable();
        used.peek()?;
        let mut sums = [0; OUTCOMES.len()];
        used.for_each(|cells| add_all(&mut sums, &cells.0));
        Some(sums)
    }
}

/// What a rate limit has said of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Admitted and counted.
    Admitted,
    /// Refused.
    Refused,
    /// Not asked: its `skip` held.
    Skipped,
    /// The key was absent, and `missing` let the request pass or refused it.
    Missing,
    /// The store was away, and `when_store_fails` refused or admitted unseen.
    Unavailable,
    /// What had been taken was given back.
    GivenBack,
}

/// The verdicts, as the label `outcome` tells them.
pub(super) const VERDICTS: [&str; 6] =
    ["admitted", "refused", "skipped", "missing", "unavailable", "given_back"];

/// One core's numbers of a rate limit.
#[derive(Default)]
#[repr(align(128))]
struct LimitCells([Count; VERDICTS.len()]);

/// The numbers of one rate limit.
pub struct LimitMetrics(PerCore<LimitCells>);

impl LimitMetrics {
    /// All zero, for so many cores.
    pub fn new(cores: usize) -> LimitMetrics {
        LimitMetrics(PerCore::new(cores))
    }

    /// The limit has said something.
    pub fn said(&self, core: CoreId, verdict: Verdict) {
        if let Some(cells) = self.0.get(core) {
            cells.0[verdict as usize].add(1);
        }
    }

    /// Requests by verdict, none where the limit was never asked.
    pub(super) fn sum(&self) -> Option<[u64; VERDICTS.len()]> {
        let mut used = self.0.used().peekable();
        used.peek()?;
        let mut sums = [0; VERDICTS.len()];
        used.for_each(|cells| add_all(&mut sums, &cells.0));
        Some(sums)
    }
}

/// One core's numbers of errors, by [`ErrorKind::index`].
#[repr(align(128))]
pub(super) struct ErrorCells(pub(super) [Count; ErrorKind::ALL.len()]);

impl Default for ErrorCells {
    fn default() -> ErrorCells {
        ErrorCells(std::array::from_fn(|_| Count::default()))
    }
}

/// One core's numbers of calls of gRPC, by their status.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct GrpcCells(pub(super) [Count; grpc::NAMES.len()]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_tell_the_bounds() {
        let told = BOUND_LABELS[..BOUNDS.len()].iter().map(|label| label.parse::<f64>().unwrap());
        assert!(told.eq(BOUNDS.iter().map(|bound| *bound as f64 / 1e9)));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let route = RouteMetrics::new(1);
        for nanos in [0, 500_000, 500_001, 10_000_000_000, 10_000_000_001] {
            route.started(CoreId(0));
            route.finished(CoreId(0), 200, Duration::from_nanos(nanos), 0, 0);
        }
        let sum = route.sum().unwrap();
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[13], sum.buckets[14]), (2, 1, 1, 1));
    }

    #[test]
    fn nothing_is_made_before_the_first_use() {
        let route = RouteMetrics::new(64);
        assert!(route.0.sets.get().is_none() && route.sum().is_none());
        route.started(CoreId(3));
        assert_eq!(route.0.used().count(), 1);
    }

    #[test]
    fn a_core_that_was_not_announced_counts_nothing() {
        let route = RouteMetrics::new(1);
        route.started(CoreId(1));
        assert!(route.sum().is_none());
    }

    #[test]
    fn a_connection_may_end_on_another_core() {
        let listener = ListenerMetrics::new(2);
        listener.opened(CoreId(0));
        listener.opened(CoreId(0));
        listener.closed(CoreId(1));
        assert_eq!(listener.sum(), (2, 1));
    }
}
