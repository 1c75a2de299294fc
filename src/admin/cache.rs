//! What the store of answers tells of itself: lines of the metrics page, and a part of the status.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cache::Cache;
use crate::telemetry::metrics::exposition::family;

/// The families of the store, in the text format that the other metrics have.
pub(super) fn metrics(cache: &Cache) -> String {
    let mut page = String::new();
    // Writing into a String does not fail.
    let _ = write(cache, &mut page);
    page
}

fn write(cache: &Cache, page: &mut String) -> std::fmt::Result {
    let numbers = cache.statistics();
    let name = "portcullis_cache_lookups_total";
    family(page, name, "counter", "Looks into the store of answers, by what they came to.");
    for (outcome, count) in [("hit", numbers.hits), ("miss", numbers.misses), ("stale", numbers.stale)] {
        writeln!(page, "{name}{{outcome=\"{outcome}\"}} {count}")?;
    }
    for (name, kind, help, number) in [
        ("portcullis_cache_stores_total", "counter", "Answers that were stored.", numbers.stores),
        ("portcullis_cache_evictions_total", "counter", "Answers given up for others.", numbers.evictions),
        ("portcullis_cache_entries", "gauge", "Answers that are held.", numbers.entries),
        ("portcullis_cache_bytes", "gauge", "Bytes that the held answers take.", numbers.bytes),
        ("portcullis_cache_max_bytes", "gauge", "Bytes that they may take.", numbers.max_bytes),
    ] {
        family(page, name, kind, help);
        writeln!(page, "{name} {number}")?;
    }
    Ok(())
}

/// How full the store is, and what it was good for.
pub(super) fn status(cache: &Cache) -> Value {
    let numbers = cache.statistics();
    json!({
        "entries": numbers.entries,
        "bytes": numbers.bytes,
        "max_bytes": numbers.max_bytes,
        "hits": numbers.hits,
        "misses": numbers.misses,
        "stale": numbers.stale,
    })
}
