//! One address of a service: its connections, the calls under way there, and its health.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::balance::Candidate;
use super::balance::hash::stable;
use super::balance::ramp::ramp;
use super::liveness::Liveness;
use super::outlier::Outlier;
use super::reach::Reach;
use crate::config::HttpVersion;
use crate::exchange::Authority;
use crate::exchange::authority::host_address;
use crate::net::tls::client::{ClientTls, Secure};
use crate::upstream::transport::{Transport, address};

/// How long an endpoint that comes back takes to get all of its share.
const SLOW_START: Duration = Duration::from_secs(10);

/// What makes an endpoint the same one in two sets: its weight is no part of that.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndpointKey {
    /// Where it is.
    pub address: SocketAddr,
    /// The Host of its calls, where that is the upstream's own.
    pub authority: Box<str>,
    /// Whether the address is what a name means today.
    pub by_name: bool,
    /// How TLS is spoken to it, if it is: connections that were made otherwise are none of its.
    pub tls: Option<Arc<ClientTls>>,
    /// Which version of HTTP is spoken to it.
    pub version: HttpVersion,
}

/// What the health checks of an endpoint say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HealthState {
    /// Nothing yet, or there are no checks. It gets calls.
    Unknown,
    /// It is healthy.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// One address of a service.
pub struct Endpoint {
    key: EndpointKey,
    secure: Option<Secure>,
    /// What it speaks, with its idle connections.
    pub(in crate::upstream) transport: Transport,
    /// Its failures in a row.
    pub(in crate::upstream) outlier: Outlier,
    /// What its responses say about calls that were cut short.
    pub(in crate::upstream) liveness: Liveness,
    /// Whether connections to it come about.
    pub(in crate::upstream) reach: Reach,
    hash: u64,
    active: AtomicU32,
    health: AtomicU8,
    /// When it came back, as long as that matters; the flag spares the lock.
    since: Mutex<Option<Instant>>,
    ramps: AtomicBool,
}

/// A call under way at an endpoint; it ends when this is dropped.
pub(in crate::upstream) struct Active(Arc<Endpoint>);

impl Endpoint {
    /// An endpoint for `cores` cores; `since` is when it joined a set that was running.
    pub(in crate::upstream) fn new(key: EndpointKey, cores: usize, since: Option<Instant>) -> Endpoint {
        Endpoint {
            hash: hash(&key),
            secure: key.tls.as_ref().map(|tls| tls.to(bare_host(&key.authority))),
            transport: Transport::new(key.version, key.tls.is_some(), cores),
            key,
            liveness: Liveness::default(),
            reach: Reach::default(),
            outlier: Outlier::new(),
            active: AtomicU32::new(0),
            health: AtomicU8::new(HealthState::Unknown as u8),
            ramps: AtomicBool::new(since.is_some()),
            since: Mutex::new(since),
        }
    }

    /// What makes it the same endpoint in another set.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.key.address
    }

    /// The Host of its calls, where that is the upstream's own.
    pub fn authority(&self) -> &str {
        &self.key.authority
    }

    /// How TLS is spoken to it, if it is.
    pub(in crate::upstream) fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// How long a new connection may live, where its address is only what a name means today.
    pub(in crate::upstream) fn lifetime(&self) -> Option<Duration> {
        self.key.by_name.then(address::lifetime)
    }

    /// How many sessions of HTTP/2 with it there are, and how many streams are open on them; `None` where it is never
    /// spoken.
    pub fn sessions(&self) -> Option<(usize, usize)> {
        self.transport.sessions()
    }

    /// The same in every set that it is in.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Calls under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// What its health checks say.
    pub fn health(&self) -> HealthState {
        match self.health.load(Ordering::Relaxed) {
            0 => HealthState::Unknown,
            1 => HealthState::Healthy,
            _ => HealthState::Unhealthy,
        }
    }

    /// Whether its health checks say that it is unhealthy.
    pub fn is_unhealthy(&self) -> bool {
        self.health() == HealthState::Unhealthy
    }

    /// Until when it is left out for its failures; none where it is not.
    pub(in crate::upstream) fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.outlier.ejected_until(now)
    }

    /// Whether it is avoided, for connections to it failed.
    pub fn is_avoided(&self, now: Instant) -> bool {
        !self.reach.is_open(now)
    }

    /// Whether it is left out for its failures.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.outlier.ejected_until(now).is_some()
    }

    /// Notes what a health check has found; whether it gets calls now and did not, or the other way round.
    pub fn checked(&self, healthy: bool, now: Instant) -> bool {
        let state = if healthy { HealthState::Healthy } else { HealthState::Unhealthy };
        let was_unhealthy = self.health.swap(state as u8, Ordering::Relaxed) == HealthState::Unhealthy as u8;
        if healthy && was_unhealthy {
            self.came_back(now);
        }
        healthy == was_unhealthy
    }

    /// It is checked no longer.
    pub(in crate::upstream) fn forget_health(&self) {
        self.health.store(HealthState::Unknown as u8, Ordering::Relaxed);
    }

    /// It gets its calls slowly from now on.
    pub(in crate::upstream) fn came_back(&self, now: Instant) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.ramps.store(true, Ordering::Relaxed);
    }

    fn share(&self, now: Instant) -> f32 {
        if !self.ramps.load(Ordering::Relaxed) {
            return 1.0;
        }
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let share = since.map_or(1.0, |since| ramp(since, now, SLOW_START));
        if share >= 1.0 {
            self.ramps.store(false, Ordering::Relaxed);
        }
        share
    }

    /// What a balancer knows of it. `tried`: it had its chance in this call.
    pub(in crate::upstream) fn candidate(&self, weight: u32, now: Instant, tried: bool) -> Candidate {
        let usable = !tried && !self.is_unhealthy() && !self.is_ejected(now) && self.reach.is_open(now);
        Candidate { weight, active: self.active(), usable, ramp: self.share(now), hash: self.hash }
    }
}

/// The host of an authority without the brackets of an address.
pub(in crate::upstream) fn bare_host(authority: &str) -> &str {
    Authority::split(authority).host.trim_matches(['[', ']'])
}

impl Active {
    /// A call begins.
    pub(in crate::upstream) fn begin(endpoint: &Arc<Endpoint>) -> Active {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(endpoint))
    }
}

/// An address that is written hashes by its authority, which is the address; one of a name by both, for all
/// addresses of a name have one authority.
fn hash(key: &EndpointKey) -> u64 {
    let EndpointKey { address, authority, .. } = key;
    let written = authority.parse().is_ok_and(|written: SocketAddr| written == *address)
        || host_address(authority) == Some(address.ip());
    if written { stable(authority.as_bytes()) } else { stable(format!("{authority} {address}").as_bytes()) }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(address: &str, authority: &str) -> u64 {
        let address = address.parse().unwrap();
        hash(&EndpointKey {
            address,
            authority: authority.into(),
            by_name: false,
            tls: None,
            version: HttpVersion::Auto,
        })
    }

    #[test]
    fn a_written_address_hashes_as_ever_and_the_addresses_of_a_name_differ() {
        for (address, authority) in
            [("10.0.0.1:3001", "10.0.0.1:3001"), ("10.0.0.1:80", "10.0.0.1"), ("[::1]:80", "[::1]")]
        {
            assert_eq!(hash_of(address, authority), stable(authority.as_bytes()));
        }
        let one = hash_of("10.0.0.1:80", "users");
        assert_ne!(one, hash_of("10.0.0.2:80", "users"));
        assert_ne!(one, hash_of("10.0.0.1:80", "orders"));
    }

    #[test]
    fn a_connection_to_an_address_of_a_name_has_an_end() {
        let endpoint = |by_name| {
            let (address, authority) = ("10.0.0.1:80".parse().unwrap(), "users".into());
            Endpoint::new(
                EndpointKey { address, authority, by_name, tls: None, version: HttpVersion::Auto },
                1,
                None,
            )
        };
        assert_eq!(endpoint(false).lifetime(), None);
        let lifetimes: Vec<_> = (0..20).filter_map(|_| endpoint(true).lifetime()).collect();
        assert!(lifetimes.iter().all(|life| (40..60).contains(&life.as_secs())), "{lifetimes:?}");
        assert!(lifetimes.len() == 20 && lifetimes.iter().any(|life| *life != lifetimes[0]));
    }

    #[test]
    fn the_first_check_is_no_change_unless_it_fails() {
        let key = EndpointKey {
            address: "10.0.0.1:80".parse().unwrap(),
            authority: "10.0.0.1".into(),
            by_name: false,
            tls: None,
            version: HttpVersion::Auto,
        };
        let (endpoint, now) = (Endpoint::new(key, 1, None), Instant::now());
        assert_eq!(endpoint.health(), HealthState::Unknown);
        let changes = [true, true, false, false, true].map(|healthy| endpoint.checked(healthy, now));
        assert_eq!(changes, [false, false, true, false, true]);
        assert!(endpoint.candidate(1, now, false).ramp < 0.2, "it came back and begins slowly");
        endpoint.forget_health();
        assert_eq!(endpoint.health(), HealthState::Unknown);
        assert!(endpoint.checked(false, now));
    }
}
