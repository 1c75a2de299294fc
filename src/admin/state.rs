//! How the process is, as documents.

use std::sync::Arc;

use ::http::StatusCode;
use serde_json::{Value, json};

use crate::server::{Control, Report};

use super::cache;
use super::http::Reply;
use super::limits;
use super::long::Work;
use super::time::seconds;
use super::upstreams;

/// The process and its last reload.
pub(super) fn status(control: &Control) -> Work {
    let snapshot = control.snapshot();
    let (counters, cache) = (Arc::clone(control.counters()), Arc::clone(control.cache()));
    let (started, ready, open) = (control.started(), control.is_ready(), control.open());
    let last_reload = control.last_reload();
    Box::new(move || {
        Reply::json(&json!({
            "version": snapshot.version,
            "build": env!("CARGO_PKG_VERSION"),
            "compiled_at": seconds(snapshot.made),
            "started_at": seconds(started),
            "ready": ready,
            "connections": open,
            "cache": cache::status(&cache),
            "upstreams": upstreams::status(&snapshot),
            "redis": limits::status(&counters),
            "last_reload": last_reload.map(|report| document(&report)),
        }))
    })
}

/// The answer to one who asked for a reload.
pub(super) fn reloaded(report: &Report) -> Reply {
    let mut body = document(report);
    let Some(failure) = &report.failure else { return Reply::json(&body) };
    body["type"] = json!("urn:portcullis:error:reload_failed");
    body["title"] = json!("The configuration was not reloaded");
    body["status"] = json!(StatusCode::UNPROCESSABLE_ENTITY.as_u16());
    body["error"] = json!("reload failed");
    body["detail"] = json!(failure.as_str());
    Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

fn document(report: &Report) -> Value {
    let mut document = json!({
        "ok": report.failure.is_none(),
        "version": report.version,
        "at": seconds(report.at),
        "cause": report.cause.as_str(),
        "took_ms": report.took.as_millis() as u64,
        "needs_restart": report.restart,
        "changes": {
            "added": report.changes.added,
            "changed": report.changes.changed,
            "removed": report.changes.removed,
        },
    });
    for key in ["errors", "warnings", "diagnostics"] {
        document[key] = report.diagnostics[key].clone();
    }
    if let Some(failure) = &report.failure {
        document["detail"] = json!(failure.as_str());
    }
    document
}
