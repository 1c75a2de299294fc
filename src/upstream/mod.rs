//! The only door to a service: every call that the gate makes for an exchange passes [`Upstream::call`].
//!
//! An upstream owns its endpoints, which own their connections, and the limits of its calls. It is built once, shared by every
//! core, and kept over a reload while its section of the configuration means the same. Where that has changed, the new
//! upstream takes over from the one of its name: endpoints with their connections, calls under way, and every state
//! machine whose own settings are the same ([`Upstream::successor`]).

pub mod background;
pub mod call;
pub mod endpoints;
mod epoch;
pub mod limits;
#[cfg(test)]
mod simulation;
pub mod transport;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::{self, Host, UpstreamSettings};
use crate::exchange::authority::is_below;
use crate::exchange::{CoreId, Interims, Name, Party, Term};
use crate::expression::Ground;
use crate::net::Network;
use crate::net::tls::client::ClientTls;
use crate::runtime::clock;
use crate::telemetry::OperatorLog;
use crate::telemetry::metrics::UpstreamMetrics;

use background::state::Background;
use call::budget::Budget;
use endpoints::set::Set;
use limits::breaker::{Breaker, BreakerSettings};
use limits::concurrency::{Gate, Limit};
use limits::hedge::HedgeDelay;

pub use background::tools::Tools;
pub use call::rules::Rules;

/// How long a call may wait for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a connection, name resolution included.
    pub connect: Duration,
    /// From the request sent to the answer's head, each attempt.
    pub response: Duration,
    /// The longest gap between two pieces of a body, in either direction.
    pub idle: Duration,
    /// The longest time in which no byte of a tunnel passes.
    pub tunnel_idle: Duration,
    /// How long a tunnel may last in all; no bound where there is none.
    pub tunnel: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(60),
            tunnel: None,
        }
    }
}

/// What an upstream is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Its name in the configuration, or the URL written in place.
    pub name: Name,
    /// Host name or address of its first endpoint, without brackets.
    pub host: String,
    /// What its first endpoint calls itself: `host`, with the port unless it is the scheme's own. It stands for the
    /// Host of whichever endpoint gets the call.
    pub authority: String,
    /// The path before every path, without a slash at its end; empty for none.
    pub base_path: String,
    /// How long a call may wait.
    pub timeouts: Timeouts,
    /// All of it as written.
    pub written: UpstreamSettings,
}

/// How long the caller waits.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// When the caller stops waiting for the head of the response. A transport puts it off while an upload moves.
    pub at: Instant,
    /// The route's own `timeout`, where it is longer than the default: it lifts the upstream's default `response`.
    pub lifted: Option<Duration>,
    /// Whether the caller waits for the whole response until then, and not for its head alone.
    pub whole: bool,
    /// What its time bounds.
    pub term: Term,
}

impl Deadline {
    /// Who is at fault where it passes: one that the client has set says nothing about the service.
    pub fn whose(&self) -> Party {
        if self.term == Term::Client { Party::Client } else { Party::Service }
    }
}

/// On whose behalf a call is made.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The core that makes it.
    pub core: CoreId,
    /// What the expressions of an upstream read; none where a call belongs to no exchange.
    pub ground: Option<Ground<'a>>,
    /// Whether the request offers other protocols in an Upgrade line (RFC 9110 section 7.8).
    pub upgrades: bool,
    /// The header that has the milliseconds left until the deadline, set for each attempt; none where the service is not
    /// to know them.
    pub deadline_header: Option<&'a str>,
    /// Takes interim answers; none where nobody waits for them.
    pub interims: Option<&'a dyn Interims>,
}

/// A named service with its connections, and what keeps it from hurting others.
pub struct Upstream {
    settings: Settings,
    set: Set,
    breaker: Breaker,
    budget: Arc<Budget>,
    gate: Gate,
    hedge: Option<(Arc<HedgeDelay>, Arc<Budget>)>,
    rules: Rules,
    network: Network,
    tls: Option<Arc<ClientTls>>,
    background: Background,
    metrics: Arc<UpstreamMetrics>,
    /// Where changes of its state are written, once its background work has begun.
    log: OnceLock<Arc<OperatorLog>>,
}

impl Upstream {
    /// An upstream for so many cores, whose attempts are counted there. Opens nothing; its services are reached by that
    /// network, over TLS where `tls` says how.
    pub fn new(
        settings: Settings,
        rules: Rules,
        cores: usize,
        metrics: Arc<UpstreamMetrics>,
        (network, tls): (Network, Option<Arc<ClientTls>>),
    ) -> Upstream {
        let written = &settings.written;
        let concurrency = &written.concurrency;
        Upstream {
            set: Set::new(written, tls.as_ref(), cores, None, clock::now()),
            tls,
            breaker: Breaker::new(breaker_settings(&written.breaker), cores),
            budget: Arc::new(Budget::new(written.retry.budget, cores)),
            gate: Gate::new(limit(concurrency), concurrency.queue, concurrency.queue_timeout),
            hedge: written.hedge.map(|hedge| {
                (Arc::new(HedgeDelay::new(hedge.after, cores)), Arc::new(Budget::new(hedge.max, cores)))
            }),
            rules,
            network,
            background: Background::default(),
            metrics,
            log: OnceLock::new(),
            settings,
        }
    }

    /// An upstream that is to take the place of this one, with other settings. It shares this one's endpoints and each
    /// of its state machines whose own settings are the same; [`Upstream::start_background`] makes it take over.
    pub fn successor(
        &self,
        settings: Settings,
        rules: Rules,
        cores: usize,
        metrics: Arc<UpstreamMetrics>,
        tls: Option<Arc<ClientTls>>,
    ) -> Upstream {
        let (before, now) = (&self.settings.written, clock::now());
        let mut new = Upstream::new(settings, rules, cores, metrics, (self.network.clone(), tls));
        let written = &new.settings.written;
        new.set = Set::new(written, new.tls.as_ref(), cores, Some(&self.set), now);
        if before.breaker == written.breaker {
            new.breaker = self.breaker.clone();
        }
        if before.retry.budget == written.retry.budget {
            new.budget = Arc::clone(&self.budget);
        }
        if let (Some(before), Some(after)) = (before.hedge, written.hedge)
            && let (Some((hedge, budget)), Some(new)) = (&self.hedge, &mut new.hedge)
        {
            if before.after == after.after {
                new.0 = Arc::clone(hedge);
            }
            if before.max == after.max {
                new.1 = Arc::clone(budget);
            }
        }
        let concurrency = &written.concurrency;
        new.gate = self.gate.successor(limit(concurrency), concurrency.queue, concurrency.queue_timeout);
        new
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The URL of its first endpoint, for the operator.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.settings.authority, self.settings.base_path)
    }

    /// How TLS is spoken to it, if it is.
    pub fn tls(&self) -> Option<&Arc<ClientTls>> {
        self.tls.as_ref()
    }

    /// Its endpoints.
    pub fn set(&self) -> &Set {
        &self.set
    }

    /// Whether an authority, or a host alone, is what it or one of its endpoints is called.
    pub fn is_named(&self, authority: &str) -> bool {
        let settings = &self.settings;
        let written = settings.written.endpoints.urls();
        authority.eq_ignore_ascii_case(&settings.authority)
            || authority.eq_ignore_ascii_case(&settings.host)
            || written.into_iter().any(|url| {
                authority.eq_ignore_ascii_case(&url.authority())
                    || matches!(&url.host, Host::Name(host) if authority.eq_ignore_ascii_case(host))
            })
            || self.set.is_named(authority)
    }

    /// Whether what it or one of its endpoints is called lies below a domain. No address does.
    pub fn is_below(&self, domain: &str) -> bool {
        let below = |name: &str| is_below(name.as_bytes(), domain.as_bytes());
        let settings = &self.settings;
        let written = settings.written.endpoints.urls();
        below(&settings.host)
            || written.into_iter().any(|url| matches!(&url.host, Host::Name(host) if below(host)))
            || self.set.has_name(below)
    }

    /// Its breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The gate that counts its calls.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Closes the idle connections of a core that have been idle too long or that the service has closed.
    pub fn sweep(&self, core: CoreId, now: Instant) {
        self.set.sweep(core, now);
    }
}

fn breaker_settings(written: &config::Breaker) -> BreakerSettings {
    BreakerSettings {
        consecutive: Some(written.consecutive),
        ratio: Some(written.ratio),
        min_requests: written.min_requests,
        window: written.window,
        open: written.open,
        probes: written.probes,
    }
}

fn limit(written: &config::Concurrency) -> Limit {
    if written.adaptive { Limit::Adaptive(written.max) } else { Limit::Max(written.max) }
}

#[cfg(test)]
mod tests;
