//! Services as written.

use std::time::Duration;

use super::field::Field;
use super::names::{Name, named};
use super::section::{Key, Schema, Section};
use super::shape;
use super::url::Url;

/// A named service.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Name,
    /// Where it is and how it is called.
    pub settings: UpstreamSettings,
}

/// Where a service is and how it is called; equal settings mean the same service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its address.
    pub url: Url,
    /// How long calls may take.
    pub timeouts: Timeouts,
}

impl UpstreamSettings {
    /// The settings of a service that a route names by its URL alone.
    pub fn anonymous(url: Url) -> Self {
        Self { url, timeouts: Timeouts::default() }
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
    /// The longest gap in a body or tunnel.
    pub idle: Duration,
}

impl Timeouts {
    /// `response` where nothing is written.
    pub const RESPONSE: Duration = Duration::from_secs(15);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), response: None, idle: Duration::from_secs(60) }
    }
}

const UPSTREAM: &[Key] = &[
    Key::needed("url", shape::url, "Where the service is; its name is resolved again and again"),
    Key::optional("timeouts", timeouts_schema, "How long a call may take"),
    Key::later("endpoints"),
    Key::later("discover"),
    Key::later("protocol"),
    Key::later("balance"),
    Key::later("retry"),
    Key::later("breaker"),
    Key::later("outliers"),
    Key::later("health"),
    Key::later("concurrency"),
    Key::later("hedge"),
    Key::later("tls"),
    Key::later("headers"),
];

const TIMEOUTS: &[Key] = &[
    Key::optional("connect", shape::duration, "To connect (default 1s)"),
    Key::optional("response", shape::duration, "From the request sent to the answer's head (default 15s)"),
    Key::optional("idle", shape::duration, "The longest gap in a body or tunnel (default 60s)"),
];

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
            let timeouts = section.read("timeouts", Timeouts::default(), timeouts);
            let url = section.get("url")?.url()?;
            Some(Upstream { name, settings: UpstreamSettings { url, timeouts } })
        })
        .collect()
}

fn timeouts(field: Field<'_>) -> Option<Timeouts> {
    let section = Section::open(field, TIMEOUTS)?;
    let default = Timeouts::default();
    Some(Timeouts {
        connect: section.read("connect", default.connect, |f| f.positive_duration()),
        response: section.get("response").and_then(|f| f.positive_duration()),
        idle: section.read("idle", default.idle, |f| f.positive_duration()),
    })
}
