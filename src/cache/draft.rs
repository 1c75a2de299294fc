//! A body that is being copied while it passes.

use std::sync::Arc;

use bytes::Bytes;

use super::store::Cache;

/// The first piece of memory of a copy whose length nobody has told.
const FIRST: usize = 8 * 1024;

/// The copy of a body under way, within the bounds of the store. Dropped before its end, it is gone.
pub struct Draft {
    cache: Arc<Cache>,
    bytes: Vec<u8>,
    lent: u64,
}

impl Draft {
    /// Begins a copy; `None` where the length is known and too large.
    pub fn new(cache: &Arc<Cache>, length: Option<u64>) -> Option<Draft> {
        let mut draft = Draft { cache: Arc::clone(cache), bytes: Vec::new(), lent: 0 };
        match length {
            Some(length) if length > cache.max_entry() => None,
            Some(length) => draft.grow(usize::try_from(length).ok()?).then_some(draft),
            None => Some(draft),
        }
    }

    /// Adds a piece; `false` where there is no room: then the copy is of no use any more.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let needed = self.bytes.len() + piece.len();
        if needed as u64 > self.cache.max_entry() {
            return false;
        }
        if needed > self.bytes.capacity() {
            let most = usize::try_from(self.cache.max_entry()).unwrap_or(usize::MAX);
            if !self.grow(needed.max(FIRST).max(self.bytes.len() * 2).min(most)) {
                return false;
            }
        }
        self.bytes.extend_from_slice(piece);
        true
    }

    /// The whole.
    pub fn finish(mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    fn grow(&mut self, capacity: usize) -> bool {
        let more = (capacity as u64).saturating_sub(self.lent);
        if !self.cache.lend(more) {
            return false;
        }
        self.lent += more;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        true
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.cache.give_back(self.lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_or_nothing() {
        let cache = Arc::new(Cache::new(64 * 1024));
        assert!(Draft::new(&cache, Some(64 * 1024 + 1)).is_none());
        let mut draft = Draft::new(&cache, None).unwrap();
        let piece = [7; 10_000];
        assert!((0..6).all(|_| draft.push(&piece)));
        assert!(!draft.push(&piece));
        assert_eq!(draft.finish(), vec![7; 60_000]);
    }

    #[test]
    fn copies_under_way_are_bounded_together() {
        let cache = Arc::new(Cache::bounded(crate::config::CacheBounds { max_size: 4000, max_entry: 500 }));
        let mut drafts: Vec<Draft> = (0..2).map(|_| Draft::new(&cache, Some(500)).unwrap()).collect();
        assert!(Draft::new(&cache, Some(1)).is_none());
        drafts.pop();
        assert!(Draft::new(&cache, Some(500)).is_some());
    }
}
