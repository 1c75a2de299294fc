//! From a path to a typed configuration, with everything that is wrong with it.

use std::path::{Path, PathBuf};

use super::check::check;
use super::diagnostic::Diagnostics;
use super::expand::Environment;
use super::load::{Document, document, document_from_text};
use super::model::{Config, read};
use super::policies::Vocabulary;
use super::upstream::UpstreamTls;

/// What a load gave.
#[derive(Debug)]
pub struct Loaded {
    /// What could be read; to be served only where `diagnostics` holds no error.
    pub config: Option<Config>,
    /// Everything that is wrong so far; later stages add to it.
    pub diagnostics: Diagnostics,
    /// Every path whose change changes the configuration: files, the folder, files of secrets (there or not), certificates
    /// and keys of upstreams.
    pub watch: Vec<PathBuf>,
    /// Whether the path that was asked for could not be read at all: the environment is wrong, not the text.
    pub unreadable: bool,
}

/// Loads a file, or a folder whose `*.yaml` and `*.yml` files are one configuration.
pub fn load(path: &Path, env: Environment<'_>, vocabulary: Vocabulary<'_>) -> Loaded {
    typed(document(path, env), vocabulary)
}

/// Loads a text as if it stood in the file `path`.
pub fn load_text(path: &Path, text: &str, env: Environment<'_>, vocabulary: Vocabulary<'_>) -> Loaded {
    typed(document_from_text(path, text, env), vocabulary)
}

fn typed(document: Document, vocabulary: Vocabulary<'_>) -> Loaded {
    let Document { root, diagnostics, mut watch, unreadable } = document;
    let config = root.and_then(|root| {
        let config = read(&root, vocabulary, &diagnostics)?;
        check(&root, &config, &diagnostics);
        Some(config)
    });
    let upstreams = config.iter().flat_map(|config| &config.upstreams);
    watch.extend(upstreams.filter_map(|one| one.settings.tls.as_ref()).flat_map(UpstreamTls::files).cloned());
    Loaded { config, diagnostics, watch, unreadable }
}
