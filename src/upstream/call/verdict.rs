//! What an ending says about the service: one table, read by the circuit breaker, outlier detection and the adaptive
//! concurrency limit.
//!
//! `docs/resilience.md` has it as a table that a test compares with this file.

use http::StatusCode;

use crate::exchange::{Cause, Failure, Party};

/// What an ending says about the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did its work.
    Good,
    /// It failed; the word says how, for operators.
    Bad(&'static str),
    /// Nothing: others ended the exchange.
    Nothing,
}

impl Verdict {
    /// Whether the service failed.
    pub fn is_bad(self) -> bool {
        matches!(self, Verdict::Bad(_))
    }
}

/// What a failure says. `accuses` is asked only where a caller's own time was over: whether the service's silence
/// towards others speaks against it too.
pub fn of_failure(failure: Failure, accuses: impl FnOnce() -> bool) -> Verdict {
    match (failure.party, failure.cause) {
        (Party::Client | Party::Gateway, _) => Verdict::Nothing,
        (Party::Service, Cause::Deadline) if !accuses() => Verdict::Nothing,
        // It is found where the body is decoded, after the call has been judged.
        (Party::Service, Cause::Coding) => Verdict::Nothing,
        (Party::Service, _) => Verdict::Bad(failure.reason()),
    }
}

/// What the status of a response says to the breaker and the concurrency limit: 502, 503 and 504 are failures.
pub fn of_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        502 => Verdict::Bad("502"),
        503 => Verdict::Bad("503"),
        504 => Verdict::Bad("504"),
        _ => Verdict::Good,
    }
}

/// Whether a status is a failure of the endpoint that gave it: any of 500 to 599.
pub fn fails_endpoint(status: StatusCode) -> bool {
    status.is_server_error()
}

#[cfg(test)]
mod tests;
