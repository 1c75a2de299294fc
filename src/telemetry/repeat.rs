//! Holds repeated lines back, so that a storm of failures is told and does not flood.

use crate::runtime::hash::HashMap;
use crate::runtime::hash::Seed;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// How many different lines are kept in mind; further ones share one place.
const KEYS: usize = 1024;

/// Lets one line of each kind through in a span of time, and counts the others.
#[derive(Debug)]
pub struct Repeats {
    every: Duration,
    hasher: Seed,
    kinds: HashMap<u64, Seen>,
}

#[derive(Debug)]
struct Seen {
    told: Instant,
    hidden: u64,
}

impl Repeats {
    /// One line of each kind `every` so often.
    pub fn new(every: Duration) -> Repeats {
        Repeats { every, hasher: Seed::new(), kinds: HashMap::default() }
    }

    /// Whether a line about `name` (an upstream, say) under `topic` is to be told now; if so, how many like it were
    /// hidden since the last one.
    pub fn admit(&mut self, topic: &str, name: &str, now: Instant) -> Option<u64> {
        let mut key = self.hasher.hash_one((topic, name));
        if self.kinds.len() >= KEYS && !self.kinds.contains_key(&key) {
            let every = self.every;
            self.kinds.retain(|_, seen| now.saturating_duration_since(seen.told) < every);
            if self.kinds.len() >= KEYS {
                key = 0;
            }
        }
        match self.kinds.get_mut(&key) {
            Some(seen) if now.saturating_duration_since(seen.told) < self.every => {
                seen.hidden = seen.hidden.saturating_add(1);
                None
            }
            Some(seen) => {
                seen.told = now;
                Some(std::mem::take(&mut seen.hidden))
            }
            None => {
                self.kinds.insert(key, Seen { told: now, hidden: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_is_told_and_the_next_after_the_span_with_their_number() {
        let start = Instant::now();
        let mut repeats = Repeats::new(SPAN);
        assert_eq!(repeats.admit("upstream", "users", start), Some(0));
        assert_eq!(repeats.admit("upstream", "users", start), None);
        assert_eq!(repeats.admit("upstream", "users", start + SPAN / 2), None);
        assert_eq!(repeats.admit("upstream", "orders", start), Some(0));
        assert_eq!(repeats.admit("health", "users", start), Some(0));
        assert_eq!(repeats.admit("upstream", "users", start + SPAN), Some(2));
        assert_eq!(repeats.admit("upstream", "users", start + SPAN), None);
    }

    #[test]
    fn many_kinds_take_bounded_room() {
        let start = Instant::now();
        let mut repeats = Repeats::new(SPAN);
        let told = (0..5000).filter(|n| repeats.admit("t", &n.to_string(), start).is_some()).count();
        assert!(repeats.kinds.len() <= KEYS + 1 && told <= KEYS + 1);
        assert_eq!(repeats.admit("t", "new", start + SPAN), Some(0));
        assert_eq!(repeats.kinds.len(), 1);
    }
}
