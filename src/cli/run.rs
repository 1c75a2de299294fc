//! `run`: serve.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::admin;
use crate::server::{self, Options, Source};
use crate::telemetry::log::Level;

use super::arguments::{NamedPath, duration};
use super::failure::Failure;
use super::output;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    path: NamedPath,
    /// After SIGTERM, keep accepting and serving for this long while `/readyz` answers 503, so that load balancers
    /// take the instance out of rotation first.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    drain_delay: Duration,
    /// How long requests in progress may take after the listeners are closed.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    grace: Duration,
    /// Also write debug lines, such as why a `match` cannot be evaluated.
    #[arg(long)]
    debug: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = output::operator_log(if arguments.debug { Level::Debug } else { Level::Info })?;
    let outcome = server::run(Options {
        source: Source::Path(arguments.path.path().to_owned()),
        drain_delay: arguments.drain_delay,
        grace: arguments.grace,
        log: Arc::clone(&log),
        stdout: output::stdout(),
        admin: admin::serve,
        ready: Box::new(|_| {}),
    });
    output::end(&log);
    Ok(outcome?)
}
