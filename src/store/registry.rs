//! Where limits get their budgets from, so that a reload gives nobody a new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::memory::Memory;
use super::redis::Remote;
use super::redis::budgets::{self, Budgets};
use super::redis::link::{self, Link, Observer};
use super::{Clock, Counters, Place, Store, Wanted};
use crate::config::Redis;
use crate::exchange::Name;

/// The budgets of every limit that a snapshot holds, by name; one for the life of the process.
///
/// It keeps nothing alive: what no snapshot holds any more is over, connections included.
pub struct Registry {
    clock: Arc<dyn Clock>,
    /// Who is told about Redis; nobody where nothing is to be connected, as in `check`.
    observer: Option<Arc<dyn Observer>>,
    memory: Mutex<HashMap<Name, (usize, Weak<Memory>)>>,
    /// The newest last: two while a reload changes the settings.
    links: Mutex<Vec<Weak<Link>>>,
    shared: Mutex<HashMap<Name, Vec<Shared>>>,
}

/// Budgets in Redis, and what they were made for.
struct Shared {
    wanted: Wanted,
    link: Weak<Link>,
    budgets: Weak<Budgets>,
}

impl Registry {
    /// No budgets yet. Nothing is ever connected: limits in Redis are built, but not to be asked.
    pub fn offline(clock: Arc<dyn Clock>) -> Registry {
        Registry {
            clock,
            observer: None,
            memory: Mutex::default(),
            links: Mutex::default(),
            shared: Mutex::default(),
        }
    }

    /// No budgets yet. The connection to Redis is made when the first limit wants it; `observer` hears how it fares.
    pub fn new(clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Registry {
        Registry { observer: Some(observer), ..Registry::offline(clock) }
    }

    /// The budgets for one configuration, with its section `redis`.
    pub fn over<'a>(&'a self, redis: Option<&'a Redis>) -> Over<'a> {
        Over { registry: self, redis, link: OnceLock::new() }
    }

    /// Frees what memory is over: for a timer, off the path. It may take a while where there are many keys.
    pub fn tidy(&self) {
        let known: Vec<Arc<Memory>> =
            lock(&self.memory).values().filter_map(|(_, memory)| memory.upgrade()).collect();
        known.iter().for_each(|memory| memory.tidy());
        lock(&self.memory).retain(|_, (_, memory)| memory.strong_count() > 0);
        lock(&self.links).retain(|link| link.strong_count() > 0);
        lock(&self.shared).retain(|_, known| {
            known.retain(|shared| shared.budgets.strong_count() > 0);
            !known.is_empty()
        });
    }

    /// Gives back what was leased and is over, and settles what is owed: for a timer, about every 100 ms. Tells
    /// whether there are any budgets in Redis.
    pub fn settle(&self) -> bool {
        let now = self.clock.now();
        let known: Vec<Arc<Budgets>> =
            lock(&self.shared).values().flatten().filter_map(|shared| shared.budgets.upgrade()).collect();
        known.iter().for_each(|budgets| budgets.tidy(now));
        !known.is_empty()
    }

    /// How the connection to Redis fares, where there is one.
    pub fn redis(&self) -> Option<link::Statistics> {
        let link = lock(&self.links).iter().rev().find_map(Weak::upgrade)?;
        Some(link.statistics())
    }

    /// What was decided for the limits in Redis, and by whom, in the order of their names.
    pub fn decisions(&self) -> Vec<(Name, budgets::Statistics)> {
        let newest = |known: &Vec<Shared>| known.iter().rev().find_map(|shared| shared.budgets.upgrade());
        let known: Vec<_> = lock(&self.shared)
            .iter()
            .filter_map(|(name, known)| Some((Name::clone(name), newest(known)?)))
            .collect();
        let mut list: Vec<_> =
            known.into_iter().map(|(name, budgets)| (name, budgets.statistics())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    fn in_memory(&self, wanted: &Wanted) -> Arc<Memory> {
        let mut memory = lock(&self.memory);
        let known = memory.get(&wanted.name).filter(|(max_keys, _)| *max_keys == wanted.max_keys);
        if let Some(known) = known.and_then(|(_, memory)| memory.upgrade()) {
            return known;
        }
        let new = Arc::new(Memory::new(wanted.max_keys, Arc::clone(&self.clock)));
        memory.insert(Name::clone(&wanted.name), (wanted.max_keys, Arc::downgrade(&new)));
        new
    }

    /// The connection with these settings: the one that is there, or a new one.
    fn link(&self, settings: &Redis, observer: &Arc<dyn Observer>) -> Arc<Link> {
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        if let Some(known) = links.iter().filter_map(Weak::upgrade).find(|link| link.settings() == settings) {
            return known;
        }
        let new = Arc::new(Link::start(settings, Arc::clone(observer)));
        links.push(Arc::downgrade(&new));
        new
    }

    fn in_redis(&self, wanted: &Wanted, link: &Arc<Link>) -> Arc<Budgets> {
        let mut shared = lock(&self.shared);
        let known = shared.entry(Name::clone(&wanted.name)).or_default();
        known.retain(|shared| shared.budgets.strong_count() > 0);
        let same = |shared: &&Shared| shared.wanted == *wanted && shared.link.ptr_eq(&Arc::downgrade(link));
        if let Some(budgets) = known.iter().find(same).and_then(|shared| shared.budgets.upgrade()) {
            return budgets;
        }
        let remote = Arc::clone(link) as Arc<dyn Remote>;
        let budgets = Budgets::new(remote, wanted, Arc::clone(&self.clock));
        known.push(Shared {
            wanted: wanted.clone(),
            link: Arc::downgrade(link),
            budgets: Arc::downgrade(&budgets),
        });
        budgets
    }
}

/// The budgets for one configuration.
pub struct Over<'a> {
    registry: &'a Registry,
    redis: Option<&'a Redis>,
    /// Holds the connection until the first budgets do, so that the limits of one configuration share it.
    link: OnceLock<Arc<Link>>,
}

impl Over<'_> {
    /// Whether there is a Redis to count in.
    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }
}

impl Counters for Over<'_> {
    fn of(&self, wanted: &Wanted) -> Arc<dyn Store> {
        match (wanted.place, self.redis, &self.registry.observer) {
            (Place::Redis, Some(settings), Some(observer)) => {
                let link = self.link.get_or_init(|| self.registry.link(settings, observer));
                self.registry.in_redis(wanted, link)
            }
            _ => self.registry.in_memory(wanted),
        }
    }
}

/// Whoever panicked while holding it left a map, which is never half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
