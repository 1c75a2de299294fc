//! The access log as the configuration asks for it.

use std::io;
use std::sync::Arc;

use crate::config::{AccessLog as Wanted, LogFormat};
use crate::telemetry::access_log::{AccessLog, AccessLogSettings, Target};
use crate::telemetry::{Format, Metrics, OperatorLog};

use super::fault::Fault;
use super::options::Stdout;

/// Starts the access log for so many cores; `None` where it is turned off.
pub(super) fn start(
    wanted: Option<&Wanted>,
    stdout: Stdout,
    metrics: &Metrics,
    log: &Arc<OperatorLog>,
    cores: usize,
) -> Result<Option<Arc<AccessLog>>, Fault> {
    let Some(wanted) = wanted else { return Ok(None) };
    let watched = wanted.file.is_none() && stdout.terminal;
    let text = Format::Text { colour: wanted.file.is_none() && stdout.colour };
    let format = match wanted.format {
        LogFormat::Text => text,
        LogFormat::Auto if watched => text,
        LogFormat::Auto | LogFormat::Json => Format::Json,
    };
    let place =
        wanted.file.as_ref().map_or("standard output".to_owned(), |file| format!("`{}`", file.display()));
    let report = {
        let (log, place) = (Arc::clone(log), place.clone());
        Box::new(move |level, what: &str| {
            log.write(level, format_args!("access log to {place}: {what}"), &[])
        })
    };
    let settings = AccessLogSettings {
        target: wanted.file.clone().map_or(Target::Stdout, Target::File),
        format,
        prompt: watched,
        dropped: metrics.access_log_dropped(),
        report,
    };
    let told = |error: io::Error| {
        Fault::Environment(format!(
            "the access log cannot be written to {place}: {error}; choose another `telemetry.access_log.file`"
        ))
    };
    AccessLog::start(settings, cores).map(Some).map_err(told)
}
