//! The work of an upstream beside its calls: its names are followed, and its endpoints are asked whether they are well.
//!
//! Started once, on the runtime of the process's helpers; it ends with the upstream. Nobody waits for it: until a name is
//! known, calls resolve it themselves.

pub mod discovery;
pub mod guard;
pub mod health;
pub mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::config::{self, Discover, Endpoints, Host};
use crate::runtime::{clock, task};
use crate::telemetry::log::Level;
use crate::upstream::background::state::Tools;
use regex::bytes::Regex;

use super::Upstream;

use super::endpoints::set::Place;
use discovery::{Found, Pace, Sink, dns, file};
use health::{HealthSettings, HttpProbe, Kind, probe};

impl Upstream {
    /// Begins the work, if it has not begun.
    pub fn tend(self: &Arc<Self>, tools: &Tools) {
        {
            let mut state = self.tended.lock();
            if std::mem::replace(&mut state.begun, true) {
                return;
            }
            let _ = self.log.set(Arc::clone(&tools.log));
            state.guards = self.follow(tools);
            state.found = match &self.settings.written.endpoints {
                Endpoints::Fixed(list) => vec![None; list.len()],
                Endpoints::Discovered(_) => vec![None],
            };
        }
        self.ask_all(tools);
    }

    fn follow(self: &Arc<Self>, tools: &Tools) -> Vec<Box<dyn std::any::Any + Send>> {
        let mut guards: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
        let Some(resolver) = &tools.resolver else { return guards };
        match &self.settings.written.endpoints {
            Endpoints::Fixed(list) => {
                for (at, endpoint) in list.iter().enumerate() {
                    let Host::Name(name) = &endpoint.url.host else { continue };
                    let sink = self.sink(at, tools);
                    let (work, guard) =
                        dns::host(resolver.clone(), name, endpoint.url.port, Pace::default(), sink);
                    task::spawn_on(&tools.runtime, work);
                    guards.push(Box::new(guard));
                }
            }
            Endpoints::Discovered(Discover::DnsSrv(name)) => {
                let (work, guard) =
                    dns::service(resolver.clone(), name, Pace::default(), self.sink(0, tools));
                task::spawn_on(&tools.runtime, work);
                guards.push(Box::new(guard));
            }
            Endpoints::Discovered(Discover::File(path)) => {
                let sink = self.sink(0, tools);
                let (work, guard) = file::file(resolver.clone(), path, file::EVERY, Pace::default(), sink);
                task::spawn_on(&tools.runtime, work);
                guards.push(Box::new(guard));
            }
        }
        guards
    }

    /// Takes what is found for one of the endpoints that are written.
    fn sink(self: &Arc<Self>, at: usize, tools: &Tools) -> Sink {
        let (upstream, tools): (Weak<Upstream>, Tools) = (Arc::downgrade(self), tools.clone());
        Arc::new(move |news| {
            let Some(upstream) = upstream.upgrade() else { return };
            match news {
                Ok(found) => {
                    if let Some(place) = upstream.tended.lock().found.get_mut(at) {
                        *place = Some(found);
                    }
                    upstream.renew(&tools);
                }
                Err(why) => {
                    let name = &upstream.settings.name;
                    let message = format_args!("the endpoints of `{name}` cannot be found anew: {why}");
                    tools.log.write_seldom(clock::now(), Level::Warn, ("discovery", name), message, &[]);
                }
            }
        })
    }

    /// Makes the set of what is known by now.
    fn renew(self: &Arc<Self>, tools: &Tools) {
        let mut places = Vec::new();
        {
            let state = self.tended.lock();
            match &self.settings.written.endpoints {
                Endpoints::Discovered(_) => {
                    for found in state.found.iter().flatten().flatten() {
                        places.push(at(found.address, found.address.to_string(), found.weight));
                    }
                }
                Endpoints::Fixed(list) => {
                    for (endpoint, found) in list.iter().zip(&state.found) {
                        places.extend(known(endpoint, found.as_deref()));
                    }
                }
            }
            // Two sources may find the same: it is one endpoint all the same.
            places.dedup();
        }
        self.set.replace(&places, clock::now());
        self.ask_all(tools);
    }

    /// Lets every endpoint of the set be asked whether it is well, and nobody else.
    fn ask_all(self: &Arc<Self>, tools: &Tools) {
        let Some(written) = &self.settings.written.health else { return };
        let endpoints = self.set.endpoints();
        let mut state = self.tended.lock();
        state.probers.retain(|(asked, _)| endpoints.iter().any(|one| Arc::ptr_eq(one, asked)));
        for endpoint in endpoints {
            if state.probers.iter().any(|(asked, _)| Arc::ptr_eq(asked, &endpoint)) {
                continue;
            }
            // One whose address is not known yet is asked when it is.
            let Some(address) = endpoint.address.known() else { continue };
            let settings = Arc::new(settings(written, endpoint.authority()));
            let (told, name, log) =
                (Arc::downgrade(&endpoint), Arc::clone(&self.settings.name), Arc::clone(&tools.log));
            let report = Arc::new(move |change: health::Change| {
                let Some(endpoint) = told.upgrade() else { return };
                if !endpoint.found(change.healthy, clock::now()) {
                    return;
                }
                match change.why {
                    Some(why) => log.warn(format_args!("`{name}`: {address} is unhealthy: {why}")),
                    None => log.info(format_args!("`{name}`: {address} is healthy again")),
                }
            });
            let (work, guard) = probe(address, settings, report);
            task::spawn_on(&tools.runtime, work);
            state.probers.push((endpoint, guard));
        }
    }
}

fn at(address: SocketAddr, authority: String, weight: u32) -> Place {
    Place { host: address.ip().to_string(), port: address.port(), authority, weight }
}

/// The places of an endpoint as it is written: itself, or what its name means.
fn known(endpoint: &config::Endpoint, found: Option<&[Found]>) -> Vec<Place> {
    let authority = endpoint.url.authority();
    let (host, name) = match &endpoint.url.host {
        Host::Ip(ip) => (ip.to_string(), false),
        Host::Name(name) => (name.to_string(), true),
    };
    match found.filter(|_| name) {
        Some(found) => found.iter().map(|one| at(one.address, authority.clone(), endpoint.weight)).collect(),
        None => vec![Place { host, port: endpoint.url.port, authority, weight: endpoint.weight }],
    }
}

fn settings(written: &config::Health, authority: &str) -> HealthSettings {
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
            probe.body = body.as_ref().and_then(|pattern| Regex::new(pattern).ok());
            Kind::Http(probe)
        }
    };
    HealthSettings {
        kind,
        every: written.every,
        timeout: written.timeout,
        healthy: written.healthy,
        unhealthy: written.unhealthy,
    }
}
