//! Services as written.

mod endpoints;
mod resilience;
mod tls;

use std::time::Duration;

use super::field::Field;
use super::names::{Name, named};
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::Span;
use super::text::Text;
use super::url::Url;

pub use endpoints::{Discover, Endpoint, Endpoints};
pub use tls::UpstreamTls;

pub use resilience::{Balance, Breaker, Concurrency, Health, Hedge, Outliers, Probe, Retry, RetryOn};

/// A named service.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Name,
    /// Where it is and how it is called.
    pub settings: UpstreamSettings,
}

/// Where a service is and how it is called; equal settings mean the same service.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Where it is.
    pub endpoints: Endpoints,
    /// How long the last addresses are kept after a name server says that there are none.
    pub absent_after: Duration,
    /// How long calls may take.
    pub timeouts: Timeouts,
    /// How large the head of an answer may be.
    pub limits: AnswerLimits,
    /// Who gets the next call.
    pub balance: Balance,
    /// What is tried again.
    pub retry: Retry,
    /// When it is left alone.
    pub breaker: Breaker,
    /// Which endpoints are left out for their failures.
    pub outliers: Option<Outliers>,
    /// How endpoints are asked whether they are well.
    pub health: Option<Health>,
    /// How many calls at a time.
    pub concurrency: Concurrency,
    /// When a second attempt goes out beside the first.
    pub hedge: Option<Hedge>,
    /// Whether its requests carry `Via`.
    pub via: bool,
    /// How TLS is spoken to it, if it is.
    pub tls: Option<UpstreamTls>,
    /// Which version of HTTP is spoken to it.
    pub protocol: HttpVersion,
}

/// Which version of HTTP is spoken to a service.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub enum HttpVersion {
    /// What both ends prefer: HTTP/2 or HTTP/1.1 over TLS (ALPN, RFC 7301), HTTP/1.1 without.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

impl UpstreamSettings {
    /// `absent_after` where nothing is written.
    pub const ABSENT_AFTER: Duration = Duration::from_secs(30);

    /// The settings of a service that a route names by its URL alone.
    pub fn anonymous(url: Url) -> Self {
        Self {
            tls: url.tls.then(UpstreamTls::default),
            endpoints: Endpoints::one(url),
            absent_after: UpstreamSettings::ABSENT_AFTER,
            timeouts: Timeouts::default(),
            limits: AnswerLimits::default(),
            balance: Balance::LeastRequest,
            retry: Retry::default(),
            breaker: Breaker::default(),
            outliers: None,
            health: None,
            concurrency: Concurrency::default(),
            hedge: None,
            via: true,
            protocol: HttpVersion::Auto,
        }
    }

    /// The expressions in it, each with its place.
    pub fn expressions(&self) -> impl Iterator<Item = &Text> {
        let key = match &self.balance {
            Balance::ConsistentHash(key) => Some(key),
            _ => None,
        };
        key.into_iter().chain(&self.retry.unsafe_)
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the request being sent to the head of the answer, where it was written: else the default, which a
    /// route's longer `timeout` lifts.
    pub response: Option<Duration>,
    /// The longest gap in a body.
    pub idle: Duration,
    /// The longest gap in a tunnel; where nothing is written, that in a body.
    pub tunnel_idle: Option<Duration>,
    /// How long a tunnel may last in all.
    pub tunnel: Option<Duration>,
}

impl Timeouts {
    /// `response` where nothing is written.
    pub const RESPONSE: Duration = Duration::from_secs(15);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: None,
            idle: Duration::from_secs(60),
            tunnel_idle: None,
            tunnel: None,
        }
    }
}

/// How large the head of an answer may be: it is held in memory whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Bytes, status line included.
    pub head: u32,
    /// Lines.
    pub headers: u32,
}

impl AnswerLimits {
    /// The most that `head` may be, in bytes.
    pub const MAX_HEAD: u32 = 1 << 20;
    /// The most that `headers` may be.
    pub const MAX_HEADERS: u32 = 10_000;
}

impl Default for AnswerLimits {
    /// Heads of answers are larger than those of requests, for their many cookies.
    fn default() -> Self {
        Self { head: 64 << 10, headers: 256 }
    }
}

const UPSTREAM: &[Key] = &[
    Key::optional(
        "absent_after",
        shape::duration,
        "How long a name must be absent before its last addresses are given up (default 30s)",
    ),
    Key::optional("url", shape::url, "Where the service is; its name is resolved again and again"),
    Key::optional(
        "endpoints",
        endpoints::schema,
        "Where it is, in place of `url`: URLs, or `{ url, weight }`",
    ),
    Key::optional("discover", endpoints::discover_schema, "Where it is said to be, in place of `url`"),
    Key::optional("timeouts", timeouts_schema, "How long a call may take"),
    Key::optional("limits", limits_schema, "How large the head of an answer may be"),
    Key::optional("balance", resilience::balance_schema, "Who gets the next call (default least_request)"),
    Key::optional("retry", resilience::retry_schema, "What is tried again"),
    Key::optional("breaker", resilience::breaker_schema, "When the service is left alone"),
    Key::optional("outliers", resilience::outliers_schema, "Which endpoints are left out for their failures"),
    Key::optional("health", resilience::health_schema, "How endpoints are asked whether they are well"),
    Key::optional("concurrency", resilience::concurrency_schema, "How many calls at a time"),
    Key::optional("hedge", resilience::hedge_schema, "When a second attempt goes out beside the first"),
    Key::optional("tls", tls::schema, "How TLS is spoken to it, for `https://` and what is discovered"),
    Key::optional(
        "protocol",
        || shape::choice(&["auto", "http1", "http2"]),
        "Which version of HTTP is spoken to it (default auto: over TLS what ALPN chooses, else HTTP/1.1)",
    ),
    Key::optional("via", shape::boolean, "Whether requests to it carry `Via` (default true)"),
    Key::later("headers"),
];

const TIMEOUTS: &[Key] = &[
    Key::optional("connect", shape::duration, "To connect (default 1s)"),
    Key::optional("response", shape::duration, "From the request sent to the answer's head (default 15s)"),
    Key::optional("idle", shape::duration, "The longest gap in a body (default 60s)"),
    Key::optional(
        "tunnel_idle",
        shape::duration,
        "The longest gap in a tunnel: a WebSocket or another upgrade (default: that of `idle`)",
    ),
    Key::optional("tunnel", shape::duration, "How long a tunnel may last in all (default: no bound)"),
];

const LIMITS: &[Key] = &[
    Key::optional("head", shape::size, "Size of an answer's head (default 64KiB, 64B to 1MiB)"),
    Key::optional("headers", shape::integer, "Number of its headers (default 256, 1 to 10000)"),
];

fn limits_schema() -> Schema {
    shape::object(LIMITS)
}

fn timeouts_schema() -> Schema {
    shape::object(TIMEOUTS)
}

/// The schema of `upstreams`.
pub(super) fn schema() -> Schema {
    shape::map(shape::object(UPSTREAM))
}

/// Reads `upstreams`.
pub(super) fn read(field: Field<'_>) -> Vec<Upstream> {
    named(field)
        .into_iter()
        .filter_map(|(name, field)| {
            let section = Section::open(field, UPSTREAM)?;
            let endpoints = endpoints::read(&section);
            let absent_after = UpstreamSettings::ABSENT_AFTER;
            let settings = UpstreamSettings {
                absent_after: section.read("absent_after", absent_after, |f| f.duration()),
                timeouts: section.read("timeouts", Timeouts::default(), timeouts),
                limits: section.read("limits", AnswerLimits::default(), limits),
                balance: section.read("balance", Balance::LeastRequest, resilience::balance),
                retry: section.read("retry", Retry::default(), resilience::retry),
                breaker: section.read("breaker", Breaker::default(), resilience::breaker),
                outliers: section.get("outliers").and_then(resilience::outliers),
                health: section.get("health").and_then(resilience::health),
                concurrency: section.read("concurrency", Concurrency::default(), resilience::concurrency),
                hedge: section.get("hedge").and_then(resilience::hedge),
                via: section.read("via", true, |f| f.boolean()),
                protocol: section.read("protocol", HttpVersion::Auto, protocol),
                tls: tls::read(&section, endpoints.as_ref()?)?,
                endpoints: endpoints?,
            };
            Some(Upstream { name, settings })
        })
        .collect()
}

impl Upstream {
    /// Where its name stands.
    pub fn span(&self) -> Span {
        self.name.span
    }
}

fn protocol(field: Field<'_>) -> Option<HttpVersion> {
    let words = [("auto", HttpVersion::Auto), ("http1", HttpVersion::Http1), ("http2", HttpVersion::Http2)];
    field.choice(&words, &[])
}

fn timeouts(field: Field<'_>) -> Option<Timeouts> {
    let section = Section::open(field, TIMEOUTS)?;
    let default = Timeouts::default();
    Some(Timeouts {
        connect: section.read("connect", default.connect, |f| f.positive_duration()),
        response: section.get("response").and_then(|f| f.positive_duration()),
        idle: section.read("idle", default.idle, |f| f.positive_duration()),
        tunnel_idle: section.get("tunnel_idle").and_then(|f| f.positive_duration()),
        tunnel: section.get("tunnel").and_then(|f| f.positive_duration()),
    })
}

fn limits(field: Field<'_>) -> Option<AnswerLimits> {
    let section = Section::open(field, LIMITS)?;
    let default = AnswerLimits::default();
    let most = u64::from(AnswerLimits::MAX_HEADERS);
    let headers = |field: Field<'_>| u32::try_from(field.integer(1..=most)?).ok();
    Some(AnswerLimits {
        head: section.read("head", default.head, head_size),
        headers: section.read("headers", default.headers, headers),
    })
}

fn head_size(field: Field<'_>) -> Option<u32> {
    u32::try_from(field.size_held(64, (AnswerLimits::MAX_HEAD.into(), "1MiB"))?).ok()
}
