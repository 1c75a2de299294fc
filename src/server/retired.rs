//! What a reload has put out of force, until no core looks at it any more.
//!
//! Whoever lets go of a snapshot last frees it, and freeing ten thousand rules takes a while: that is better done here
//! than by a core between two requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How many are kept: an exchange that runs for hours must not keep every snapshot since.
const MOST: usize = 4;

/// How often [`Retired::release`] is worth a call.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Things that others may still use.
pub(super) struct Retired<T> {
    list: VecDeque<Arc<T>>,
}

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self { list: VecDeque::new() }
    }
}

impl<T> Retired<T> {
    /// Keeps one more; the oldest goes where there are too many.
    pub(super) fn keep(&mut self, thing: Arc<T>) {
        if self.list.len() == MOST {
            self.list.pop_front();
        }
        self.list.push_back(thing);
    }

    /// Frees what nobody else uses.
    pub(super) fn release(&mut self) {
        self.list.retain(|thing| Arc::strong_count(thing) > 1);
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_kept_until_they_are_done() {
        let mut retired = Retired::default();
        let used = Arc::new(1);
        retired.keep(Arc::clone(&used));
        retired.keep(Arc::new(2));
        retired.release();
        assert_eq!(Arc::strong_count(&used), 2);
        let seen = Arc::downgrade(&used);
        drop(used);
        assert!(seen.upgrade().is_some(), "its last user is not the one who frees it");
        retired.release();
        assert!(retired.is_empty() && seen.upgrade().is_none());
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut retired = Retired::default();
        let all: Vec<Arc<usize>> = (0..=MOST).map(Arc::new).collect();
        for thing in &all {
            retired.keep(Arc::clone(thing));
        }
        let kept: Vec<bool> = all.iter().map(|thing| Arc::strong_count(thing) > 1).collect();
        assert_eq!(kept, [false, true, true, true, true]);
    }
}
