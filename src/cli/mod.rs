//! The command line: arguments in, exit code out.
//!
//! Start with [`main`]; every command has a file of its own. Errors go to standard error, data to standard output.

mod check;
mod demo;
mod output;
mod routes;
mod run;
mod schema;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;
use crate::server::Fault;

/// An API gateway: the one gate in front of a fleet of services.
#[derive(Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve; reloads when a file changes and on SIGHUP, ends gracefully on SIGTERM and Ctrl-C.
    Run(run::Arguments),
    /// Tell everything that is wrong with a configuration.
    Check(check::Arguments),
    /// List the routes of a configuration with what guards them.
    Routes(routes::Arguments),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Sign a token (JWT, HS256) to try a gateway with.
    Token(token::Arguments),
    /// Start three small services and a gateway before them, until Ctrl-C.
    Demo(demo::Arguments),
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigPath {
    /// The configuration: a file, or a folder of `*.yaml` and `*.yml` files.
    #[arg(short, long, value_name = "PATH", default_value = "portcullis.yaml")]
    config: PathBuf,
}

/// For whom a command writes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why a command did not do what it was asked to.
enum Failure {
    /// The configuration is wrong; that has been told.
    Configuration,
    /// The environment does not give what is needed, or what was asked for makes no sense.
    Environment(String),
    /// The configuration could not be read; that has been told.
    Unreadable,
    /// The arguments cannot be understood; clap tells it.
    Usage(Box<clap::Error>),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        match fault {
            Fault::Configuration(diagnostics) => {
                output::diagnostics(&diagnostics);
                Failure::Configuration
            }
            Fault::Unreadable(diagnostics) => {
                output::diagnostics(&diagnostics);
                Failure::Unreadable
            }
            Fault::Environment(what) => Failure::Environment(what),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let outcome = Arguments::try_parse().map_err(|error| Failure::Usage(Box::new(error))).and_then(dispatch);
    match &outcome {
        Err(Failure::Environment(what)) => output::tell(&format!("error: {what}\n")),
        // Help and version are data; whoever closes the pipe has read enough.
        Err(Failure::Usage(error)) => drop(error.print()),
        _ => {}
    }
    ExitCode::from(exit_code(&outcome))
}

/// The exit codes: 0 good, 1 the configuration is wrong, 2 wrong usage or environment.
fn exit_code(outcome: &Result<(), Failure>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(Failure::Usage(error))
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            0
        }
        Err(Failure::Configuration) => 1,
        Err(Failure::Environment(_) | Failure::Unreadable | Failure::Usage(_)) => 2,
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Routes(arguments) => routes::routes(&arguments),
        Command::Schema => schema::schema(),
        Command::Token(arguments) => token::token(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
    }
}

/// A duration on the command line is written as in a configuration.
fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|(what, mend)| format!("{what}: {mend}"))
}

#[cfg(test)]
mod tests;
