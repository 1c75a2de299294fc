//! Where the configuration comes from, and its way to a snapshot. `check` and `run` go the same way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{self, Config, Diagnostics, ListenerTls, Loaded};
use crate::runtime::clock;
use crate::snapshot::Snapshot;
use crate::snapshot::compile::{Environment, compile, vocabulary};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, or a folder of files.
    Path(PathBuf),
    /// A text, as if it stood in the file `path`. It never changes.
    Text {
        /// The file's name, for diagnostics and relative paths.
        path: PathBuf,
        /// The text.
        text: String,
    },
}

/// What a configuration came to.
pub struct Compiled {
    /// The gate that is meant; `None` where `diagnostics` holds an error.
    pub snapshot: Option<Snapshot>,
    /// The configuration as far as it could be read.
    pub config: Option<Arc<Config>>,
    /// Everything that is wrong with it.
    pub diagnostics: Diagnostics,
    /// Every path whose change changes the configuration.
    pub watch: Vec<PathBuf>,
    /// Whether the configuration could not be read at all.
    pub unreadable: bool,
    /// When reading began: what changed after this may not have been seen.
    pub begun: SystemTime,
}

impl Source {
    /// The path that the operator named.
    pub fn path(&self) -> &Path {
        match self {
            Source::Path(path) | Source::Text { path, .. } => path,
        }
    }

    /// Reads the configuration and compiles it. Blocks: it reads files.
    pub fn compile(&self, previous: Option<&Snapshot>, environment: &Environment) -> Compiled {
        let begun = clock::wall();
        let variable = |name: &str| std::env::var(name).ok();
        let loaded = match self {
            Source::Path(path) => config::load(path, &variable, vocabulary()),
            Source::Text { path, text } => config::load_text(path, text, &variable, vocabulary()),
        };
        let Loaded { config, diagnostics, mut watch, unreadable } = loaded;
        let listeners = config.iter().flat_map(|config| &config.listeners);
        watch.extend(
            listeners.filter_map(|listener| listener.tls.as_ref()).flat_map(ListenerTls::files).cloned(),
        );
        let config = config.map(Arc::new);
        let snapshot =
            config.as_ref().and_then(|config| compile(config, previous, environment, &diagnostics));
        let snapshot = snapshot.filter(|_| !diagnostics.has_errors());
        Compiled { snapshot, config, diagnostics, watch, unreadable, begun }
    }
}

impl Compiled {
    /// How many routes are written, the shared ones counted once.
    pub fn routes(&self) -> usize {
        let Some(config) = &self.config else { return 0 };
        config.routes.len() + config.listeners.iter().map(|listener| listener.routes.len()).sum::<usize>()
    }
}
