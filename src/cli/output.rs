//! Standard output and standard error. A pipe that was closed is no failure: whoever reads it has read enough.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Diagnostics;
use crate::server::Stdout;
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;

use super::failure::Failure;

/// How long the log may take for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes data.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes what a person has to know.
pub(super) fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Tells what is wrong with a configuration.
pub(super) fn diagnostics(diagnostics: &Diagnostics) {
    tell(&diagnostics.render(coloured(&std::io::stderr())));
}

/// Whether colour is welcome on a stream: on a terminal that can show it, unless `NO_COLOR` is set.
fn coloured(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How standard output is to be treated.
pub(super) fn stdout() -> Stdout {
    let stdout = std::io::stdout();
    Stdout { terminal: stdout.is_terminal(), colour: coloured(&stdout) }
}

/// The operator's log, on standard error.
pub(super) fn operator_log(least: Level) -> Result<Arc<OperatorLog>, Failure> {
    let sink = |line: &[u8]| {
        let _ = std::io::stderr().lock().write_all(line);
    };
    OperatorLog::start(false, least, sink)
        .map_err(|error| Failure::Environment(format!("the log could not be started: {error}")))
}

/// Lets the log write what waits, so that what is told next comes after it.
pub(super) fn end(log: &OperatorLog) {
    log.shutdown(LAST_WORDS);
}
