//! The numbers of aggregates: what their sources came to, and members that were dropped for their names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cells::{Count, PerCore};
use crate::exchange::{CoreId, Name};

/// What a source can come to, as the label `outcome`, the body's `error` and the header's `s=` tell it.
pub const SOURCE_OUTCOMES: [&str; 11] = [
    "timeout",
    "refused",
    "reset",
    "status",
    "invalid_json",
    "too_large",
    "dependency",
    "breaker_open",
    "overloaded",
    "ok",
    "skipped",
];

/// One core's numbers of a source.
#[derive(Default)]
#[repr(align(128))]
struct SourceCells([Count; SOURCE_OUTCOMES.len()]);

/// The numbers of one source of an aggregate.
pub struct SourceMetrics(PerCore<SourceCells>);

impl SourceMetrics {
    /// The source has come to something: its place among [`SOURCE_OUTCOMES`].
    pub fn counted(&self, core: CoreId, outcome: usize) {
        if let Some(count) = self.0.get(core).and_then(|cells| cells.0.get(outcome)) {
            count.add(1);
        }
    }

    pub(super) fn sum(&self) -> [u64; SOURCE_OUTCOMES.len()] {
        let mut sums = [0; SOURCE_OUTCOMES.len()];
        for cells in self.0.used() {
            for (sum, count) in sums.iter_mut().zip(&cells.0) {
                *sum += count.read();
            }
        }
        sums
    }
}

/// One core's numbers of an aggregate.
#[derive(Default)]
#[repr(align(128))]
struct AggregateCells(Count);

/// The numbers of one aggregate.
pub struct AggregateMetrics(PerCore<AggregateCells>);

impl AggregateMetrics {
    /// So many members of merged sources were dropped, because their names were taken.
    pub fn clashed(&self, core: CoreId, members: u64) {
        if let Some(cells) = self.0.get(core) {
            cells.0.add(members);
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.used().map(|cells| cells.0.read()).sum()
    }
}

type Place = (Name, Name);

/// The aggregates of the process, by listener and route.
#[derive(Default)]
pub(super) struct Aggregates {
    pub(super) routes: Mutex<BTreeMap<Place, Arc<AggregateMetrics>>>,
    pub(super) sources: Mutex<BTreeMap<(Place, Name), Arc<SourceMetrics>>>,
}

impl Aggregates {
    pub(super) fn route(&self, cores: usize, place: Place) -> Arc<AggregateMetrics> {
        let make = || Arc::new(AggregateMetrics(PerCore::new(cores)));
        Arc::clone(lock(&self.routes).entry(place).or_insert_with(make))
    }

    pub(super) fn source(&self, cores: usize, place: Place, source: Name) -> Arc<SourceMetrics> {
        let make = || Arc::new(SourceMetrics(PerCore::new(cores)));
        Arc::clone(lock(&self.sources).entry((place, source)).or_insert_with(make))
    }

    /// What only these maps hold is of no snapshot any more.
    pub(super) fn retain(&self) {
        lock(&self.routes).retain(|_, numbers| Arc::strong_count(numbers) > 1);
        lock(&self.sources).retain(|_, numbers| Arc::strong_count(numbers) > 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
