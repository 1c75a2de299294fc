//! Where an expression stands in the configuration: what fails at run time is told with its place.

use crate::config::{Files, Text};

/// A value of a configuration file that an expression is, or is in.
#[derive(Debug)]
pub(super) struct Origin {
    file: String,
    text: Text,
}

impl Origin {
    pub(super) fn new(text: &Text, files: &Files) -> Origin {
        Origin { file: files.path(text.span().file).display().to_string(), text: text.clone() }
    }

    /// File, line and column of a byte of the value; of the whole value where that cannot be told.
    pub(super) fn at(&self, byte: usize) -> String {
        let span = self.text.part(byte..byte);
        format!("{}:{}:{}", self.file, span.line, span.column)
    }
}
