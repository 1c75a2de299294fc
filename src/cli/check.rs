//! `check`: everything that is wrong with a configuration. It takes the way of `run`, and stops before the sockets.

use clap::Args;

use crate::server::Source;
use crate::snapshot::compile::Environment;

use super::arguments::{ConfigPath, Format};
use super::failure::Failure;
use super::output;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    path: ConfigPath,
    /// How the findings are written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.path.config;
    let compiled = Source::Path(path.clone()).compile(None, &Environment::new(1));
    match arguments.output {
        Format::Json => output::print(&format!("{:#}\n", compiled.diagnostics.to_json())),
        Format::Text => {
            output::diagnostics(&compiled.diagnostics);
            if let Some(snapshot) = &compiled.snapshot {
                let (listeners, routes) = (snapshot.listeners.len(), compiled.routes());
                output::print(&format!(
                    "{}: good, listeners: {listeners}, routes: {routes}\n",
                    path.display()
                ));
            }
        }
    }
    match compiled.snapshot {
        Some(_) => Ok(()),
        None if compiled.unreadable => Err(Failure::Unreadable),
        None => Err(Failure::Configuration),
    }
}
