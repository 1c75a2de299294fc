//! Endpoints by name: the addresses of a host (A and AAAA), or the targets of a service (SRV, RFC 2782).
//!
//! A name is asked for again when its records have lived their time, within the bounds of a [`Pace`], and earlier
//! where somebody has reason to doubt them ([`Following::ask_again`]).

use std::future::Future;
use std::sync::Arc;

use std::time::Instant;
use tokio::sync::Notify;

use super::host::{Absence, Host, ask_all, first_due, weighted, why};
use super::resolver::{Failed, Resolver, Target};
use super::{Found, Pace, Sink, Teller};
use crate::runtime::{clock, time};
use crate::upstream::background::guard::{Guard, guarded};

/// Keeps a name followed; dropping it ends that.
#[derive(Debug)]
pub struct Following {
    again: Arc<Notify>,
    _guard: Guard,
}

impl Following {
    /// Asks for the name again before its records have lived their time, say because nobody answers at what they
    /// said. No more often than [`Pace::min`] allows, however often this is called.
    pub fn ask_again(&self) {
        self.again.notify_one();
    }
}

/// Work that can be asked for earlier, and what keeps it going.
pub(super) fn followed<F>(work: impl FnOnce(Arc<Notify>) -> F) -> (impl Future<Output = ()> + Send, Following)
where
    F: Future<Output = ()> + Send,
{
    let again = Arc::new(Notify::new());
    let (work, guard) = guarded(work(Arc::clone(&again)));
    (work, Following { again, _guard: guard })
}

/// Follows the addresses of a host, all of them endpoints at that port with weight 1. Spawn the future once; it asks
/// at once.
pub fn host(
    resolver: Resolver,
    host: &str,
    port: u16,
    pace: Pace,
    sink: Sink,
) -> (impl Future<Output = ()> + Send + 'static, Following) {
    let host = Host::new(host, port, clock::now());
    followed(move |again| follow_host(resolver, host, pace, Teller::new(sink), again))
}

/// Follows the targets of a service such as `_http._tcp.users.internal`, with their ports and weights: those with the
/// lowest priority number that have any address. Spawn the future once; it asks at once.
pub fn service(
    resolver: Resolver,
    service: &str,
    pace: Pace,
    sink: Sink,
) -> (impl Future<Output = ()> + Send + 'static, Following) {
    let service = Service {
        name: service.to_owned(),
        targets: Vec::new(),
        hosts: Vec::new(),
        failures: 0,
        absence: Absence::default(),
        answered: false,
    };
    followed(move |again| follow_service(resolver, service, pace, Teller::new(sink), again))
}

async fn follow_host(resolver: Resolver, mut host: Host, pace: Pace, mut teller: Teller, again: Arc<Notify>) {
    while host.due.is_some() {
        let asked = clock::now();
        match host.ask(&resolver, &pace).await {
            Ok(()) => teller.set(endpoints(&host)),
            Err(why) => teller.failed(why),
        }
        rest(host.due, asked, &pace, &again).await;
    }
    teller.set(endpoints(&host));
    // An address is what it is.
    std::future::pending().await
}

fn endpoints(host: &Host) -> Vec<Found> {
    weighted([(1, host)].into_iter(), 0)
}

/// Waits until the next question is due or is asked for.
async fn rest(due: Option<Instant>, asked: Instant, pace: &Pace, again: &Notify) {
    let due = due.unwrap_or(asked + pace.max);
    tokio::select! {
        () = time::sleep_until(due) => {}
        () = again.notified() => time::sleep_until(due.min(asked + pace.min)).await,
    }
}

/// A service and what is known of it.
struct Service {
    name: String,
    /// By priority, the lowest number first.
    targets: Vec<Target>,
    /// The host of each target.
    hosts: Vec<Host>,
    failures: u32,
    absence: Absence,
    /// Whether there has been an answer, so that the targets are those of the service.
    answered: bool,
}

async fn follow_service(
    resolver: Resolver,
    mut service: Service,
    pace: Pace,
    mut teller: Teller,
    again: Arc<Notify>,
) {
    loop {
        let asked = clock::now();
        let due = match resolver.targets(&service.name).await {
            Ok((targets, ttl)) => {
                service.found(targets);
                let now = clock::now();
                match service.resolve(&resolver, &pace).await {
                    Ok(set) => teller.set(set),
                    Err(why) => teller.failed(why),
                }
                (now + pace.found(ttl)).min(first_due(&service.hosts).unwrap_or(now + pace.max))
            }
            Err(failed) => {
                if service.is_gone(&failed, &pace, clock::now()) {
                    teller.set(Vec::new());
                } else {
                    teller.failed(format!("{}: {}", service.name, why(&failed)));
                }
                let now = clock::now();
                service.absence.cap(now + pace.failed(service.failures, &failed), &pace, now)
            }
        };
        rest(Some(due), asked, &pace, &again).await;
    }
}

impl Service {
    /// An answer has come.
    fn found(&mut self, targets: Vec<Target>) {
        (self.failures, self.answered) = (0, true);
        self.absence.end();
        self.take(targets);
    }

    /// No answer with targets has come: whether it is believed that there are none.
    fn is_gone(&mut self, failed: &Failed, pace: &Pace, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let in_use = !self.targets.is_empty() || (pace.carries && !self.answered);
        let gone = matches!(failed, Failed::Absent { .. }) && self.absence.is_believed(in_use, pace, now);
        if gone {
            self.answered = true;
            self.take(Vec::new());
        }
        gone
    }

    /// Puts new targets in place; what is known of hosts that stay is kept.
    fn take(&mut self, mut targets: Vec<Target>) {
        targets.sort_by(|a, b| {
            (a.priority, &a.host, a.port, a.weight).cmp(&(b.priority, &b.host, b.port, b.weight))
        });
        targets.dedup_by(|b, a| a.priority == b.priority && a.host == b.host && a.port == b.port);
        let mut old = std::mem::take(&mut self.hosts);
        let now = clock::now();
        for target in &targets {
            let known = old.iter().position(|host| host.name == target.host && host.port == target.port);
            let new = || Host::new(&target.host, target.port, now);
            self.hosts.push(known.map_or_else(new, |at| old.swap_remove(at)));
        }
        self.targets = targets;
    }

    /// The endpoints of the best priority that has any; of the others nothing is asked for.
    async fn resolve(&mut self, resolver: &Resolver, pace: &Pace) -> Result<Vec<Found>, String> {
        let mut failures = Vec::new();
        let mut from = 0;
        let mut absent = true;
        while let Some(first) = self.targets.get(from) {
            let priority = first.priority;
            let level = self.targets[from..].iter().take_while(|target| target.priority == priority).count();
            let mut hosts: Vec<Host> = self.hosts.drain(from..from + level).collect();
            failures.extend(ask_all(&mut hosts, resolver, pace).await);
            let weights = self.targets[from..from + level].iter().map(|target| target.weight);
            let set = weighted(weights.zip(&hosts), priority);
            absent &= hosts.iter().all(Host::is_absent);
            self.hosts.splice(from..from, hosts);
            if !set.is_empty() {
                // Hosts of other priorities are not followed and must not make the next question due.
                self.targets.truncate(from + level);
                self.hosts.truncate(from + level);
                return Ok(set);
            }
            from += level;
        }
        if absent {
            return Ok(Vec::new());
        }
        Err(failures.into_iter().next().unwrap_or_else(|| format!("{}: no target", self.name)))
    }
}

#[cfg(test)]
mod tests;
