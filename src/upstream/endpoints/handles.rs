//! One value for all cores that changes now and then: each core counts references to a handle of its own, so that
//! cores do not fight over one count for every call.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::balance::cells::Cells;
use crate::exchange::CoreId;

/// The handles of all cores.
pub(super) struct Handles<T>(Cells<ArcSwap<Own<T>>>);

/// The value as one core holds it. Its count of references has cache lines of its own.
#[repr(align(128))]
struct Own<T>(Arc<T>);

/// A reference to the value.
pub(in crate::upstream) struct Handle<T>(Arc<Own<T>>);

impl<T> Handles<T> {
    pub(super) fn new(value: &Arc<T>) -> Handles<T> {
        Handles(Cells::new(|_| ArcSwap::from_pointee(Own(Arc::clone(value)))))
    }

    /// The value as this core sees it.
    pub(super) fn of(&self, core: CoreId) -> Handle<T> {
        Handle(self.0.of(core).load_full())
    }

    /// Another value for every core. A core may see the one before for a moment.
    pub(super) fn set(&self, value: &Arc<T>) {
        for cell in self.0.all() {
            cell.store(Arc::new(Own(Arc::clone(value))));
        }
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_counts_for_itself() {
        let value = Arc::new(1);
        let handles = Handles::new(&value);
        let cells = Arc::strong_count(&value);
        let held: Vec<_> = (0..100).map(|_| (handles.of(CoreId(0)), handles.of(CoreId(1)))).collect();
        assert_eq!(Arc::strong_count(&value), cells, "a call leaves the shared count alone");
        handles.set(&Arc::new(2));
        assert!(held.iter().all(|(one, two)| (**one, **two) == (1, 1)), "what is held stays");
        assert!((0..64).all(|core| *handles.of(CoreId(core)) == 2));
        drop(held);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
