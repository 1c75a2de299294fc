//! What a source comes to, in the words that clients, logs and metrics read.

use bytes::Bytes;
use http::StatusCode;
use smallvec::SmallVec;

use crate::exchange::{Cause, Error, ErrorKind, Headers};
use crate::json::is_blank;
use crate::telemetry::metrics::SOURCE_OUTCOMES;

/// How a source failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Not complete in time.
    Timeout,
    /// No connection.
    Refused,
    /// The connection broke, or what came is no HTTP.
    Reset,
    /// A status that is not accepted: this one.
    Status(StatusCode),
    /// A body that is not one JSON value.
    InvalidJson,
    /// A body, or a list of items, over its bound.
    TooLarge,
    /// What it needs is not there.
    Dependency,
    /// The breaker of its upstream is open.
    BreakerOpen,
    /// Its upstream takes no more, or has no endpoint.
    Overloaded,
}

impl Fault {
    const fn index(self) -> usize {
        match self {
            Fault::Timeout => 0,
            Fault::Refused => 1,
            Fault::Reset => 2,
            Fault::Status(_) => 3,
            Fault::InvalidJson => 4,
            Fault::TooLarge => 5,
            Fault::Dependency => 6,
            Fault::BreakerOpen => 7,
            Fault::Overloaded => 8,
        }
    }

    /// The word.
    pub(super) const fn word(self) -> &'static str {
        SOURCE_OUTCOMES[self.index()]
    }

    /// The source's own status where it gave one with the fault, else what the gateway would have answered.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Fault::Status(status) => status,
            Fault::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Fault::BreakerOpen | Fault::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The kind of error that the whole call is where this fault decides it.
    pub(super) const fn kind(self) -> ErrorKind {
        match self {
            Fault::Timeout => ErrorKind::UpstreamTimeout,
            _ => ErrorKind::UpstreamFailure,
        }
    }

    /// Whether what is old may stand in: the service is in trouble, and did not say something about the thing itself.
    pub(super) fn is_trouble(self) -> bool {
        match self {
            Fault::Status(status) => status.is_server_error(),
            Fault::Dependency => false,
            _ => true,
        }
    }
}

/// A failure: its fault, and why, for the log alone.
#[derive(Debug)]
pub(super) struct Failure {
    /// The fault.
    pub fault: Fault,
    /// What the log is told.
    pub why: String,
}

impl Failure {
    /// A failure.
    pub(super) fn new(fault: Fault, why: impl ToString) -> Failure {
        Failure { fault, why: why.to_string() }
    }

    /// What an error of a call comes to.
    pub(super) fn of(error: &Error) -> Failure {
        let fault = match (error.kind(), error.failure().map(|failure| failure.cause)) {
            (ErrorKind::UpstreamTimeout | ErrorKind::DeadlineExceeded, _) => Fault::Timeout,
            (ErrorKind::BodyTooLarge, _) => Fault::TooLarge,
            (ErrorKind::BreakerOpen, _) => Fault::BreakerOpen,
            (ErrorKind::Overloaded, _) => Fault::Overloaded,
            (ErrorKind::NoEndpoint, _) | (_, Some(Cause::Refused)) => Fault::Refused,
            (_, Some(Cause::Coding)) => Fault::InvalidJson,
            _ => Fault::Reset,
        };
        Failure::new(fault, error)
    }
}

/// Where a body came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// The service, just now.
    Service,
    /// The gate's cache.
    Cached,
    /// The gate's cache, too old, because the service failed.
    Stale,
}

/// A body as it is carried over: JSON, without a byte order mark.
#[derive(Clone, Debug)]
pub(super) enum Carried {
    /// One value.
    One(Bytes),
    /// The list of these values.
    List(Vec<Bytes>),
}

impl Carried {
    /// Whether it has members that could be lifted, or is nothing at all.
    pub(super) fn is_liftable(&self) -> bool {
        let Carried::One(json) = self else { return false };
        matches!(json.iter().find(|byte| !is_blank(**byte)), Some(b'{' | b'n'))
    }

    /// In one piece.
    pub(super) fn whole(&self) -> Bytes {
        match self {
            Carried::One(json) => json.clone(),
            Carried::List(items) => {
                let mut out = Vec::with_capacity(items.iter().map(|item| item.len() + 1).sum::<usize>() + 2);
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(item);
                }
                out.push(b']');
                out.into()
            }
        }
    }
}

/// What a source that went well has given.
#[derive(Debug)]
pub(super) struct Given {
    /// Its status.
    pub status: StatusCode,
    /// What it said beside its body; of a list, each item.
    pub said: SmallVec<[Said; 1]>,
    /// Its body.
    pub body: Carried,
    /// Where it came from.
    pub origin: Origin,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Said {
    /// Its lines.
    pub headers: Headers,
    /// How many seconds it has been in the gate's cache.
    pub age: u64,
}

/// What a source has come to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// `ok`
    Given(Given),
    /// It was not called.
    Skipped,
    /// It failed.
    Failed(Failure),
}

impl Outcome {
    /// The word of `s=`, and its place among [`SOURCE_OUTCOMES`].
    pub(super) const fn word(&self) -> (&'static str, usize) {
        let index = match self {
            Outcome::Given(_) => 9,
            Outcome::Skipped => 10,
            Outcome::Failed(failure) => failure.fault.index(),
        };
        (SOURCE_OUTCOMES[index], index)
    }
}
