//! The only door to a service: every call that the gate makes for an exchange passes [`Upstream::call`].
//!
//! An upstream owns its connection pools (one a core) and the limits of waiting. It is built once, shared by every
//! core, and kept over a reload while its section of the configuration is unchanged.

pub mod background;
pub mod call;
pub mod endpoints;
mod epoch;
pub mod limits;
#[cfg(test)]
mod simulation;
pub mod transport;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::{Host, UpstreamSettings};
use crate::exchange::{CoreId, Name};
use crate::expression::Ground;
use crate::telemetry::OperatorLog;
use crate::telemetry::metrics::UpstreamMetrics;

use background::state::Tended;
use call::budget::Budget;
use endpoints::set::Set;
use limits::breaker::{Breaker, BreakerSettings};
use limits::concurrency::{Gate, Limit};
use limits::hedge::HedgeDelay;

pub use background::state::Tools;
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
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            idle: Duration::from_secs(60),
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

/// When the exchange stops waiting for an answer's head, and who lifted the upstream's own limit.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The end of the exchange; it rests while an upload's bytes move.
    pub at: Instant,
    /// The route's own `timeout`, where it is longer than the default: it lifts the upstream's default `response`.
    pub lifted: Option<Duration>,
    /// Whether the caller waits for the whole response until then, and not for its head alone.
    pub whole: bool,
}

/// What the attempts of one call came to, for log and metrics.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attempts {
    /// The endpoint of the last attempt.
    pub endpoint: Option<SocketAddr>,
    /// How many there were.
    pub count: u32,
    /// From the first attempt to the answer's head or the failure.
    pub time: Duration,
}

/// On whose behalf a call is made.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The core that makes it.
    pub core: CoreId,
    /// What the expressions of an upstream read; none where a call belongs to no exchange.
    pub ground: Option<Ground<'a>>,
}

/// A named service with its connections, and what keeps it from hurting others.
pub struct Upstream {
    settings: Settings,
    set: Set,
    breaker: Breaker,
    budget: Budget,
    gate: Gate,
    hedge: Option<(HedgeDelay, Budget)>,
    rules: Rules,
    tended: Tended,
    metrics: Arc<UpstreamMetrics>,
    /// Where changes of its state are written, once its background work has begun.
    log: OnceLock<Arc<OperatorLog>>,
}

impl Upstream {
    /// An upstream for so many cores, whose attempts are counted there. Opens nothing.
    pub fn new(settings: Settings, rules: Rules, cores: usize, metrics: Arc<UpstreamMetrics>) -> Upstream {
        let written = &settings.written;
        let breaker = &written.breaker;
        let concurrency = &written.concurrency;
        let limit =
            if concurrency.adaptive { Limit::Adaptive(concurrency.max) } else { Limit::Max(concurrency.max) };
        Upstream {
            set: Set::new(written, cores),
            breaker: Breaker::new(
                BreakerSettings {
                    consecutive: Some(breaker.consecutive),
                    ratio: Some(breaker.ratio),
                    min_requests: breaker.min_requests,
                    window: breaker.window,
                    open: breaker.open,
                    probes: breaker.probes,
                },
                cores,
            ),
            budget: Budget::new(written.retry.budget, cores),
            gate: Gate::new(limit, concurrency.queue, concurrency.queue_timeout),
            hedge: written
                .hedge
                .map(|hedge| (HedgeDelay::new(hedge.after, cores), Budget::new(hedge.max, cores))),
            rules,
            tended: Tended::default(),
            metrics,
            log: OnceLock::new(),
            settings,
        }
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
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

#[cfg(test)]
mod tests;
