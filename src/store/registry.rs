//! Where limits get their budgets from, so that a reload gives nobody a new one.

use crate::runtime::hash::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::memory::Memory;
use super::redis::Remote;
use super::redis::budgets::{self, Budgets};
use super::redis::link::{self, Link, Observer};
use super::{Clock, Counters, Place, Store, Wanted};
use crate::config::Redis;
use crate::exchange::Name;

/// The budgets of every limit that a snapshot holds, by name; one for the life of the process.
pub struct Registry {
    clock: Arc<dyn Clock>,
    /// Who is told how Redis fares; none where a configuration is only checked, and nothing is connected.
    observer: Option<Arc<dyn Observer>>,
    /// Those that no snapshot holds any more stay until what was spent has come back: a limit that is taken out and put
    /// in again gives nobody a new budget.
    memory: Mutex<HashMap<Name, InMemory>>,
    /// Of one limit the newest last: what a reload that fails has made is over with it, and the former goes on.
    shared: Mutex<HashMap<Name, Vec<Shared>>>,
    /// The newest last: two while a reload changes the settings.
    links: Mutex<Vec<Weak<Link>>>,
}

/// Budgets in memory.
struct InMemory {
    /// The counters; nothing is asked through this one.
    counts: Memory,
    /// What snapshots ask through, by the most keys that each keeps. A reload that fails leaves one without users.
    used: Vec<(usize, Weak<Memory>)>,
}

impl InMemory {
    fn is_used(&self) -> bool {
        self.used.iter().any(|(_, memory)| memory.strong_count() > 0)
    }
}

/// Budgets in Redis, and what they were made of.
struct Shared {
    wanted: Wanted,
    link: Weak<Link>,
    budgets: Weak<Budgets>,
}

/// The registry as one configuration sees it.
pub struct Configured<'a> {
    registry: &'a Registry,
    redis: Option<&'a Redis>,
}

/// What is known of a limit in memory.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub name: Name,
    /// Keys that are held.
    pub keys: usize,
    /// Keys that were given up for others since the start.
    pub evicted: u64,
}

impl Registry {
    /// No budgets yet, and no connections ever: for those who only look at a configuration.
    pub fn new(clock: Arc<dyn Clock>) -> Registry {
        Registry {
            clock,
            observer: None,
            memory: Mutex::default(),
            shared: Mutex::default(),
            links: Mutex::default(),
        }
    }

    /// No budgets yet; limits in Redis are connected when they are built.
    pub fn connecting(clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Registry {
        Registry { observer: Some(observer), ..Registry::new(clock) }
    }

    /// For a configuration with this section.
    pub fn with<'a>(&'a self, redis: Option<&'a Redis>) -> Configured<'a> {
        Configured { registry: self, redis }
    }

    /// Gives back what lies unspent and tells Redis what it does not know; for a timer of about 100 ms, off the path.
    pub fn tidy_shared(&self, now: Instant) {
        let known: Vec<_> =
            lock(&self.shared).values().flatten().filter_map(|shared| shared.budgets.upgrade()).collect();
        known.iter().for_each(|budgets| budgets.tidy(now));
    }

    /// Frees what is over and gives memory back: for a timer, off the path.
    pub fn tidy(&self) {
        let known: Vec<Memory> = lock(&self.memory).values().map(|kept| kept.counts.handle()).collect();
        known.iter().for_each(Memory::tidy);
        lock(&self.memory).retain(|_, kept| {
            kept.used.retain(|(_, memory)| memory.strong_count() > 0);
            !kept.used.is_empty() || !kept.counts.is_empty()
        });
        lock(&self.links).retain(|link| link.strong_count() > 0);
        lock(&self.shared).retain(|_, known| {
            known.retain(|shared| shared.budgets.strong_count() > 0);
            !known.is_empty()
        });
    }

    /// The limits in memory, by name.
    pub fn kept(&self) -> Vec<Kept> {
        let known: Vec<(Name, Memory)> = lock(&self.memory)
            .iter()
            .filter(|(_, kept)| kept.is_used())
            .map(|(name, kept)| (Name::clone(name), kept.counts.handle()))
            .collect();
        let kept =
            |(name, memory): (Name, Memory)| Kept { name, keys: memory.len(), evicted: memory.evicted() };
        sorted(known.into_iter().map(kept).collect(), |kept| &kept.name)
    }

    /// What was decided by whom for the limits in Redis, by name.
    pub fn decided(&self) -> Vec<(Name, budgets::Statistics)> {
        let of = |(name, budgets): (Name, Arc<Budgets>)| (name, budgets.statistics());
        sorted(self.budgets().into_iter().map(of).collect(), |(name, _)| name)
    }

    /// How the connection to Redis fares, where there is one.
    pub fn link(&self) -> Option<link::Statistics> {
        let link = lock(&self.links).iter().rev().find_map(Weak::upgrade)?;
        Some(link.statistics())
    }

    /// The budgets of each limit in Redis: the newest that somebody holds.
    fn budgets(&self) -> Vec<(Name, Arc<Budgets>)> {
        let newest = |known: &Vec<Shared>| known.iter().rev().find_map(|shared| shared.budgets.upgrade());
        lock(&self.shared)
            .iter()
            .filter_map(|(name, known)| Some((Name::clone(name), newest(known)?)))
            .collect()
    }

    fn in_memory(&self, wanted: &Wanted) -> Arc<dyn Store> {
        let mut memory = lock(&self.memory);
        let new = || Memory::new(wanted.max_keys, Arc::clone(&self.clock));
        let kept = memory
            .entry(Name::clone(&wanted.name))
            .or_insert_with(|| InMemory { counts: new(), used: Vec::new() });
        kept.used.retain(|(_, memory)| memory.strong_count() > 0);
        let same = kept.used.iter().find(|(max_keys, _)| *max_keys == wanted.max_keys);
        if let Some(known) = same.and_then(|(_, memory)| memory.upgrade()) {
            return known;
        }
        if kept.used.is_empty() && kept.counts.is_empty() {
            // Nothing is counted and there is no user: as many shards as this many keys are worth.
            kept.counts = new();
        }
        let resized = Arc::new(kept.counts.resized(wanted.max_keys));
        kept.used.push((wanted.max_keys, Arc::downgrade(&resized)));
        resized
    }

    /// The connection with these settings: the one that is there, or a new one.
    fn connected(&self, redis: &Redis) -> Option<Arc<Link>> {
        let observer = self.observer.as_ref()?;
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        let known = links.iter().filter_map(Weak::upgrade).find(|link| link.settings() == redis);
        Some(known.unwrap_or_else(|| {
            let new = Arc::new(Link::start(redis, Arc::clone(observer)));
            links.push(Arc::downgrade(&new));
            new
        }))
    }

    fn in_redis(&self, wanted: &Wanted, redis: &Redis) -> Option<Arc<dyn Store>> {
        let link = self.connected(redis)?;
        let mut shared = lock(&self.shared);
        let known = shared.entry(Name::clone(&wanted.name)).or_default();
        known.retain(|shared| shared.budgets.strong_count() > 0);
        let same = |shared: &&Shared| shared.wanted == *wanted && shared.link.ptr_eq(&Arc::downgrade(&link));
        if let Some(budgets) = known.iter().find(same).and_then(|shared| shared.budgets.upgrade()) {
            return Some(budgets);
        }
        let before = known.iter().rev().find_map(|shared| shared.budgets.upgrade());
        let remote = Arc::clone(&link) as Arc<dyn Remote>;
        let budgets = Budgets::new(remote, wanted, before.as_deref(), Arc::clone(&self.clock));
        known.push(Shared {
            wanted: wanted.clone(),
            link: Arc::downgrade(&link),
            budgets: Arc::downgrade(&budgets),
        });
        Some(budgets)
    }
}

impl Configured<'_> {
    /// Whether there is a Redis to count in.
    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }
}

impl Counters for Configured<'_> {
    fn of(&self, wanted: &Wanted) -> Arc<dyn Store> {
        let shared = match (wanted.place, self.redis) {
            (Place::Redis, Some(redis)) => self.registry.in_redis(wanted, redis),
            _ => None,
        };
        // Where nothing is connected nothing is served either.
        shared.unwrap_or_else(|| self.registry.in_memory(wanted))
    }
}

fn sorted<T>(mut list: Vec<T>, name: impl Fn(&T) -> &Name) -> Vec<T> {
    list.sort_by(|one, other| name(one).cmp(name(other)));
    list
}

/// Whoever panicked while holding it left a map, which is never half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
