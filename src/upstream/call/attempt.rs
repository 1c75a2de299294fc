//! One attempt at one endpoint, and what its failure means.

use std::time::Instant;

use http::Method;

use crate::config::RetryOn;
use crate::exchange::{CoreId, Error, ErrorKind, Request, Response};
use crate::runtime::{clock, time};

use super::observer::Tally;
use crate::upstream::endpoints::Endpoint;
use crate::upstream::transport::address;
use crate::upstream::transport::connection::Connection;
use crate::upstream::transport::http1::{Failure, Waits, round_trip};
use crate::upstream::transport::upload::Upload;
use crate::upstream::{Attempts, Deadline, Upstream};

/// An attempt that failed.
pub(in crate::upstream) struct Failed {
    /// The error of the call, if it is the last.
    pub(in crate::upstream) error: Error,
    /// Whether the service cannot have seen the request.
    pub(in crate::upstream) unseen: bool,
}

impl Failed {
    /// What it is called in `retry_on`; none for what is nobody's to repeat: the deadline, and the client's own failures.
    pub(in crate::upstream) fn name(&self) -> Option<RetryOn> {
        match (self.error.kind(), self.error.why()) {
            (ErrorKind::UpstreamFailure | ErrorKind::UpstreamTimeout, "connect") => Some(RetryOn::Connect),
            (ErrorKind::UpstreamFailure, _) => Some(RetryOn::Reset),
            (ErrorKind::UpstreamTimeout, _) => Some(RetryOn::Timeout),
            _ => None,
        }
    }

    /// Whether it speaks against the service: also a deadline that passed while it was waited for.
    pub(in crate::upstream) fn counts(&self) -> bool {
        self.name().is_some() || self.error.kind() == ErrorKind::DeadlineExceeded
    }
}

impl Upstream {
    /// Sends a request to an endpoint and gives the answer as soon as its head is there.
    ///
    /// A pooled connection that the service closes in the moment we use it is no failure of the service: the request
    /// goes out once more on a fresh one, if nothing of an answer came and the request may be repeated
    /// (RFC 9112 section 9.3.1).
    pub(in crate::upstream) async fn attempt(
        &self,
        endpoint: &Endpoint,
        (core, repeatable): (CoreId, bool),
        (request, upload): (&Request, &mut Upload),
        (now, deadline): (Instant, Deadline),
        attempts: &mut Attempts,
    ) -> Result<Response, Failed> {
        attempts.endpoint = Some(endpoint.address());
        attempts.count += 1;
        let mut tally = Tally::begin(&self.metrics, core);
        let pooled = endpoint.pools.take(core, now);
        let reused = pooled.is_some();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.connect(endpoint, deadline, &mut tally).await?,
        };
        attempts.endpoint = Some(connection.peer());
        let outcome = self.round_trip(endpoint, core, connection, (request, upload), deadline, now).await;
        tally.ended(&outcome);
        match outcome {
            Ok(response) => Ok(response),
            Err(failure) if reused && failure.nothing_came && may_repeat(&failure, repeatable, upload) => {
                upload.rewind();
                attempts.count += 1;
                drop(tally);
                let mut tally = Tally::begin(&self.metrics, core);
                let connection = self.connect(endpoint, deadline, &mut tally).await?;
                attempts.endpoint = Some(connection.peer());
                let sent = (request, upload);
                let again = self.round_trip(endpoint, core, connection, sent, deadline, clock::now()).await;
                tally.ended(&again);
                again.map_err(Failed::from)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn round_trip(
        &self,
        endpoint: &Endpoint,
        core: CoreId,
        connection: Box<Connection>,
        (request, upload): (&Request, &mut Upload),
        deadline: Deadline,
        now: Instant,
    ) -> Result<Response, Failure> {
        let waits = Waits {
            deadline: deadline.at,
            response: deadline.lifted.unwrap_or(self.settings.timeouts.response),
            idle: self.settings.timeouts.idle,
            started: now,
        };
        round_trip(connection, request, upload, waits, &endpoint.pools, core).await
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        deadline: Deadline,
        tally: &mut Tally<'_>,
    ) -> Result<Box<Connection>, Failed> {
        let end = deadline.at.min(clock::now() + self.settings.timeouts.connect);
        let outcome = time::timeout_at(end, address::open(endpoint.address())).await;
        endpoint.connected(matches!(outcome, Ok(Ok(_))), clock::now());
        let error = match outcome {
            Ok(Ok(stream)) => {
                let expires = endpoint.lifetime().map(|lifetime| clock::now() + lifetime);
                return Ok(Box::new(Connection::new(stream, endpoint.address(), expires)));
            }
            Ok(Err(error)) => Error::new(ErrorKind::UpstreamFailure).reason("connect").source(error),
            Err(_) if end == deadline.at => Error::new(ErrorKind::DeadlineExceeded).reason("connect"),
            Err(_) => Error::new(ErrorKind::UpstreamTimeout).reason("connect"),
        };
        // A service that has moved is found at once.
        self.look_up_again();
        tally.failed(&error);
        Err(Failed { error, unseen: true })
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed { unseen: failure.nothing_sent, error: failure.error }
    }
}

/// Whether acting on a request twice is the same as once (RFC 9110 section 9.2.2).
pub(in crate::upstream) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

/// Whether nothing of the request can have been acted on, or acting on it twice does no harm, and its body is still
/// there.
fn may_repeat(failure: &Failure, repeatable: bool, upload: &Upload) -> bool {
    (failure.nothing_sent || repeatable) && upload.can_rewind()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Body;

    #[test]
    fn what_was_sent_is_repeated_only_if_that_is_the_same_as_once() {
        let upload = Upload::new(Body::Empty);
        let repeats = |method: &Method, nothing_sent| {
            let error = ErrorKind::UpstreamFailure.into();
            may_repeat(&Failure { error, nothing_came: true, nothing_sent }, is_idempotent(method), &upload)
        };
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            assert!(repeats(&method, true) && repeats(&method, false), "{method}");
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"PURGE").unwrap()] {
            assert!(repeats(&method, true), "{method}: the service has seen nothing of it");
            assert!(!repeats(&method, false), "{method}");
        }
    }
}
