//! The background work of an upstream: its names are followed, and the health of its endpoints is checked.
//!
//! It begins on the runtime that [`Tools`] name when a snapshot that has the upstream comes into force. An
//! upstream that a reload puts in the place of another one of its name takes the work over: sources of endpoints and
//! probers whose settings are the same go on, and what they know stays known.

pub mod discovery;
pub mod guard;
pub mod health;
mod source;
pub mod state;
pub mod tools;

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{self, Endpoints, HttpVersion};
use crate::net::network::Destination;
use crate::runtime::{clock, task};
use crate::telemetry::log::Level;

use super::Upstream;

use super::endpoints::Endpoint;
use super::endpoints::endpoint::{EndpointKey, HealthState};
use super::endpoints::set::Place;
use super::limits::breaker::{Breaker, State};
use discovery::Found;
use health::{HealthSettings, HttpProbe, Kind, probe};
use source::{EndpointSource, Owner, SourceKey};
use tools::Tools;

impl Upstream {
    /// Begins the work, if it has not begun. `before` is the upstream whose place this one takes. To be called on the
    /// thread of `tools.runtime`: an answer that came in between would make a set of half of the sources.
    pub fn start_background(self: &Arc<Self>, tools: &Tools, before: Option<&Arc<Upstream>>) {
        if std::mem::replace(&mut self.background.lock().begun, true) {
            return;
        }
        let _ = self.log.set(Arc::clone(&tools.log));
        let before = before.filter(|before| !Arc::ptr_eq(before, self));
        let settings = &self.settings.written;
        let known = before.map_or(&[][..], |before| before.background.sources());
        let owner = self.owner(tools);
        let follow = |key| EndpointSource::follow(key, settings.absent_after, known, &owner, tools);
        let sources = SourceKey::all(settings).into_iter().map(|key| key.map(follow)).collect();
        self.background.begin(sources);
        if let Some(before) = before {
            self.take_over(before);
            self.log_new_breaker(before, tools);
        }
        let reported = Arc::clone(&self.background.lock().breaker);
        *reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.breaker.clone());
        let pool = before.map(|before| before.set.endpoints()).unwrap_or_default();
        self.renew(tools, &pool);
    }

    /// Takes what sources find as long as this upstream is there.
    fn owner(self: &Arc<Self>, tools: &Tools) -> Owner {
        let (upstream, tools) = (Arc::downgrade(self), tools.clone());
        Arc::new(move |failure| {
            let Some(upstream) = upstream.upgrade() else { return };
            if let Some(why) = failure {
                upstream.log_lookup_failure(why, &tools);
            }
            // What was learned before a failure is in the set already.
            if failure.is_none() || !upstream.set.is_known() {
                upstream.renew(&tools, &[]);
            }
        })
    }

    /// Takes over what the other upstream has under way: calls count against this one's limit, and probers with the
    /// same settings go on.
    fn take_over(&self, before: &Upstream) {
        self.gate.come_into_force();
        let mut progress = self.background.lock();
        let mut old = before.background.lock();
        old.over = true;
        progress.empty = old.empty;
        let probers = std::mem::take(&mut old.probers);
        if before.settings.written.health == self.settings.written.health {
            progress.probers = probers;
            progress.breaker = Arc::clone(&old.breaker);
        }
    }

    /// Makes the set of what is known by now. Endpoints of `pool` are taken in the place of new ones.
    fn renew(self: &Arc<Self>, tools: &Tools, pool: &[Arc<Endpoint>]) {
        let sources = self.background.sources();
        let latest: Vec<_> =
            sources.iter().map(|source| source.as_ref().map(|source| source.latest())).collect();
        let settled = latest.iter().flatten().all(|latest| latest.settled);
        let mut places = Vec::new();
        match &self.settings.written.endpoints {
            Endpoints::Discovered(_) => {
                let found = latest.iter().flatten().filter_map(|latest| latest.found.as_ref()).flatten();
                places.extend(found.map(|found| {
                    let authority = found.address.to_string().into();
                    let (address, by_name) = (found.address, found.by_name);
                    let (tls, version) = (self.tls.clone(), self.settings.written.protocol);
                    let key = EndpointKey { address, authority, by_name, tls, version };
                    Place { key, weight: found.weight }
                }));
            }
            Endpoints::Fixed(list) => {
                for (endpoint, latest) in list.iter().zip(&latest) {
                    match latest {
                        None => {
                            let spoken = (self.tls.as_ref(), self.settings.written.protocol);
                            places.extend(Place::written(&endpoint.url, endpoint.weight, spoken))
                        }
                        Some(latest) => {
                            places.extend(self.meant(endpoint, latest.found.as_deref().unwrap_or(&[])))
                        }
                    }
                }
            }
        }
        let before = self.set.endpoints();
        self.set.replace(&places, settled, pool, clock::now());
        let after = self.set.endpoints();
        let is_new = |one: &Arc<Endpoint>| !before.iter().any(|known| Arc::ptr_eq(known, one));
        if !before.is_empty() && !after.is_empty() && after.iter().all(is_new) {
            // The service has moved: what its old endpoints did says little about the new ones.
            self.breaker.probe_now(clock::now());
        }
        if self.set.is_found() {
            self.log_emptiness(places.is_empty(), settled, tools);
        }
        self.check_endpoints(tools);
    }

    /// Logs that an open breaker has begun anew with other settings.
    fn log_new_breaker(&self, before: &Upstream, tools: &Tools) {
        let was_open = before.breaker.state(clock::now()) != State::Closed;
        if was_open && before.settings.written.breaker != self.settings.written.breaker {
            let name = &self.settings.name;
            tools
                .log
                .info(format_args!("breaker of `{name}` begins anew, closed: its settings have changed"));
        }
    }

    /// A source could not learn anything new.
    fn log_lookup_failure(&self, why: &str, tools: &Tools) {
        let name = &self.settings.name;
        let message =
            format_args!("the endpoints of `{name}` cannot be looked up, the last ones stay in use: {why}");
        tools.log.write_seldom(clock::now(), Level::Warn, ("discovery", name), message, &[]);
    }

    /// Logs once that there are no endpoints any more, and once that there are some again.
    fn log_emptiness(&self, empty: bool, settled: bool, tools: &Tools) {
        let name = &self.settings.name;
        let was_empty = {
            let mut progress = self.background.lock();
            if progress.over || (empty && !settled) {
                return;
            }
            std::mem::replace(&mut progress.empty, empty)
        };
        match (was_empty, empty) {
            (false, true) => tools.log.warn(format_args!("`{name}` has no endpoints: its calls fail")),
            (true, false) => tools.log.info(format_args!("`{name}` has endpoints again")),
            _ => {}
        }
    }

    /// Has its names asked for early: an address of one does not answer, or there is none.
    pub(in crate::upstream) fn look_up_again(&self) {
        self.background.sources().iter().flatten().for_each(|source| source.ask_again());
    }

    /// Has the health of every endpoint of the set checked, and of no other.
    fn check_endpoints(self: &Arc<Self>, tools: &Tools) {
        let endpoints = self.set.endpoints();
        let mut progress = self.background.lock();
        if progress.over {
            return;
        }
        let Some(written) = &self.settings.written.health else {
            endpoints.iter().for_each(|endpoint| endpoint.forget_health());
            return;
        };
        progress.probers.retain(|(checked, _)| endpoints.iter().any(|one| Arc::ptr_eq(one, checked)));
        for endpoint in endpoints {
            if !progress.probers.iter().any(|(checked, _)| Arc::ptr_eq(checked, &endpoint)) {
                let guard = self.check(&endpoint, written, &progress.breaker, tools);
                progress.probers.push((endpoint, guard));
            }
        }
    }

    /// Has the health of one endpoint checked, beginning with what is known of it.
    fn check(
        &self,
        endpoint: &Arc<Endpoint>,
        written: &config::Health,
        breaker: &Arc<Mutex<Option<Breaker>>>,
        tools: &Tools,
    ) -> guard::Guard {
        let address = endpoint.address();
        let settings = Arc::new(settings(written, self.settings.written.protocol, endpoint.authority()));
        let known = match endpoint.health() {
            HealthState::Unknown => None,
            state => Some(state == HealthState::Healthy),
        };
        let (checked, name, log) =
            (Arc::downgrade(endpoint), Arc::clone(&self.settings.name), Arc::clone(&tools.log));
        let breaker = Arc::clone(breaker);
        let report = Arc::new(move |change: health::Change| {
            let Some(endpoint) = checked.upgrade() else { return };
            if !endpoint.checked(change.healthy, clock::now()) {
                return;
            }
            match change.why {
                Some(why) => log.warn(format_args!("`{name}`: {address} is unhealthy: {why}")),
                None => {
                    log.info(format_args!("`{name}`: {address} is healthy again"));
                    if let Some(breaker) = &*breaker.lock().unwrap_or_else(PoisonError::into_inner) {
                        breaker.probe_now(clock::now());
                    }
                }
            }
        });
        let secure = endpoint.secure().cloned();
        let destination = Destination { network: self.network.clone(), address, secure };
        let (work, guard) = probe(destination, settings, known, report);
        task::spawn_on(&tools.runtime, work);
        guard
    }

    /// What the name of an endpoint means.
    fn meant<'a>(
        &'a self,
        endpoint: &'a config::Endpoint,
        found: &'a [Found],
    ) -> impl Iterator<Item = Place> + 'a {
        let authority: Box<str> = endpoint.url.authority().into();
        found.iter().map(move |found| {
            let (authority, tls) = (authority.clone(), self.tls.clone());
            let version = self.settings.written.protocol;
            let key = EndpointKey { address: found.address, authority, by_name: true, tls, version };
            Place { key, weight: endpoint.weight }
        })
    }
}

fn settings(written: &config::Health, version: HttpVersion, authority: &str) -> HealthSettings {
    let kind = match &written.probe {
        config::Probe::Tcp => Kind::Tcp,
        config::Probe::Grpc(service) => {
            Kind::Grpc { service: service.clone(), authority: authority.to_owned() }
        }
        config::Probe::Http { path, status, body } => {
            let mut probe = HttpProbe::new(path, authority);
            if !status.is_empty() {
                probe.status = status.iter().map(|status| *status..=*status).collect();
            }
            // It was compiled when it was read.
            probe.body = body.as_ref().and_then(|pattern| config::bytes_regex(pattern).ok());
            Kind::Http(probe)
        }
    };
    HealthSettings {
        kind,
        version,
        every: written.every,
        timeout: written.timeout,
        healthy: written.healthy,
        unhealthy: written.unhealthy,
    }
}
