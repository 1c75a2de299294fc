//! A cell for each core, on a cache line of its own.

use crate::exchange::CoreId;

/// How many cells there are; more cores than this share some.
const CELLS: usize = 32;

/// Keeps its content away from the cache lines of its neighbours.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// A fixed number of one thing, one for each core.
#[derive(Debug)]
pub(in crate::upstream::endpoints) struct Cells<T>(Box<[Padded<T>]>);

impl<T> Cells<T> {
    /// Cells with what `make` gives for their numbers.
    pub(in crate::upstream::endpoints) fn new(mut make: impl FnMut(usize) -> T) -> Cells<T> {
        Cells((0..CELLS).map(|number| Padded(make(number))).collect())
    }

    /// The cell of a core.
    pub(in crate::upstream::endpoints) fn of(&self, core: CoreId) -> &T {
        &self.0[core.0 % CELLS].0
    }

    /// All of them.
    pub(in crate::upstream::endpoints) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|cell| &cell.0)
    }
}
