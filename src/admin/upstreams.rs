//! How the services fare: lines of the metrics page, and a part of the status.

use std::fmt::Write;
use std::time::Instant;

use serde_json::{Value, json};

use crate::runtime::clock;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::exposition::{family, label};
use crate::telemetry::rfc3339;
use crate::upstream::endpoints::endpoint::HealthState;
use crate::upstream::limits::breaker::State;

/// The families of upstreams that are no counters of attempts, in the text format that the other metrics have.
pub(super) fn metrics(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    // Writing into a String does not fail.
    let _ = write(snapshot, &mut page);
    page
}

fn write(snapshot: &Snapshot, page: &mut String) -> std::fmt::Result {
    let now = clock::now();
    let labels = |name: &str| format!("{{{}}}", label("upstream", name));
    let all: Vec<_> = snapshot.upstreams.iter().map(|one| (labels(&one.settings().name), one)).collect();
    let name = "portcullis_upstream_breaker_open";
    family(page, name, "gauge", "Whether the breaker refuses: 1 open, 0.5 half-open, 0 closed.");
    for (labels, one) in &all {
        let state = match one.breaker().state(now) {
            State::Closed => "0",
            State::HalfOpen => "0.5",
            State::Open => "1",
        };
        writeln!(page, "{name}{labels} {state}")?;
    }
    let name = "portcullis_upstream_breaker_opened_total";
    family(page, name, "counter", "Times that the breaker has opened.");
    for (labels, one) in &all {
        writeln!(page, "{name}{labels} {}", one.breaker().opened())?;
    }
    let name = "portcullis_upstream_calls_active";
    family(page, name, "gauge", "Calls that are under way.");
    for (labels, one) in &all {
        writeln!(page, "{name}{labels} {}", one.gate().active())?;
    }
    let name = "portcullis_upstream_calls_waiting";
    family(page, name, "gauge", "Calls that wait for a place.");
    for (labels, one) in &all {
        writeln!(page, "{name}{labels} {}", one.gate().waiting())?;
    }
    let name = "portcullis_upstream_calls_limit";
    family(page, name, "gauge", "Calls that may be under way.");
    for (labels, one) in &all {
        writeln!(page, "{name}{labels} {}", one.gate().limit())?;
    }
    let name = "portcullis_upstream_endpoints";
    family(page, name, "gauge", "Endpoints, by how they are.");
    for (_, one) in &all {
        let endpoints = one.set().endpoints();
        let ejected = endpoints.iter().filter(|endpoint| endpoint.is_ejected(now)).count();
        let unhealthy = endpoints.iter().filter(|endpoint| endpoint.is_unhealthy()).count();
        let usable = endpoints.iter().filter(|one| !one.is_unhealthy() && !one.is_ejected(now)).count();
        for (state, count) in [("usable", usable), ("ejected", ejected), ("unhealthy", unhealthy)] {
            let upstream = label("upstream", &one.settings().name);
            writeln!(page, "{name}{{{upstream},state=\"{state}\"}} {count}")?;
        }
    }
    let name = "portcullis_upstream_http2";
    family(page, name, "gauge", "Sessions of HTTP/2 with services, and the streams that are open on them.");
    for (_, one) in &all {
        let endpoints = one.set().endpoints();
        if endpoints.iter().all(|endpoint| endpoint.sessions().is_none()) {
            continue;
        }
        let counts = endpoints.iter().filter_map(|endpoint| endpoint.sessions());
        let (sessions, streams) = counts.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        for (what, count) in [("sessions", sessions), ("streams", streams)] {
            let upstream = label("upstream", &one.settings().name);
            writeln!(page, "{name}{{{upstream},what=\"{what}\"}} {count}")?;
        }
    }
    Ok(())
}

/// The upstreams and their endpoints.
pub(super) fn status(snapshot: &Snapshot) -> Value {
    let now = clock::now();
    let upstreams = snapshot.upstreams.iter().map(|one| {
        let endpoints = one.set().endpoints();
        // The calls of a single endpoint are all those of its upstream, and are counted there alone.
        let single = endpoints.len() == 1;
        let endpoints = endpoints.iter().map(|endpoint| {
            let mut shown = json!({
                "endpoint": endpoint.address().to_string(),
                "active": if single { one.gate().active() } else { endpoint.active() },
                "health": match endpoint.health() {
                    HealthState::Unknown => "unknown",
                    HealthState::Healthy => "healthy",
                    HealthState::Unhealthy => "unhealthy",
                },
                "ejected": endpoint.is_ejected(now),
                "avoided": endpoint.is_avoided(now),
            });
            if let Some((sessions, streams)) = endpoint.sessions() {
                shown["http2"] = json!({ "sessions": sessions, "streams": streams });
            }
            shown
        });
        let standing = one.breaker().standing(now);
        let breaker = match standing.state {
            State::Closed => "closed",
            State::HalfOpen => "half_open",
            State::Open => "open",
        };
        json!({
            "name": &*one.settings().name,
            "breaker": breaker,
            "breaker_since": standing.since.map(|since| time_of(since, now)),
            "breaker_until": standing.until.map(|until| time_of(until, now)),
            "breaker_why": standing.opening.map(|opening| opening.to_string()),
            "active": one.gate().active(),
            "waiting": one.gate().waiting(),
            "limit": one.gate().limit(),
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    });
    upstreams.collect()
}

/// A moment as the log has it.
fn time_of(moment: Instant, now: Instant) -> String {
    let calendar = clock::wall();
    rfc3339(match moment.checked_duration_since(now) {
        Some(ahead) => calendar + ahead,
        None => calendar - now.saturating_duration_since(moment),
    })
}
