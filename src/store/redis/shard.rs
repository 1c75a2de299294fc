//! Some of the keys of a limit, behind one lock.

use crate::runtime::hash::HashMap;
use crate::runtime::hash::Seed;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::key::{Key, Print};
use super::lease::{self, Entry, Left, Sent};
use crate::store::Limit;

#[derive(Default)]
pub(super) struct Shard {
    pub(super) entries: HashMap<Key, Entry, Seed>,
    /// Leases in about the order of their ends.
    pub(super) leases: VecDeque<(Instant, Key)>,
    /// Keys that owe.
    pub(super) owing: VecDeque<Key>,
    pub(super) leased: u64,
    purged: Option<Instant>,
}

/// Permits of a key that go back.
type Back = (Key, Limit, Left);

/// What has to be sent once the lock is released: first what goes back, then the trip.
#[derive(Default)]
pub(super) struct Send {
    pub(super) back: SmallVec<[Back; 1]>,
    pub(super) trip: Option<Sent>,
}

impl Shard {
    /// The key of this print, where it is known.
    pub(super) fn known(&self, print: &Print) -> Option<Key> {
        self.entries.get_key_value(print).map(|(key, _)| *key)
    }

    /// The key's entry, a new one where there is room.
    pub(super) fn entry(&mut self, key: Key, limit: &Limit, now: Instant, room: usize) -> Option<&mut Entry> {
        if !self.entries.contains_key(&key) {
            if self.entries.len() >= room {
                self.purge(now, Duration::from_micros(lease::hold_us(limit)).saturating_mul(2));
            }
            if self.entries.len() >= room {
                return None;
            }
            self.entries.insert(key, Entry::new(*limit, now));
        }
        self.entries.get_mut(&key)
    }

    /// Takes what is unspent of leases that have ended.
    pub(super) fn sweep(&mut self, now: Instant, most: usize, send: &mut Send) {
        for _ in 0..most {
            if self.leases.front().is_none_or(|(ends, _)| now < *ends) {
                return;
            }
            let Some((_, key)) = self.leases.pop_front() else { return };
            if let Some(entry) = self.entries.get_mut(&key)
                && let Some(left) = entry.expire(now)
            {
                send.back.push((key, entry.limit, left));
            }
        }
    }

    /// Forgets keys that were quiet for their window, or for `most`; at most every 100 ms.
    pub(super) fn purge(&mut self, now: Instant, most: Duration) {
        let last = self.purged.replace(now);
        if last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_millis(100)) {
            self.purged = last;
            return;
        }
        self.entries
            .retain(|_, entry| !entry.idle(now, Duration::from_micros(entry.limit.window_us).min(most)));
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}
