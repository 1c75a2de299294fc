//! `check`: everything that is wrong with a configuration. It takes the way of `run`, and stops before the sockets.

use clap::Args;

use crate::server::Source;
use crate::snapshot::compile::Environment;

use super::arguments::{Format, NamedPath};
use super::failure::Failure;
use super::output;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    path: NamedPath,
    /// Fail on warnings too.
    #[arg(long)]
    strict: bool,
    /// The format of the findings.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.path.path();
    let compiled = Source::Path(path.to_owned()).compile(None, &Environment::new(1));
    let refused = arguments.strict && compiled.snapshot.is_some() && !compiled.diagnostics.is_empty();
    match arguments.output {
        Format::Json => output::print(&format!("{:#}\n", compiled.diagnostics.to_json())),
        Format::Text => {
            output::diagnostics(&compiled.diagnostics);
            if refused {
                output::tell("error: `--strict` does not accept warnings\n");
            } else if let Some(snapshot) = &compiled.snapshot {
                let (listeners, routes) = (snapshot.listeners.len(), compiled.routes());
                output::print(&format!(
                    "{}: good, listeners: {listeners}, routes: {routes}\n",
                    path.display()
                ));
            }
        }
    }
    match compiled.snapshot {
        Some(_) if refused => Err(Failure::Configuration),
        Some(_) => Ok(()),
        None if compiled.unreadable => Err(Failure::Unreadable),
        None => Err(Failure::Configuration),
    }
}
