//! How limits in Redis fare, as a document and as numbers.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::store::redis::link::State;
use crate::store::registry::Registry;

/// The connection, for `/status`; `null` where there is none.
pub(super) fn status(counters: &Registry) -> Value {
    let Some(now) = counters.redis() else { return Value::Null };
    json!({
        "state": now.state.as_str(),
        "since": seconds(now.since),
        "replicas": now.replicas,
        "last_error": now.last_error,
    })
}

/// The numbers, for `/metrics`; nothing where there is no connection.
pub(super) fn numbers(counters: &Registry) -> String {
    let mut page = String::new();
    let Some(now) = counters.redis() else { return page };
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing into a text cannot fail.
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(page, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    let up = u64::from(now.state == State::Up);
    family("portcullis_redis_up", "gauge", "Whether Redis answers.", &one(up));
    family(
        "portcullis_redis_replicas",
        "gauge",
        "Replicas that share Redis, as seen last.",
        &one(now.replicas),
    );
    family("portcullis_redis_trips_total", "counter", "Questions that were put to Redis.", &one(now.trips));
    let failures = now.failures.map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), count));
    let help = "Questions that Redis did not answer, by reason.";
    family("portcullis_redis_trip_failures_total", "counter", help, &failures);
    let help = "Times that permits were given back to Redis.";
    family("portcullis_redis_give_backs_total", "counter", help, &one(now.give_backs));
    let mut decisions = Vec::new();
    for (limit, by) in counters.decisions() {
        let limit = limit.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (source, count) in
            [("redis", by.redis), ("lease", by.lease), ("local", by.local), ("allow", by.allow)]
        {
            decisions.push((format!("{{limit=\"{limit}\",source=\"{source}\"}}"), count));
        }
    }
    let help = "Decisions of limits in Redis, by who took them.";
    family("portcullis_rate_limit_store_decisions_total", "counter", help, &decisions);
    page
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
