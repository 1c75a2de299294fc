//! A cell for each thread, on a cache line of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many cells there are; more threads than this share some.
const CELLS: usize = 32;

/// Keeps its content away from the cache lines of its neighbours.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// So many of one thing, of which a thread always meets the same.
#[derive(Debug)]
pub(super) struct Cells<T>(Box<[Padded<T>]>);

impl<T> Cells<T> {
    /// Cells with what `make` gives for their numbers.
    pub(super) fn new(mut make: impl FnMut(usize) -> T) -> Cells<T> {
        Cells((0..CELLS).map(|number| Padded(make(number))).collect())
    }

    /// The cell of this thread.
    pub(super) fn own(&self) -> &T {
        &self.0[slot()].0
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|cell| &cell.0)
    }
}

/// The number of this thread's cells: threads are numbered as they come here first.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SLOT.with(|slot| {
        if slot.get() == usize::MAX {
            slot.set(NEXT.fetch_add(1, Ordering::Relaxed) % CELLS);
        }
        slot.get()
    })
}
