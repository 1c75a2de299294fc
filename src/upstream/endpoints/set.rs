//! The endpoints of an upstream, as a whole, and which of them gets the next call.
//!
//! An endpoint is the same one in every set where its key is: sets that follow each other, also over a reload, share
//! it with its connections, its health and the calls under way. Its weight belongs to the set.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use smallvec::SmallVec;
use tokio::sync::watch;

use crate::config::{Balance, Endpoints, Host, HttpVersion, UpstreamSettings, Url};
use crate::exchange::authority::host_address;
use crate::exchange::{Authority, CoreId};
use crate::net::tls::client::ClientTls;
use crate::runtime::{random, time};

use super::balance::kinds::Kind;
use super::balance::random::Random;
use super::balance::{Balancer, Candidate};
use super::endpoint::{Endpoint, EndpointKey};
use super::handles::Handles;
use super::outlier::{OutlierSettings, most_ejected};

/// An endpoint as it is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which one it is.
    pub key: EndpointKey,
    /// Its part of the calls.
    pub weight: u32,
}

impl Place {
    /// The place of an endpoint that is written, where it is an address.
    pub(in crate::upstream) fn written(
        url: &Url,
        weight: u32,
        (tls, version): (Option<&Arc<ClientTls>>, HttpVersion),
    ) -> Option<Place> {
        let Host::Ip(ip) = url.host else { return None };
        let (address, authority) = ((ip, url.port).into(), url.authority().into());
        let key = EndpointKey { address, authority, by_name: false, tls: tls.cloned(), version };
        Some(Place { key, weight })
    }
}

/// The endpoints of one upstream.
pub struct Set {
    members: Members,
    kind: Kind,
    outliers: Option<OutlierSettings>,
    /// Held while it is decided whether one more endpoint may be ejected.
    ejecting: Mutex<()>,
    cores: usize,
}

/// The endpoints at one moment.
pub(in crate::upstream) struct Listed {
    pub(in crate::upstream) endpoints: Box<[Arc<Endpoint>]>,
    weights: Box<[u32]>,
    balancer: Box<dyn Balancer>,
    /// Who gets the next attempt of a call where the balancer goes by turns: those are for calls. A call that began at
    /// a dead endpoint would else use up the turn of the next one, which then begins there too.
    again: Option<Random>,
}

enum Members {
    /// They never change: references to them are not counted.
    Fixed(Arc<Listed>),
    /// They are found, again and again.
    Found(Box<FoundMembers>),
}

struct FoundMembers {
    /// What each core sees.
    handles: Handles<Listed>,
    /// The same for those that change it or report on it.
    current: Mutex<Arc<Listed>>,
    /// Whether there is an endpoint, or every source has answered once.
    known: watch::Sender<bool>,
    /// Whether the set has run: an endpoint that comes later is a newcomer.
    running: AtomicBool,
}

/// The endpoints as one call sees them.
pub(in crate::upstream) enum Seen<'a> {
    Fixed(&'a Listed),
    Found(super::handles::Handle<Listed>),
}

impl std::ops::Deref for Seen<'_> {
    type Target = Listed;

    fn deref(&self) -> &Listed {
        match self {
            Seen::Fixed(listed) => listed,
            Seen::Found(listed) => listed,
        }
    }
}

/// Endpoints that had their chance in a call.
pub(in crate::upstream) type Tried = SmallVec<[usize; 4]>;

impl Set {
    /// The endpoints whose addresses are written; those behind names are found later. An endpoint that `before` has
    /// too is shared with it.
    pub(in crate::upstream) fn new(
        written: &UpstreamSettings,
        tls: Option<&Arc<ClientTls>>,
        cores: usize,
        before: Option<&Set>,
        now: Instant,
    ) -> Set {
        let kind = match written.balance {
            Balance::LeastRequest => Kind::LeastRequest,
            Balance::RoundRobin => Kind::RoundRobin,
            Balance::Random => Kind::Random,
            Balance::ConsistentHash(_) => Kind::ConsistentHash,
        };
        let (count, places) = match &written.endpoints {
            Endpoints::Discovered(_) => (1, Vec::new()),
            Endpoints::Fixed(list) => {
                let spoken = (tls, written.protocol);
                let place = |endpoint: &crate::config::Endpoint| {
                    Place::written(&endpoint.url, endpoint.weight, spoken)
                };
                (list.len(), list.iter().filter_map(place).collect())
            }
        };
        let pool = before.map(Set::endpoints).unwrap_or_default();
        let since = (before.is_some_and(Set::is_running) && !pool.is_empty()).then_some(now);
        let listed = Listed::of(kind, &places, &pool, cores, since);
        Set {
            members: if places.len() == count {
                Members::Fixed(Arc::new(listed))
            } else {
                let known = !listed.endpoints.is_empty();
                let listed = Arc::new(listed);
                Members::Found(Box::new(FoundMembers {
                    handles: Handles::new(&listed),
                    current: Mutex::new(listed),
                    known: watch::Sender::new(known),
                    running: AtomicBool::new(since.is_some()),
                }))
            },
            kind,
            outliers: written.outliers.as_ref().map(|outliers| OutlierSettings {
                consecutive: outliers.consecutive,
                eject: outliers.eject,
                max_ejected: outliers.max_ejected,
            }),
            ejecting: Mutex::new(()),
            cores,
        }
    }

    /// The endpoints, now.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        match &self.members {
            Members::Fixed(listed) => listed.endpoints.to_vec(),
            Members::Found(found) => found.current().endpoints.to_vec(),
        }
    }

    /// Whether one of the endpoints is called so, or is at this address.
    pub(in crate::upstream) fn is_named(&self, authority: &str) -> bool {
        self.endpoints().iter().any(|one| {
            let own = one.authority();
            authority.eq_ignore_ascii_case(own)
                || authority.eq_ignore_ascii_case(Authority::split(own).host)
                || authority == one.address().to_string()
                || host_address(authority) == Some(one.address().ip())
        })
    }

    /// Whether one of the endpoints has a name, without its port, for which this holds.
    pub(in crate::upstream) fn has_name(&self, holds: impl Fn(&str) -> bool) -> bool {
        self.endpoints().iter().any(|one| holds(Authority::split(one.authority()).host))
    }

    /// The endpoints as a call on this core sees them.
    pub(in crate::upstream) fn seen(&self, core: CoreId) -> Seen<'_> {
        match &self.members {
            Members::Fixed(listed) => Seen::Fixed(listed),
            Members::Found(found) => Seen::Found(found.handles.of(core)),
        }
    }

    /// Whether the endpoints are found by name or in a file, so that there may be none.
    pub fn is_found(&self) -> bool {
        matches!(self.members, Members::Found(_))
    }

    /// Waits until there is an endpoint or every source has answered once, or until `end`; whether that came.
    pub fn known(&self, end: Instant) -> impl Future<Output = bool> + Send + 'static {
        let known = match &self.members {
            Members::Fixed(_) => None,
            Members::Found(found) => Some(found.known.subscribe()),
        };
        async move {
            let Some(mut known) = known else { return true };
            // A set that has gone is not waited for.
            time::timeout_at(end, known.wait_for(|known| *known)).await.is_ok()
        }
    }

    /// Whether there is an endpoint, or every source has answered once.
    pub fn is_known(&self) -> bool {
        match &self.members {
            Members::Fixed(_) => true,
            Members::Found(found) => *found.known.borrow(),
        }
    }

    fn is_running(&self) -> bool {
        match &self.members {
            Members::Fixed(_) => true,
            Members::Found(found) => found.running.load(Ordering::Relaxed),
        }
    }

    /// Puts other endpoints in the place of these. An endpoint that is here already, or in `pool`, keeps its
    /// connections and all that is known of it; one that is not in `places` ends with its last call. A key that is
    /// there twice is one endpoint with both weights. `settled`: every source has answered once.
    pub(in crate::upstream) fn replace(
        &self,
        places: &[Place],
        settled: bool,
        pool: &[Arc<Endpoint>],
        now: Instant,
    ) {
        let Members::Found(found) = &self.members else { return };
        let mut current = found.current.lock().unwrap_or_else(PoisonError::into_inner);
        let pool: Vec<_> = current.endpoints.iter().chain(pool).map(Arc::clone).collect();
        // The first endpoints of all are no newcomers.
        let since = (found.running.load(Ordering::Relaxed) && !pool.is_empty()).then_some(now);
        let listed = Arc::new(Listed::of(self.kind, places, &pool, self.cores, since));
        found.handles.set(&listed);
        let known = settled || !listed.endpoints.is_empty();
        *current = listed;
        found.running.fetch_or(settled, Ordering::Relaxed);
        drop(current);
        found.known.send_if_modified(|before| !std::mem::replace(before, *before || known) && known);
    }

    /// Notes that an attempt at an endpoint went well or failed; whether it has been ejected for that.
    pub(in crate::upstream) fn attempted(
        &self,
        listed: &Listed,
        endpoint: &Endpoint,
        failed: bool,
        now: Instant,
    ) -> bool {
        let Some(settings) = &self.outliers else { return false };
        if !failed {
            endpoint.outlier.success();
            return false;
        }
        let most = most_ejected(settings.max_ejected, listed.endpoints.len());
        let mut guard = None;
        let ejected = endpoint.outlier.failure(now, settings, || {
            guard = Some(self.ejecting.lock().unwrap_or_else(PoisonError::into_inner));
            listed.endpoints.iter().filter(|other| other.is_ejected(now)).count() < most
        });
        drop(guard);
        if ejected {
            // When it is back, it begins slowly.
            endpoint.came_back(endpoint.outlier.ejected_until(now).unwrap_or(now));
        }
        ejected
    }

    pub(in crate::upstream) fn sweep(&self, core: CoreId, now: Instant) {
        for endpoint in &self.seen(core).endpoints {
            endpoint.transport.sweep(core, now);
        }
    }
}

impl FoundMembers {
    fn current(&self) -> Arc<Listed> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listed {
    /// The endpoints at these places, each once: those of the pool, and new ones, which joined at `since` if the set
    /// ran before.
    fn of(
        kind: Kind,
        places: &[Place],
        pool: &[Arc<Endpoint>],
        cores: usize,
        since: Option<Instant>,
    ) -> Listed {
        let mut weights: Vec<u32> = Vec::with_capacity(places.len());
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(places.len());
        let mut at: crate::runtime::hash::HashMap<&EndpointKey, usize> = Default::default();
        let known: crate::runtime::hash::HashMap<&EndpointKey, &Arc<Endpoint>> =
            pool.iter().rev().map(|endpoint| (endpoint.key(), endpoint)).collect();
        for Place { key, weight } in places {
            if let Some(at) = at.get(key) {
                weights[*at] = weights[*at].saturating_add(*weight);
                continue;
            }
            at.insert(key, endpoints.len());
            weights.push(*weight);
            let new = || Arc::new(Endpoint::new(key.clone(), cores, since));
            endpoints.push(known.get(key).map_or_else(new, |known| Arc::clone(known)));
        }
        let balancer = kind.build();
        let shares: Vec<(u64, u32)> =
            endpoints.iter().zip(&weights).map(|(endpoint, weight)| (endpoint.hash(), *weight)).collect();
        balancer.rebuilt(&shares);
        let again = matches!(kind, Kind::RoundRobin).then(Random::default);
        if let Some(again) = &again {
            again.rebuilt(&shares);
        }
        Listed { endpoints: endpoints.into(), weights: weights.into(), balancer, again }
    }

    /// The endpoint of the next attempt: one that is well and was not tried, or, where there is none, any that was not
    /// tried, or any at all. `None` where there are no endpoints.
    pub(in crate::upstream) fn pick(
        &self,
        tried: &Tried,
        key: Option<u64>,
        core: CoreId,
        now: Instant,
    ) -> Option<usize> {
        let count = self.endpoints.len();
        if count <= 1 {
            return count.checked_sub(1);
        }
        self.pick_other(tried, key, core, now).or_else(|| {
            let any = |at: usize| Candidate { usable: true, ..self.candidate(at, now, false) };
            self.choose(tried, key, core, &any)
        })
    }

    /// An endpoint that was not tried: one that is well, or, where there is none, any.
    pub(in crate::upstream) fn pick_other(
        &self,
        tried: &Tried,
        key: Option<u64>,
        core: CoreId,
        now: Instant,
    ) -> Option<usize> {
        if tried.len() >= self.endpoints.len() {
            return None;
        }
        self.pick_well(tried, key, core, now).or_else(|| {
            let untried =
                |at: usize| Candidate { usable: !tried.contains(&at), ..self.candidate(at, now, false) };
            self.choose(tried, key, core, &untried)
        })
    }

    /// An endpoint that is well and was not tried.
    pub(in crate::upstream) fn pick_well(
        &self,
        tried: &Tried,
        key: Option<u64>,
        core: CoreId,
        now: Instant,
    ) -> Option<usize> {
        self.choose(tried, key, core, &|at| self.candidate(at, now, tried.contains(&at)))
    }

    fn choose(
        &self,
        tried: &[usize],
        key: Option<u64>,
        core: CoreId,
        of: &dyn Fn(usize) -> Candidate,
    ) -> Option<usize> {
        let balancer = match &self.again {
            Some(again) if !tried.is_empty() => again,
            _ => &*self.balancer,
        };
        balancer.pick(self.endpoints.len(), of, key, core, &mut random::generator())
    }

    fn candidate(&self, at: usize, now: Instant, tried: bool) -> Candidate {
        self.endpoints[at].candidate(self.weights[at], now, tried)
    }
}

#[cfg(test)]
mod tests;
