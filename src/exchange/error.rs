//! The one error type of the path.
//!
//! Rooms choose a kind and hand it back; nobody but `problem.rs` turns it into bytes. The public part of an error is
//! its kind, with a short detail where a client may know one; everything else (`source`) goes to the log alone.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::failure::Failure;
use super::kind::ErrorKind;

/// An error on the path.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    reason: &'static str,
    detail: Option<Cow<'static, str>>,
    source: Option<String>,
    headers: Vec<(&'static str, String)>,
    close: bool,
    status: Option<StatusCode>,
    failure: Option<Failure>,
}

impl Error {
    /// An error of this kind with nothing more to say.
    pub fn new(kind: ErrorKind) -> Error {
        Error(Box::new(Inner {
            kind,
            reason: "",
            detail: None,
            source: None,
            headers: Vec::new(),
            close: false,
            status: None,
            failure: None,
        }))
    }

    /// Refines the kind with one stable word (`connect`, `reset`, `protocol` ...) for log and metric.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Error {
        self.0.reason = reason;
        self
    }

    /// A sentence that the client may read: never an address, a name of an upstream or a part of a secret.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Error {
        self.0.detail = Some(detail.into());
        self
    }

    /// What the log alone is told.
    #[must_use]
    pub fn source(mut self, source: impl fmt::Display) -> Error {
        self.0.source = Some(source.to_string());
        self
    }

    /// A header line for the answer (`allow`, `www-authenticate`, `retry-after`).
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.0.headers.push((name, value.into()));
        self
    }

    /// The connection's framing cannot be trusted any more: it ends with this answer.
    #[must_use]
    pub fn closing(mut self) -> Error {
        self.0.close = true;
        self
    }

    /// Another status than the kind's own, where the configuration asks for one.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Error {
        self.0.status = Some(status);
        self
    }

    /// How the call to a service failed of which this is the error.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> Error {
        self.0.failure = Some(failure);
        self
    }

    /// How the call to a service failed, where this is the error of one.
    pub fn failure(&self) -> Option<Failure> {
        self.0.failure
    }

    /// The status a client sees.
    pub fn status(&self) -> StatusCode {
        self.0.status.unwrap_or_else(|| self.0.kind.status())
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The refining word, or empty.
    pub fn why(&self) -> &'static str {
        self.0.reason
    }

    /// The public sentence.
    pub fn public_detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The private part, for the log.
    pub fn private_source(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    /// Header lines for the answer.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.0.headers
    }

    /// Whether the connection must end with this answer.
    pub fn closes(&self) -> bool {
        self.0.close
    }
}

impl From<Failure> for Error {
    /// The error that a failure is answered with; what the log alone is given goes into its source.
    fn from(failure: Failure) -> Error {
        Error::new(failure.kind()).reason(failure.reason()).failed(failure)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error::new(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.name())?;
        if !self.0.reason.is_empty() {
            write!(f, " ({})", self.0.reason)?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
