//! The task that asks one endpoint again and again.

use std::future::Future;
use std::sync::Arc;

use std::time::Duration;

use super::settings::{HealthSettings, Kind};
use super::state::Checked;
use super::{grpc, http, http2};
use crate::config::HttpVersion;
use crate::net::network::Destination;
use crate::net::tls::client::Protocol;
use crate::runtime::{clock, random, time};
use crate::upstream::background::guard::{Guard, guarded};

/// A change of an endpoint's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The new state.
    pub healthy: bool,
    /// What was wrong with the last probe, for the operator; nothing where the endpoint is healthy.
    pub why: Option<String>,
}

/// Takes the changes. Called on the runtime that runs the prober: it must not block.
pub type Report = Arc<dyn Fn(Change) + Send + Sync>;

/// How far a pause may be from the one that is set, in percent.
const JITTER: u32 = 10;

/// Asks an endpoint until the guard is dropped, and reports its first result and changes. `known`: whether it was
/// healthy, where it has been checked before. Spawn the future once. The first probe comes at a random moment of `every`, so that many endpoints are not asked together.
pub fn probe(
    destination: Destination,
    settings: Arc<HealthSettings>,
    known: Option<bool>,
    report: Report,
) -> (impl Future<Output = ()> + Send + 'static, Guard) {
    guarded(run(destination, settings, known, report))
}

async fn run(destination: Destination, settings: Arc<HealthSettings>, known: Option<bool>, report: Report) {
    let mut checked = Checked::new(settings.healthy, settings.unhealthy, known);
    let mut unreported = known.is_none();
    let mut next = clock::now() + first_pause(settings.every, random::u32(..));
    loop {
        time::sleep_until(next).await;
        let begun = clock::now();
        let outcome = once(&destination, &settings).await;
        let first = std::mem::replace(&mut unreported, false).then(|| outcome.is_ok());
        if let Some(healthy) = checked.seen(outcome.is_ok()).or(first) {
            report(Change { healthy, why: outcome.err() });
        }
        next = begun + pause(settings.every, random::u32(..));
    }
}

/// One probe.
///
/// # Errors
/// What is wrong with the endpoint, in words.
async fn once(destination: &Destination, settings: &HealthSettings) -> Result<(), String> {
    let check = async {
        let is_secure = destination.secure.is_some();
        let protocol = match (&settings.kind, settings.version) {
            (Kind::Grpc { .. }, _) | (_, HttpVersion::Http2) => Protocol::Http2,
            (_, HttpVersion::Auto) if is_secure => Protocol::Any,
            (_, HttpVersion::Auto | HttpVersion::Http1) => Protocol::Http1,
        };
        let stream = destination.connect(protocol).await.map_err(|error| format!("connect: {error}"))?;
        let scheme = if is_secure { "https" } else { "http" };
        // Without TLS it is not negotiated.
        let speaks_http2 = stream.speaks_http2() || (protocol == Protocol::Http2 && !is_secure);
        match &settings.kind {
            Kind::Grpc { service, authority } => grpc::check(stream, service, (scheme, authority)).await,
            _ if protocol == Protocol::Http2 && !speaks_http2 => {
                Err("connect: HTTP/2: the service has not agreed to it (ALPN)".to_owned())
            }
            Kind::Tcp => Ok(()),
            Kind::Http(probe) if speaks_http2 => http2::check(stream, probe, scheme).await,
            Kind::Http(probe) => http::check(stream, probe).await,
        }
    };
    match time::timeout(settings.timeout, check).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} ms", settings.timeout.as_millis())),
    }
}

/// A random part of `every`.
fn first_pause(every: Duration, random: u32) -> Duration {
    every.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// `every`, a little more or less.
fn pause(every: Duration, random: u32) -> Duration {
    let spread = f64::from(JITTER) / 100.0;
    every.mul_f64(1.0 - spread + 2.0 * spread * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
