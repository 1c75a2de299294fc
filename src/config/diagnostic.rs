//! What is wrong with a configuration, where, and how to mend it.

use std::cell::RefCell;
use std::sync::Arc;

use super::span::{Files, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It would run, but probably not as meant.
    Warning,
}

impl Severity {
    /// The word that the operator sees.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A second place that belongs to a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The place.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// One finding. It never holds the value of a reference such as `${NAME}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a diagnostic does nothing until it is added to a collector"]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where; `None` where no line of a file is to blame, such as a file that is not there.
    pub span: Option<Span>,
    /// What is wrong.
    pub what: String,
    /// The mend.
    pub help: Option<String>,
    /// Other places that explain it.
    pub notes: Vec<Note>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span: Some(span), what: what.into(), help: None, notes: Vec::new() }
    }

    /// A warning at a place.
    pub fn warning(span: Span, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, what) }
    }

    /// An error that no line is to blame for.
    pub fn placeless(what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span: None, what: what.into(), help: None, notes: Vec::new() }
    }

    /// Adds the mend.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the mend "did you mean", where there is a word to offer.
    pub fn did_you_mean(mut self, word: Option<&str>) -> Self {
        if let Some(word) = word {
            self.help = Some(format!("did you mean `{word}`?"));
        }
        self
    }

    /// Adds another place.
    pub fn note(mut self, span: Span, text: impl Into<String>) -> Self {
        self.notes.push(Note { span, text: text.into() });
        self
    }
}

/// Collects the findings of one load, so that all are reported at once. Shared by reference while reading.
#[derive(Debug)]
pub struct Diagnostics {
    files: Arc<Files>,
    list: RefCell<Vec<Diagnostic>>,
}

impl Diagnostics {
    /// An empty collector over the files that spans point into.
    pub fn new(files: Arc<Files>) -> Self {
        Self { files, list: RefCell::new(Vec::new()) }
    }

    /// Adds a finding; one that is already there (the same value read twice) is dropped.
    pub fn add(&self, diagnostic: Diagnostic) {
        let mut list = self.list.borrow_mut();
        let twin = |other: &Diagnostic| other.span == diagnostic.span && other.what == diagnostic.what;
        if !list.iter().any(twin) {
            list.push(diagnostic);
        }
    }

    /// Whether the configuration must be refused.
    pub fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// How many findings of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.borrow().iter().filter(|d| d.severity == severity).count()
    }

    /// The findings in the order of the files; those without a place come first.
    pub fn sorted(&self) -> Vec<Diagnostic> {
        let mut list = self.list.borrow().clone();
        list.sort_by_key(|diagnostic| (diagnostic.span, diagnostic.severity));
        list
    }

    /// The files that spans point into.
    pub fn files(&self) -> &Arc<Files> {
        &self.files
    }
}
