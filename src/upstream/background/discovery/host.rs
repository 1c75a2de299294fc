//! One host whose addresses are followed: what it was last said to mean, and when to ask again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::runtime::clock;
use crate::runtime::task::JoinSet;
use std::time::{Duration, Instant};

use super::Found;
use super::order::{has_route, interleave, merged, shares};
use super::resolver::{Addresses, Failed, Resolver};

/// How often names are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The least time between two questions for a name, however short its records live.
    pub min: Duration,
    /// The longest time that an answer is relied on, however long its records live.
    pub max: Duration,
    /// The longest time that the absence of a name is relied on at first.
    pub absent: Duration,
    /// The longest time between two questions while nothing is learned: every failure doubles it up to there.
    pub backoff: Duration,
    /// How long a name must be absent before its last addresses are given up.
    pub absent_after: Duration,
    /// Whether addresses are in use from before the first question: it may then not be believed at once that there
    /// are none.
    pub carries: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        let seconds = Duration::from_secs;
        Pace {
            min: seconds(1),
            max: seconds(30),
            absent: seconds(5),
            backoff: seconds(30),
            absent_after: seconds(30),
            carries: false,
        }
    }
}

impl Pace {
    /// How long an answer holds.
    pub(super) fn found(&self, ttl: Duration) -> Duration {
        ttl.min(self.max).max(self.min)
    }

    /// When to ask again after so many failures in a row, at least 1.
    pub(super) fn failed(&self, failures: u32, failed: &Failed) -> Duration {
        let first = match failed {
            Failed::Absent { ttl } => ttl.unwrap_or_default().min(self.absent),
            Failed::Broken(_) => self.min,
        };
        let doubled = first.max(self.min).saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.backoff).max(self.min)
    }
}

/// Since when a name has been absent without a break. A question that failed says nothing, and breaks nothing.
#[derive(Default)]
pub(super) struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// The name is there.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// The name is not there: whether that is believed. At once, where nothing is in use that it could take away.
    pub(super) fn is_believed(&mut self, in_use: bool, pace: &Pace, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        !in_use || now.saturating_duration_since(since) >= pace.absent_after
    }

    /// When to ask again at the latest, so that it is believed in time.
    pub(super) fn cap(&self, due: Instant, pace: &Pace, now: Instant) -> Instant {
        match self.since.and_then(|since| since.checked_add(pace.absent_after)) {
            Some(end) if end > now => due.min(end),
            _ => due,
        }
    }
}

/// Why nothing was learned, in words.
pub(super) fn why(failed: &Failed) -> &str {
    match failed {
        Failed::Absent { .. } => "no such name, or nothing under it",
        Failed::Broken(why) => why,
    }
}

/// A host with a port, and what is known of it.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    failures: u32,
    absence: Absence,
    /// Whether it is believed that it has no addresses.
    absent: bool,
    /// When it was asked for last.
    asked: Option<Instant>,
    /// When to ask again; `None` for an address, which is never asked for.
    pub(super) due: Option<Instant>,
}

impl Host {
    /// A name that has to be asked for at once, or an address.
    pub(super) fn new(name: &str, port: u16, now: Instant) -> Host {
        let mut host = Host {
            name: name.to_owned(),
            port,
            v4: Vec::new(),
            v6: Vec::new(),
            failures: 0,
            absence: Absence::default(),
            absent: false,
            asked: None,
            due: Some(now),
        };
        match name.parse() {
            Ok(IpAddr::V4(address)) => (host.v4, host.due) = (vec![address], None),
            Ok(IpAddr::V6(address)) => (host.v6, host.due) = (vec![address], None),
            Err(_) => {}
        }
        host
    }

    /// Its addresses as they were last learned.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let all = interleave(&self.v4, &self.v6, has_route);
        all.into_iter().map(|address| SocketAddr::new(address, self.port)).collect()
    }

    /// Whether no address of it is known.
    pub(super) fn is_unknown(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether it is a name, and no address.
    pub(super) fn is_name(&self) -> bool {
        self.due.is_some()
    }

    /// Asks for it early, but not more often than the pace allows.
    pub(super) fn hurry(&mut self, pace: &Pace) {
        if let (Some(due), Some(asked)) = (self.due, self.asked) {
            self.due = Some(due.min(asked + pace.min));
        }
    }

    /// Whether it is believed that it has no addresses.
    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Asks for it.
    ///
    /// # Errors
    /// Nothing was learned, and what was known before stays; in words.
    pub(super) async fn ask(&mut self, resolver: &Resolver, pace: &Pace) -> Result<(), String> {
        self.asked = Some(clock::now());
        let answer = resolver.addresses(&self.name).await;
        self.learn(answer, pace, clock::now())
    }

    /// Takes an answer in. A family that is surely not there is given up at once where the other one is there; a name
    /// that vanishes as a whole is more often a slip than the end of a service, and is given up after a while.
    fn learn(&mut self, answer: Addresses, pace: &Pace, now: Instant) -> Result<(), String> {
        let ttl = match (&answer.v4, &answer.v6) {
            (Ok((_, v4)), Ok((_, v6))) => *v4.min(v6),
            (Ok((_, ttl)), Err(_)) | (Err(_), Ok((_, ttl))) => *ttl,
            (Err(v4), Err(v6)) => {
                let failed = if matches!(v4, Failed::Broken(_)) { v4 } else { v6 };
                self.failures = self.failures.saturating_add(1);
                let due = now + pace.failed(self.failures, failed);
                let in_use = !self.is_unknown() || (pace.carries && !self.absent);
                if matches!(failed, Failed::Absent { .. }) && self.absence.is_believed(in_use, pace, now) {
                    self.v4.clear();
                    self.v6.clear();
                    (self.absent, self.due) = (true, Some(due));
                    return Ok(());
                }
                self.due = Some(self.absence.cap(due, pace, now));
                return Err(format!("{}: {}", self.name, why(failed)));
            }
        };
        match answer.v4 {
            Ok((found, _)) => self.v4 = found,
            Err(Failed::Absent { .. }) => self.v4.clear(),
            Err(Failed::Broken(_)) => {}
        }
        match answer.v6 {
            Ok((found, _)) => self.v6 = found,
            Err(Failed::Absent { .. }) => self.v6.clear(),
            Err(Failed::Broken(_)) => {}
        }
        // Answers that take turns are the same set.
        self.v4.sort_unstable();
        self.v6.sort_unstable();
        self.failures = 0;
        self.absent = false;
        self.absence.end();
        self.due = Some(now + pace.found(ttl));
        Ok(())
    }
}

/// The endpoints of hosts of one priority, each with its weight: those whose addresses are known.
pub(super) fn weighted<'a>(hosts: impl Iterator<Item = (u16, &'a Host)>, priority: u16) -> Vec<Found> {
    let known: Vec<_> = hosts
        .filter(|(_, host)| !host.is_unknown())
        .map(|(weight, host)| (weight, host.is_name(), host.addresses()))
        .collect();
    let counts: Vec<(u16, usize)> =
        known.iter().map(|(weight, _, addresses)| (*weight, addresses.len())).collect();
    let found = known.iter().map(|(_, by_name, addresses)| (addresses.as_slice(), *by_name));
    merged(found.zip(shares(&counts)), priority)
}

/// How many names are asked for at a time.
const AT_A_TIME: usize = 32;

/// Asks for the hosts that are due, and says what failed. Their order stays.
pub(super) async fn ask_all(hosts: &mut Vec<Host>, resolver: &Resolver, pace: &Pace) -> Vec<String> {
    let now = clock::now();
    let is_due = |host: &Host| host.due.is_some_and(|due| due <= now);
    let mut waiting = std::mem::take(hosts).into_iter().enumerate();
    let mut done: Vec<(usize, Host)> = Vec::new();
    let mut failures = Vec::new();
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < AT_A_TIME {
            match waiting.next() {
                Some((at, host)) if !is_due(&host) => done.push((at, host)),
                Some((at, mut host)) => {
                    let (resolver, pace) = (resolver.clone(), *pace);
                    asking.spawn(async move {
                        let outcome = host.ask(&resolver, &pace).await;
                        (at, host, outcome)
                    });
                }
                None => break,
            }
        }
        match asking.join_next().await {
            Some(Ok((at, host, outcome))) => {
                failures.extend(outcome.err());
                done.push((at, host));
            }
            // Only a task that panicked or was aborted gives no host back; neither happens here.
            Some(Err(error)) => failures.push(error.to_string()),
            None => break,
        }
    }
    done.sort_by_key(|(at, _)| *at);
    hosts.extend(done.into_iter().map(|(_, host)| host));
    failures
}

/// When the first of them is due.
pub(super) fn first_due<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Option<Instant> {
    hosts.into_iter().filter_map(|host| host.due).min()
}

#[cfg(test)]
mod tests;
