//! One attempt: a connection, the request, the head of the response.

use std::time::{Duration, Instant};

use http::Method;

use crate::exchange::{Cause, Error, ErrorKind, Extent, Failure, HeaderId, Party, Request};
use crate::runtime::clock;
use crate::upstream::endpoints::Endpoint;
use crate::upstream::endpoints::endpoint::Active;
use crate::upstream::transport::upload::Upload;
use crate::upstream::transport::{Lease, Waits};

use super::context::Call;
use super::observer::{Answered, Observer};
use super::verdict::Verdict;

/// A reused connection that breaks within this time was closed by the service before the request came.
const STALE: Duration = Duration::from_secs(1);

/// An attempt that failed, and what that says about the service.
pub(super) struct Attempted {
    /// The error of the call, if this is the last attempt.
    pub(super) error: Error,
    pub(super) verdict: Verdict,
}

pub(super) type Outcome = Result<Answered, Attempted>;

impl Call<'_> {
    /// An attempt at the endpoint with this number, or at another one if that cannot be reached.
    ///
    /// A reused connection that the service closes in the moment of its use is no failure of the service: the request
    /// goes out once more on a fresh one, if nothing of a response came and the request may be repeated (RFC 9112
    /// section 9.3.1). So does a request that the service has not begun with (RFC 9113 section 8.7), whatever it is.
    pub(super) async fn attempt(
        &self,
        first: usize,
        (request, upload): (&mut Request, &mut Upload),
    ) -> Outcome {
        let began = clock::now();
        self.attempts.more();
        let (at, lease) = match self.idle(first, began) {
            Some(lease) => (first, lease),
            None => Box::pin(self.connect(first, (false, began))).await?,
        };
        let reused = lease.is_reused();
        let (failure, error, observer) = match self.exchange(at, lease, began, request, upload).await {
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        let refused = is_refused(failure);
        if (refused && upload.can_rewind()) || (reused && self.closed_while_idle(failure, upload)) {
            drop(observer);
            return Box::pin(self.repeat(at, request, upload)).await;
        }
        let now = clock::now();
        let closed_at_once = reused && is_stale(failure) && now.saturating_duration_since(began) < STALE;
        if closed_at_once || refused {
            // The service had closed it before the request came: that is no failure, though nothing may be repeated.
            drop(observer);
            return Err(Attempted { error, verdict: Verdict::Nothing });
        }
        Err(Attempted { error, verdict: observer.failed(failure, began, now) })
    }

    /// A connection to an endpoint that is at rest. Not for an offer of another protocol, which could not be sent again
    /// where that connection has just been closed, and takes its connection out of the pool in any case.
    pub(super) fn idle(&self, at: usize, now: Instant) -> Option<Lease<'_>> {
        if self.caller.upgrades {
            return None;
        }
        self.seen.endpoints[at].transport.idle(self.caller.core, now)
    }

    /// The same attempt once more, on a fresh connection.
    async fn repeat(&self, at: usize, request: &mut Request, upload: &mut Upload) -> Outcome {
        let began = clock::now();
        upload.rewind();
        self.attempts.more();
        let (at, lease) = self.connect(at, (true, began)).await?;
        match self.exchange(at, lease, began, request, upload).await {
            Ok(answered) => Ok(answered),
            Err((failure, error, observer)) => {
                Err(Attempted { error, verdict: observer.failed(failure, began, clock::now()) })
            }
        }
    }

    async fn exchange(
        &self,
        at: usize,
        lease: Lease<'_>,
        began: Instant,
        request: &mut Request,
        upload: &mut Upload,
    ) -> Result<Answered, (Failure, Error, Observer<'_>)> {
        let endpoint = &self.seen.endpoints[at];
        self.attempts.at(lease.peer());
        // With a single endpoint there is nothing to balance, so its calls are not counted.
        let active = (self.seen.endpoints.len() > 1).then(|| Active::begin(endpoint));
        self.set_host(endpoint, request);
        let started = clock::now();
        if let Some(name) = self.caller.deadline_header {
            let left = self.deadline.at.saturating_duration_since(started).as_millis();
            // A name that was judged at load and digits make a line.
            let _ = request.headers.set(name, left.to_string().as_bytes());
        }
        let observer = Observer::new(self, endpoint, active);
        let settings = &self.upstream.settings;
        let waits = Waits {
            deadline: self.deadline.at,
            whole: self.deadline.whole,
            term: self.deadline.term,
            upgrades: self.caller.upgrades,
            response: self.deadline.lifted.unwrap_or(settings.timeouts.response),
            idle: settings.timeouts.idle,
            upload_rate: settings.written.concurrency.upload_rate,
            limits: settings.written.limits,
            started,
        };
        // Two services that are asked at once would both speak.
        let interims = self.caller.interims.filter(|_| !self.hedges.get());
        match lease.exchange(request, upload, waits, interims).await {
            Ok(answered) => Ok(observer.answered(answered, began, clock::now())),
            Err(error) => {
                let unknown = Failure::new(Party::Gateway, crate::exchange::CallPhase::Send, Cause::Protocol);
                Err((error.failure().unwrap_or(unknown), error, observer))
            }
        }
    }

    /// Whether a reused connection broke before anything came, and the request may go out once more.
    fn closed_while_idle(&self, failure: Failure, upload: &Upload) -> bool {
        is_stale(failure) && (failure.never_sent() || self.repeatable) && upload.can_rewind()
    }

    /// Gives the request the Host of the endpoint, where it is that of the upstream.
    fn set_host(&self, endpoint: &Endpoint, request: &mut Request) {
        let own = &self.upstream.settings.authority;
        // The request comes with the upstream's own; only an attempt at another endpoint changes that.
        if self.seen.endpoints.len() == 1 && endpoint.authority() == own {
            return;
        }
        let ours = request.headers.get_id(HeaderId::Host).is_some_and(|host| {
            if host == endpoint.authority().as_bytes() {
                return false;
            }
            host == own.as_bytes() || self.seen.endpoints.iter().any(|one| one.authority().as_bytes() == host)
        });
        if ours {
            request.headers.remove_id(HeaderId::Host);
            request.headers.push_id(HeaderId::Host, endpoint.authority().as_bytes());
        }
    }

    /// The outcome of a call for which there is no endpoint.
    pub(super) fn no_endpoint() -> Attempted {
        let error = Error::new(ErrorKind::NoEndpoint).reason("no_endpoint");
        Attempted { error, verdict: Verdict::Nothing }
    }
}

/// Whether a connection broke before anything of a response came.
fn is_stale(failure: Failure) -> bool {
    failure.party == Party::Service && failure.cause == Cause::Reset && failure.received == Extent::Nothing
}

/// Whether the service has not begun with the request and never will: to send it on another connection repeats nothing.
fn is_refused(failure: Failure) -> bool {
    failure.cause == Cause::Refused && failure.never_sent()
}

/// Whether acting on a request twice is the same as once (RFC 9110 section 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}
