//! The command line: arguments in, exit code out.
//!
//! Start with [`main`]; every command has a file of its own. Errors go to standard error, data to standard output.

mod arguments;
mod check;
mod demo;
mod explain;
mod failure;
mod output;
mod routes;
mod run;
mod schema;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::server::Fault;

use failure::{Failure, exit_code};

/// An API gateway: the single entry point in front of a fleet of services.
#[derive(Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the gateway; it reloads when a file changes and on SIGHUP, and shuts down gracefully on SIGTERM and Ctrl-C.
    Run(run::Arguments),
    /// Report every error and warning of a configuration, without starting anything.
    Check(check::Arguments),
    /// List the routes of a configuration with their policies.
    Routes(routes::Arguments),
    /// Show how a request would be handled: route, policies, action. Nothing is sent.
    Explain(explain::Arguments),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Sign a JWT (HS256) for tests.
    Token(token::Arguments),
    /// Start three small services and a gateway in front of them, until Ctrl-C.
    Demo(demo::Arguments),
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

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Routes(arguments) => routes::routes(&arguments),
        Command::Explain(arguments) => explain::explain_request(&arguments),
        Command::Schema => schema::schema(),
        Command::Token(arguments) => token::token(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
    }
}

#[cfg(test)]
mod tests;
