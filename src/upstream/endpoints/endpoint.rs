//! One address of a service: its connections, what is under way there, and whether it is well.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::balance::Candidate;
use super::balance::hash::stable;
use super::balance::ramp::ramp;
use super::liveness::Liveness;
use super::outlier::Outlier;
use super::reach::Reach;
use crate::upstream::transport::Transport;
use crate::upstream::transport::address::Address;

/// How long an endpoint that comes back takes to get all of its share.
const SLOW_START: Duration = Duration::from_secs(10);

/// One address of a service.
pub struct Endpoint {
    /// Where it is.
    pub(in crate::upstream) address: Address,
    /// What it calls itself: the Host of its calls, where that is the upstream's own.
    pub(in crate::upstream) authority: Box<str>,
    /// Its part of the calls.
    pub(in crate::upstream) weight: u32,
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
    well: AtomicBool,
    /// When it came back, as long as that matters; the flag spares the lock.
    since: Mutex<Option<Instant>>,
    ramps: AtomicBool,
}

/// A call under way at an endpoint; it ends when this is dropped.
pub(in crate::upstream) struct Active(Arc<Endpoint>);

impl Endpoint {
    /// An endpoint at `host` and `port`; `since` is when it joined a set that was running.
    pub(in crate::upstream) fn new(
        (host, port): (&str, u16),
        authority: String,
        weight: u32,
        cores: usize,
        since: Option<Instant>,
    ) -> Endpoint {
        Endpoint {
            address: Address::new(host, port),
            hash: stable(authority.as_bytes()),
            authority: authority.into(),
            weight,
            transport: Transport::http1(cores),
            liveness: Liveness::default(),
            reach: Reach::default(),
            outlier: Outlier::new(),
            active: AtomicU32::new(0),
            well: AtomicBool::new(true),
            ramps: AtomicBool::new(since.is_some()),
            since: Mutex::new(since),
        }
    }

    /// What it calls itself.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Where it is, as text: for operators.
    pub fn at(&self) -> String {
        self.address.known().map_or_else(|| self.authority.to_string(), |address| address.to_string())
    }

    /// Of its name: the same in every set that it is in.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Calls under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether its health checks say that it is well.
    pub fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// Whether it is left out for its failures.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.outlier.ejected_until(now).is_some()
    }

    /// Notes what a health check has found; whether that is news.
    pub fn found(&self, well: bool, now: Instant) -> bool {
        let news = self.well.swap(well, Ordering::Relaxed) != well;
        if news && well {
            self.came_back(now);
        }
        news
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
    pub(in crate::upstream) fn candidate(&self, now: Instant, tried: bool) -> Candidate {
        Candidate {
            weight: self.weight,
            active: self.active(),
            usable: !tried && self.is_well() && !self.is_ejected(now) && self.reach.is_open(now),
            ramp: self.share(now),
            hash: self.hash,
        }
    }
}

impl Active {
    /// A call begins.
    pub(in crate::upstream) fn begin(endpoint: &Arc<Endpoint>) -> Active {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(endpoint))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
