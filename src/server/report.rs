//! Why a reload is asked for and what it came to, as log and admin tell it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use tokio::sync::oneshot;

use crate::config::{Changes, Diagnostic, Diagnostics, Severity};
use crate::runtime::clock;
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;

/// Somebody wants the configuration read anew.
pub(super) struct Request {
    pub(super) cause: Cause,
    pub(super) answer: Option<oneshot::Sender<Arc<Report>>>,
}

/// Who asked for a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// SIGHUP.
    Signal,
    /// A file has changed.
    Change,
    /// The admin listener was asked.
    Request,
}

impl Cause {
    /// In a few words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Signal => "signal",
            Cause::Change => "file change",
            Cause::Request => "admin request",
        }
    }
}

/// Why a reload changed nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The configuration is wrong; [`Report::diagnostics`] tells where.
    Configuration,
    /// The system does not give what the configuration needs, an address for example. With the mend.
    Environment(String),
    /// The process is ending.
    Ending,
}

impl Failure {
    /// The failure as a sentence's end.
    pub fn as_str(&self) -> &str {
        match self {
            Failure::Configuration => "the configuration is wrong",
            Failure::Environment(what) => what,
            Failure::Ending => "the process is ending",
        }
    }
}

/// What a reload came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The version that is in force after it.
    pub version: u64,
    /// When it was over.
    pub at: SystemTime,
    /// Who asked.
    pub cause: Cause,
    /// How long it took.
    pub took: Duration,
    /// Why nothing changed; `None` where the new configuration is in force.
    pub failure: Option<Failure>,
    /// `{ errors, warnings, diagnostics: [...] }`.
    pub diagnostics: Value,
    /// Keys whose change takes a restart and was left out.
    pub restart: Vec<&'static str>,
    /// What the new configuration says otherwise; nothing where it is not in force.
    pub changes: Changes,
}

impl Report {
    /// What a reload is answered with that came too late.
    pub(super) fn ending(version: u64, cause: Cause) -> Report {
        Report {
            version,
            at: clock::wall(),
            cause,
            took: Duration::ZERO,
            failure: Some(Failure::Ending),
            diagnostics: json!({ "errors": 0, "warnings": 0, "diagnostics": [] }),
            restart: Vec::new(),
            changes: Changes::default(),
        }
    }
}

/// Tells every finding to the operator's log, one line each.
pub(super) fn tell(log: &OperatorLog, diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.sorted() {
        let level = match diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
        };
        let message = one_line(&diagnostic, diagnostics);
        match &diagnostic.help {
            Some(help) => log.write(level, format_args!("{message}"), &[("help", help)]),
            None => log.write(level, format_args!("{message}"), &[]),
        }
    }
}

fn one_line(diagnostic: &Diagnostic, diagnostics: &Diagnostics) -> String {
    let place = |span: crate::config::Span| {
        format!("{}:{}:{}", diagnostics.files().path(span.file).display(), span.line, span.column)
    };
    let mut line = diagnostic.span.map_or(String::new(), |span| format!("{}: ", place(span)));
    line.push_str(&diagnostic.what);
    for note in &diagnostic.notes {
        line.push_str(&format!(" ({} at {})", note.text, place(note.span)));
    }
    line
}
