//! What keeps a sick service from hurting others.

use std::time::Duration;

use crate::config::field::Field;
use crate::config::regex::bytes_regex;
use crate::config::section::{Key, Schema, Section};
use crate::config::shape;
use crate::config::text::Text;
use crate::config::units;

/// Who gets the next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// By the hash of this expression.
    ConsistentHash(Text),
}

const HASH: &[Key] =
    &[Key::needed("consistent_hash", shape::cel, "What calls of one kind have in common: a CEL expression")];

pub(super) fn balance_schema() -> Schema {
    shape::any(vec![shape::choice(&["least_request", "round_robin", "random"]), shape::object(HASH)])
}

pub(super) fn balance(field: Field<'_>) -> Option<Balance> {
    if field.is_map() {
        let section = Section::open(field, HASH)?;
        return section.get("consistent_hash")?.cel().map(Balance::ConsistentHash);
    }
    let words = [("least_request", 0), ("round_robin", 1), ("random", 2)];
    Some(match field.choice(&words, &[])? {
        0 => Balance::LeastRequest,
        1 => Balance::RoundRobin,
        _ => Balance::Random,
    })
}

/// What may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection.
    Connect,
    /// A connection that broke before the head of an answer.
    Reset,
    /// No head in time.
    Timeout,
    /// An answer with this status.
    Status(u16),
}

/// `retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// After what.
    pub on: Vec<RetryOn>,
    /// Extra attempts, as a share of the calls.
    pub budget: f64,
    /// The shortest and the longest pause.
    pub backoff: (Duration, Duration),
    /// What may be repeated beside idempotent methods.
    pub unsafe_: Option<Text>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 2,
            on: vec![RetryOn::Connect],
            budget: 0.2,
            backoff: (Duration::from_millis(25), Duration::from_millis(250)),
            unsafe_: None,
        }
    }
}

const RETRY: &[Key] = &[
    Key::optional("attempts", shape::integer, "Attempts in all (default 2); 1 is no retry"),
    Key::optional(
        "retry_on",
        || shape::list(shape::any(vec![shape::choice(&["connect", "reset", "timeout"]), shape::integer()])),
        "After what: connect, reset, timeout, or a status from 500 (default [connect])",
    ),
    Key::optional("budget", shape::percentage, "Extra attempts, as a share of the calls (default 20%)"),
    Key::optional("backoff", shape::text, "The pause before the next attempt (default 25ms..250ms)"),
    Key::optional("unsafe", shape::cel, "What may be repeated beside idempotent methods: a CEL condition"),
];

/// The schema of `retry`.
pub(super) fn retry_schema() -> Schema {
    shape::object(RETRY)
}

pub(super) fn retry(field: Field<'_>) -> Option<Retry> {
    let section = Section::open(field, RETRY)?;
    let default = Retry::default();
    Some(Retry {
        attempts: section.read("attempts", default.attempts, |field| number(field, 1, 10)),
        on: section.read("retry_on", default.on, |list| list.list_of(retry_on)),
        budget: section.read("budget", default.budget, |field| field.percentage()),
        backoff: section.read("backoff", default.backoff, backoff),
        unsafe_: section.get("unsafe").and_then(|field| field.cel()),
    })
}

fn retry_on(field: Field<'_>) -> Option<RetryOn> {
    let is_number = matches!(&field.node().value, crate::config::Value::Scalar(scalar)
        if scalar.raw().starts_with(|first: char| first.is_ascii_digit()));
    if is_number {
        return u16::try_from(field.integer(500..=599)?).ok().map(RetryOn::Status);
    }
    let words = [("connect", RetryOn::Connect), ("reset", RetryOn::Reset), ("timeout", RetryOn::Timeout)];
    field.choice(&words, &[])
}

fn backoff(field: Field<'_>) -> Option<(Duration, Duration)> {
    let text = field.filled()?;
    let read = text.as_str().split_once("..").and_then(|(from, to)| {
        let (from, to) = (units::duration(from.trim()).ok()?, units::duration(to.trim()).ok()?);
        (from <= to).then_some((from, to))
    });
    if read.is_none() {
        field.error(
            format!("`{}` is no pause", text.as_str()),
            "write the shortest and the longest: `25ms..250ms`",
        );
    }
    read
}

fn number(field: Field<'_>, least: u64, most: u64) -> Option<u32> {
    u32::try_from(field.integer(least..=most)?).ok()
}

/// `breaker`.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub consecutive: u32,
    /// The share of failures in the window that opens it.
    pub ratio: f64,
    /// Calls in the window before the share counts.
    pub min_requests: u32,
    /// The window.
    pub window: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// Calls that must succeed before it closes.
    pub probes: u32,
}

impl Default for Breaker {
    fn default() -> Breaker {
        let ten = Duration::from_secs(10);
        Breaker { consecutive: 5, ratio: 0.5, min_requests: 20, window: ten, open: ten, probes: 3 }
    }
}

const BREAKER: &[Key] = &[
    Key::optional("consecutive", shape::integer, "Failures in a row that open it (default 5)"),
    Key::optional("ratio", shape::percentage, "The share of failures that opens it (default 50%)"),
    Key::optional("min_requests", shape::integer, "Calls in the window before the share counts (default 20)"),
    Key::optional("window", shape::duration, "The window of the share (default 10s)"),
    Key::optional("open", shape::duration, "How long it stays open (default 10s)"),
    Key::optional("probes", shape::integer, "Calls that must succeed before it closes (default 3)"),
];

pub(super) fn breaker_schema() -> Schema {
    shape::object(BREAKER)
}

pub(super) fn breaker(field: Field<'_>) -> Option<Breaker> {
    let section = Section::open(field, BREAKER)?;
    let default = Breaker::default();
    let count = |key: &str, default: u32| section.read(key, default, |field| number(field, 1, 1_000_000));
    let time = |key: &str, default: Duration| section.read(key, default, |field| field.positive_duration());
    Some(Breaker {
        consecutive: count("consecutive", default.consecutive),
        ratio: section.read("ratio", default.ratio, |field| field.percentage()),
        min_requests: count("min_requests", default.min_requests),
        window: time("window", default.window),
        open: time("open", default.open),
        probes: count("probes", default.probes),
    })
}

/// `outliers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Outliers {
    /// Failures in a row that eject.
    pub consecutive: u32,
    /// For how long, the first time.
    pub eject: Duration,
    /// The share of the endpoints that may be out at the same time.
    pub max_ejected: f64,
}

const OUTLIERS: &[Key] = &[
    Key::optional("consecutive", shape::integer, "Failed attempts in a row (default 5)"),
    Key::optional("eject", shape::duration, "How long it is left out, the first time (default 30s)"),
    Key::optional("max_ejected", shape::percentage, "The most that may be out at a time (default 50%)"),
];

pub(super) fn outliers_schema() -> Schema {
    shape::object(OUTLIERS)
}

pub(super) fn outliers(field: Field<'_>) -> Option<Outliers> {
    let section = Section::open(field, OUTLIERS)?;
    Some(Outliers {
        consecutive: section.read("consecutive", 5, |field| number(field, 1, 1_000_000)),
        eject: section.read("eject", Duration::from_secs(30), |field| field.positive_duration()),
        max_ejected: section.read("max_ejected", 0.5, |field| field.percentage()),
    })
}

/// How an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET of this path: one of these statuses (200 to 299 where none is named), and this pattern in its body.
    Http {
        /// The path.
        path: String,
        /// The statuses.
        status: Vec<u16>,
        /// The pattern.
        body: Option<String>,
    },
    /// A connection.
    Tcp,
    /// The gRPC health protocol, for this service.
    Grpc(String),
}

/// `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How it is asked.
    pub probe: Probe,
    /// How often.
    pub every: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Successes in a row that bring it back.
    pub healthy: u32,
    /// Failures in a row that take it out.
    pub unhealthy: u32,
}

const HEALTH: &[Key] = &[
    Key::optional("path", shape::text, "Asked by GET of this path"),
    Key::optional(
        "status",
        || shape::list(shape::integer()),
        "The statuses that are well (default 200 to 299)",
    ),
    Key::optional("body", shape::text, "A regular expression that must be found in the answer's body"),
    Key::optional("tcp", shape::boolean, "Asked by a connection alone"),
    Key::optional(
        "grpc",
        shape::text,
        "Asked by the gRPC health protocol, for this service (`\"\"` for all)",
    ),
    Key::optional("every", shape::duration, "How often (default 5s)"),
    Key::optional("timeout", shape::duration, "How long an answer may take (default 1s)"),
    Key::optional("healthy", shape::integer, "Successes in a row that bring it back (default 2)"),
    Key::optional("unhealthy", shape::integer, "Failures in a row that take it out (default 3)"),
];

pub(super) fn health_schema() -> Schema {
    shape::object(HEALTH)
}

pub(super) fn health(field: Field<'_>) -> Option<Health> {
    let section = Section::open(field, HEALTH)?;
    let probe = section.exactly_one(&["path", "tcp", "grpc"])?;
    let probe = match probe.name() {
        "path" => {
            let path = probe.filled()?.into_string();
            if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
                probe.error(
                    format!("`{path}` is no path"),
                    "write one that begins with `/`, such as `/healthz`",
                );
                return None;
            }
            Probe::Http {
                path,
                status: section.read("status", Vec::new(), statuses),
                body: pattern(&section)?,
            }
        }
        "tcp" if probe.boolean()? => Probe::Tcp,
        "tcp" => {
            probe.error("`tcp: false` asks nothing", "write `tcp: true`, or a `path`");
            return None;
        }
        _ => Probe::Grpc(probe.text()?.into_string()),
    };
    for key in ["status", "body"] {
        if let Some(field) = section.get(key).filter(|_| !matches!(probe, Probe::Http { .. })) {
            field.error(format!("`{key}` belongs to `path`"), "remove it");
            return None;
        }
    }
    let count = |key: &str, default: u32| section.read(key, default, |field| number(field, 1, 1000));
    Some(Health {
        probe,
        every: section.read("every", Duration::from_secs(5), |field| field.positive_duration()),
        timeout: section.read("timeout", Duration::from_secs(1), |field| field.positive_duration()),
        healthy: count("healthy", 2),
        unhealthy: count("unhealthy", 3),
    })
}

fn statuses(field: Field<'_>) -> Option<Vec<u16>> {
    field.list_of(|item| u16::try_from(item.integer(100..=599)?).ok())
}

/// `Some(None)` where none is written.
fn pattern(section: &Section<'_>) -> Option<Option<String>> {
    let Some(field) = section.get("body") else { return Some(None) };
    let text = field.filled()?;
    if let Err(error) = bytes_regex(text.as_str()) {
        error.report(&text, field.out());
        return None;
    }
    Some(Some(text.into_string()))
}

/// `concurrency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Calls at a time; the most of them where the limit finds itself.
    pub max: u32,
    /// Whether the limit finds itself.
    pub adaptive: bool,
    /// Calls that wait.
    pub queue: u32,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Bytes a second that an upload moves at least while it holds a permit beyond the route's `timeout`.
    pub upload_rate: u64,
}

impl Default for Concurrency {
    fn default() -> Concurrency {
        Concurrency {
            max: 1024,
            adaptive: false,
            queue: 128,
            queue_timeout: Duration::from_millis(100),
            upload_rate: 4096,
        }
    }
}

const CONCURRENCY: &[Key] = &[
    Key::optional("max", shape::integer, "Calls at a time (default 1024)"),
    Key::optional("adaptive", shape::boolean, "Whether the limit finds itself, up to `max` (default false)"),
    Key::optional("queue", shape::integer, "Calls that wait for a place (default 128)"),
    Key::optional("queue_timeout", shape::duration, "How long they wait (default 100ms)"),
    Key::optional(
        "upload_rate",
        shape::size,
        "Bytes a second by which an upload puts off the route's `timeout` (default 4KiB)",
    ),
];

pub(super) fn concurrency_schema() -> Schema {
    shape::object(CONCURRENCY)
}

pub(super) fn concurrency(field: Field<'_>) -> Option<Concurrency> {
    let section = Section::open(field, CONCURRENCY)?;
    let default = Concurrency::default();
    Some(Concurrency {
        max: section.read("max", default.max, |field| number(field, 1, 1_000_000)),
        adaptive: section.read("adaptive", false, |field| field.boolean()),
        queue: section.read("queue", default.queue, |field| number(field, 0, 1_000_000)),
        queue_timeout: section
            .read("queue_timeout", default.queue_timeout, |field| field.positive_duration()),
        upload_rate: section.read("upload_rate", default.upload_rate, |field| field.size()),
    })
}

/// `hedge`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// The percentile of the answer times after which the second attempt goes out, as a share.
    pub after: f64,
    /// Second attempts, as a share of the calls.
    pub max: f64,
}

const HEDGE: &[Key] = &[
    Key::needed("after", shape::text, "The percentile of the answer times: p50 to p99"),
    Key::optional("max", shape::percentage, "Second attempts, as a share of the calls (default 10%)"),
];

pub(super) fn hedge_schema() -> Schema {
    shape::object(HEDGE)
}

pub(super) fn hedge(field: Field<'_>) -> Option<Hedge> {
    let section = Section::open(field, HEDGE)?;
    let max = section.read("max", 0.1, |field| field.percentage());
    let after = section.get("after")?;
    let text = after.filled()?;
    let share = text.as_str().strip_prefix('p').and_then(|digits| digits.parse::<u8>().ok());
    match share.filter(|share| (50..=99).contains(share)) {
        Some(share) => Some(Hedge { after: f64::from(share) / 100.0, max }),
        None => {
            after.error(format!("`{}` is no percentile", text.as_str()), "write `p95`");
            None
        }
    }
}
