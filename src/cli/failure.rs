//! Why a command fails, and the exit code that says so.

use clap::error::ErrorKind;

/// Why a command did not do what it was asked to.
pub(super) enum Failure {
    /// The configuration is wrong; that has been told.
    Configuration,
    /// The environment does not give what is needed, or what was asked for makes no sense.
    Environment(String),
    /// The configuration could not be read; that has been told.
    Unreadable,
    /// The arguments cannot be understood; clap tells it.
    Usage(Box<clap::Error>),
}

/// The exit codes: 0 good, 1 the configuration is wrong, 2 wrong usage or environment.
pub(super) fn exit_code(outcome: &Result<(), Failure>) -> u8 {
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
