//! The endpoints of an upstream, as a whole, and who of them gets the next call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use crate::config::{Balance, Endpoints, Host, UpstreamSettings, Url};
use crate::exchange::CoreId;
use crate::runtime::random;

use super::balance::kinds::Kind;
use super::balance::random::Random;
use super::balance::{Balancer, Candidate};
use super::endpoint::Endpoint;
use super::outlier::{OutlierSettings, most_ejected};

/// An endpoint as it is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it calls itself.
    pub authority: String,
    /// Its part of the calls.
    pub weight: u32,
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
    balancer: Box<dyn Balancer>,
    /// Who gets the next attempt of a call where the balancer goes by turns: those are for calls. A call that began at
    /// a dead endpoint would else use up the turn of the next one, which then begins there too.
    again: Option<Random>,
}

enum Members {
    /// They never change: nobody counts references to them.
    Fixed(Arc<Listed>),
    /// They are found, again and again.
    Found(ArcSwap<Listed>),
}

/// The endpoints as one call sees them.
pub(in crate::upstream) enum Seen<'a> {
    Fixed(&'a Listed),
    Found(Arc<Listed>),
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

fn is_name(url: &Url) -> bool {
    matches!(url.host, Host::Name(_))
}

/// Endpoints that had their chance in a call.
pub(in crate::upstream) type Tried = SmallVec<[usize; 4]>;

impl Set {
    /// The endpoints that are written; none yet where they are found.
    pub(in crate::upstream) fn new(written: &UpstreamSettings, cores: usize) -> Set {
        let kind = match written.balance {
            Balance::LeastRequest => Kind::LeastRequest,
            Balance::RoundRobin => Kind::RoundRobin,
            Balance::Random => Kind::Random,
            Balance::ConsistentHash(_) => Kind::ConsistentHash,
        };
        let places: Vec<Place> = match &written.endpoints {
            Endpoints::Discovered(_) => Vec::new(),
            Endpoints::Fixed(list) => list
                .iter()
                .map(|endpoint| Place {
                    host: match &endpoint.url.host {
                        Host::Name(name) => name.to_string(),
                        Host::Ip(ip) => ip.to_string(),
                    },
                    port: endpoint.url.port,
                    authority: endpoint.url.authority(),
                    weight: endpoint.weight,
                })
                .collect(),
        };
        let made = places
            .iter()
            .map(|place| {
                Arc::new(Endpoint::new(
                    (&place.host, place.port),
                    place.authority.clone(),
                    place.weight,
                    cores,
                    None,
                ))
            })
            .collect();
        let listed = Arc::new(Listed::new(kind, made));
        Set {
            members: if written.endpoints.urls().any(is_name) || places.is_empty() {
                Members::Found(ArcSwap::new(listed))
            } else {
                Members::Fixed(listed)
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
        self.seen().endpoints.to_vec()
    }

    pub(in crate::upstream) fn seen(&self) -> Seen<'_> {
        match &self.members {
            Members::Fixed(listed) => Seen::Fixed(listed),
            Members::Found(listed) => Seen::Found(listed.load_full()),
        }
    }

    /// Whether one of the endpoints is called so, or is at this address.
    pub(in crate::upstream) fn is_named(&self, authority: &str) -> bool {
        let of = |one: &Arc<Endpoint>| {
            let host = one.authority.rsplit_once(':').map_or(&*one.authority, |(host, _)| host);
            authority.eq_ignore_ascii_case(&one.authority)
                || authority.eq_ignore_ascii_case(host)
                || authority == one.at()
        };
        self.seen().endpoints.iter().any(of)
    }

    /// Puts another set in the place of this one. An endpoint that is in both keeps its connections and all that is known
    /// of it; one that is in this one alone ends with its last call.
    pub fn replace(&self, places: &[Place], now: Instant) {
        let Members::Found(members) = &self.members else { return };
        let before = members.load_full();
        // The first endpoints of all have nobody to be compared with, and what a name means is no newcomer to it.
        let running = before.endpoints.iter().any(|one| one.address.known().is_some());
        let since = running.then_some(now);
        let endpoints = places
            .iter()
            .map(|place| {
                let at = (place.host.as_str(), place.port);
                let same = |one: &&Arc<Endpoint>| {
                    one.address.is(at) && *one.authority == *place.authority && one.weight == place.weight
                };
                before.endpoints.iter().find(same).map(Arc::clone).unwrap_or_else(|| {
                    Arc::new(Endpoint::new(at, place.authority.clone(), place.weight, self.cores, since))
                })
            })
            .collect();
        members.store(Arc::new(Listed::new(self.kind, endpoints)));
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
        for endpoint in &self.seen().endpoints {
            endpoint.transport.sweep(core, now);
        }
    }
}

impl Listed {
    fn new(kind: Kind, endpoints: Box<[Arc<Endpoint>]>) -> Listed {
        let balancer = kind.build();
        let told: Vec<(u64, u32)> =
            endpoints.iter().map(|endpoint| (endpoint.hash(), endpoint.weight)).collect();
        balancer.rebuilt(&told);
        let again = matches!(kind, Kind::RoundRobin).then(Random::default);
        if let Some(again) = &again {
            again.rebuilt(&told);
        }
        Listed { endpoints, balancer, again }
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
            let any = |at: usize| Candidate { usable: true, ..self.endpoints[at].candidate(now, false) };
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
            let untried = |at: usize| Candidate {
                usable: !tried.contains(&at),
                ..self.endpoints[at].candidate(now, false)
            };
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
        self.choose(tried, key, core, &|at| self.endpoints[at].candidate(now, tried.contains(&at)))
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
}
