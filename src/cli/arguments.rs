//! Arguments that several commands take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config;

/// Where the configuration is.
#[derive(Args)]
pub(super) struct ConfigPath {
    /// The configuration: a file, or a folder of `*.yaml` and `*.yml` files.
    #[arg(short, long, value_name = "PATH", default_value = "portcullis.yaml")]
    config: PathBuf,
}

impl ConfigPath {
    /// The path as it is used.
    pub(super) fn path(&self) -> &Path {
        &self.config
    }
}

/// The same, which may also be written without an option: `check FILE`.
#[derive(Args)]
pub(super) struct NamedPath {
    /// The configuration: a file, or a folder of `*.yaml` and `*.yml` files [default: portcullis.yaml].
    #[arg(value_name = "PATH")]
    named: Option<PathBuf>,
    /// The same as PATH.
    #[arg(short, long, value_name = "PATH", conflicts_with = "named")]
    config: Option<PathBuf>,
}

impl NamedPath {
    /// The path as it is used.
    pub(super) fn path(&self) -> &Path {
        self.named.as_deref().or(self.config.as_deref()).unwrap_or(Path::new("portcullis.yaml"))
    }
}

/// The format of a command's output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Readable text.
    Text,
    /// JSON, for programs.
    Json,
}

/// A duration on the command line is written as in a configuration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|(what, help)| format!("{what}: {help}"))
}
