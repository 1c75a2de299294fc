//! What limits and their Redis tell of themselves: lines of the metrics page, and a part of the status.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::store::redis::link::State;
use crate::store::registry::Registry;
use crate::telemetry::metrics::exposition::{family, label};

use super::time::seconds;

/// The families of limits, in the text format that the other metrics have.
pub(super) fn metrics(registry: &Registry) -> String {
    let mut page = String::new();
    // Writing into a String does not fail.
    let _ = write(registry, &mut page);
    page
}

fn write(registry: &Registry, page: &mut String) -> std::fmt::Result {
    let kept = registry.kept();
    family(page, "portcullis_rate_limit_keys", "gauge", "Keys that are held in memory, by limit.");
    for limit in &kept {
        writeln!(page, "portcullis_rate_limit_keys{{{}}} {}", label("limit", &limit.name), limit.keys)?;
    }
    let name = "portcullis_rate_limit_evicted_keys_total";
    family(page, name, "counter", "Keys that still counted and were given up for others, by limit.");
    for limit in &kept {
        writeln!(page, "{name}{{{}}} {}", label("limit", &limit.name), limit.evicted)?;
    }
    let name = "portcullis_rate_limit_shared_decisions_total";
    family(page, name, "counter", "Decisions of limits that live in Redis, by who took them.");
    for (limit, said) in registry.decided() {
        let sources = [
            ("redis", said.redis),
            ("lease", said.lease),
            ("local", said.local),
            ("allow", said.allow),
            ("unavailable", said.unavailable),
        ];
        for (source, count) in sources {
            writeln!(page, "{name}{{{},source=\"{source}\"}} {count}", label("limit", &limit))?;
        }
    }
    let Some(link) = registry.link() else { return Ok(()) };
    family(page, "portcullis_redis_up", "gauge", "Whether Redis answers.");
    writeln!(page, "portcullis_redis_up {}", u8::from(link.state == State::Up))?;
    family(page, "portcullis_redis_replicas", "gauge", "Replicas of the gateway that were seen last.");
    writeln!(page, "portcullis_redis_replicas {}", link.replicas)?;
    family(page, "portcullis_redis_trips_total", "counter", "Questions to Redis.");
    writeln!(page, "portcullis_redis_trips_total {}", link.trips)?;
    let name = "portcullis_redis_trip_failures_total";
    family(page, name, "counter", "Questions to Redis without an answer in time, by reason.");
    for (reason, count) in link.failures {
        writeln!(page, "{name}{{reason=\"{reason}\"}} {count}")?;
    }
    family(page, "portcullis_redis_give_backs_total", "counter", "Times that permits were given back.");
    writeln!(page, "portcullis_redis_give_backs_total {}", link.give_backs)
}

/// How Redis fares; null where no limit lives there.
pub(super) fn status(registry: &Registry) -> Value {
    registry.link().map_or(Value::Null, |link| {
        json!({
            "state": link.state.as_str(),
            "since": seconds(link.since),
            "replicas": link.replicas,
            "last_error": link.last_error,
        })
    })
}
