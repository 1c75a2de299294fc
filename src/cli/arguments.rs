//! Arguments that several commands take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config;

/// Where the configuration is.
#[derive(Args)]
pub(super) struct ConfigPath {
    /// The configuration: a file, or a folder of `*.yaml` and `*.yml` files.
    #[arg(short, long, value_name = "PATH", default_value = "portcullis.yaml")]
    pub(super) config: PathBuf,
}

/// For whom a command writes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A duration on the command line is written as in a configuration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|(what, mend)| format!("{what}: {mend}"))
}
