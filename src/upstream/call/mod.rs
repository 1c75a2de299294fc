//! A call: admitted, attempted, tried again within its bounds, and what all of it says about the service.
//!
//! Start with [`Upstream::call`]. Admission asks the circuit breaker and the concurrency limit. `retry.rs` repeats
//! attempts, `hedge.rs` runs a second one for a slow first one, `attempt.rs` makes one, `connect.rs` finds it a
//! connection. `verdict.rs` has the one table of what an ending says about the service, `observer.rs` passes that on.

mod attempt;
pub mod budget;
mod connect;
mod context;
mod guards;
mod hedge;
mod hint;
mod observer;
mod retry;
pub mod rules;
pub mod verdict;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::exchange::{Attempts, Body, CoreId, Error, ErrorKind, Request, Response};
use crate::runtime::clock;
use crate::telemetry::log::Level;
use crate::telemetry::rfc3339;
use crate::upstream::endpoints::Endpoint;
use crate::upstream::endpoints::endpoint::Active;
use crate::upstream::endpoints::set::{Listed, Seen};
use crate::upstream::limits::breaker::{Admission, Change, Pass};
use crate::upstream::limits::concurrency::Admitted;
use crate::upstream::transport::upload::Upload;
use crate::upstream::{Caller, Deadline, Upstream};

use attempt::is_idempotent;
use context::Call;
use guards::{CallGuards, attach};
use observer::{Answered, BodyObserver, holds_on};
use verdict::Verdict;

impl Upstream {
    /// Sends a request and gives the response as soon as its head is there. The body is taken out of the request.
    ///
    /// # Errors
    /// `breaker_open`, `overloaded`, `no_endpoint`, or an error with its [`Failure`](crate::exchange::Failure).
    pub async fn call(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: &mut Request,
        deadline: Deadline,
        attempts: &Attempts,
    ) -> Result<Response, Error> {
        let mut pass = self.pass()?;
        let permit = match self.gate.try_take() {
            Some(taken) => Admitted::Borrowed(taken),
            None => {
                // While it waits it is no probe, and the breaker may open.
                drop(pass);
                let queued = self.gate.enter(deadline.at).await.map_err(|_| queue_error(deadline))?;
                pass = self.pass()?;
                Admitted::Owned(queued)
            }
        };
        let permitted = clock::now();
        attempts.call_begins(permitted);
        self.budget.request(caller.core);
        let mut seen = self.set.seen(caller.core);
        if seen.endpoints.is_empty() {
            // Boxed: seldom, and every call would carry its size.
            seen = Box::pin(self.first_endpoints(caller.core, deadline)).await;
        }
        let mut upload = Upload::new(std::mem::take(&mut request.body));
        let call = Call {
            upstream: self,
            caller,
            seen,
            key: self.rules.key(caller.ground),
            // Nobody knows what a service has made of an offer of another protocol.
            repeatable: !caller.upgrades
                && (is_idempotent(&request.method) || self.rules.admits(caller.ground)),
            is_probe: pass.is_probe(),
            deadline,
            hedges: Cell::new(false),
            tried: RefCell::default(),
            attempts,
        };
        let outcome = call.with_retries(request, &mut upload).await;
        let now = clock::now();
        attempts.call_ends(permitted, now);
        match outcome {
            Ok(answered) => Ok(self.finish(answered, pass, permit, (caller.core, now))),
            Err(attempted) => {
                self.record(pass, caller.core, attempted.verdict, now);
                Err(attempted.error)
            }
        }
    }
}

impl Upstream {
    /// Asks the breaker.
    fn pass(&self) -> Result<Pass, Error> {
        match self.breaker.admit(clock::now()) {
            Admission::Pass(pass) => Ok(pass),
            Admission::Open { retry_after } => Err(refused(retry_after)),
        }
    }

    /// The endpoints of a set that has none yet: waits for the first answer of its sources, as long as for a
    /// connection. A set that is known to be empty is looked up again early.
    async fn first_endpoints(&self, core: CoreId, deadline: Deadline) -> Seen<'_> {
        let end = deadline.at.min(clock::now() + self.settings.timeouts.connect);
        self.set.known(end).await;
        let seen = self.set.seen(core);
        if seen.endpoints.is_empty() {
            self.look_up_again();
        }
        seen
    }

    /// Records what a response says, now or at its end, and lets it hold what it needs until then.
    fn finish(
        self: &Arc<Self>,
        answered: Answered,
        pass: Pass,
        permit: Admitted<'_>,
        (core, now): (CoreId, Instant),
    ) -> Response {
        let Answered { mut response, verdict, active, deferred, .. } = answered;
        if response.status == StatusCode::BAD_REQUEST && self.tls.is_none() {
            hint::look(self, &mut response);
        }
        let observer = match deferred {
            Some(deferred) => Some(BodyObserver::new(self, core, deferred, pass)),
            None => {
                self.record(pass, core, verdict, now);
                if matches!(response.body, Body::Tunnel(_)) {
                    // The permit goes back: a tunnel is no work of its service's that could be waited for.
                    return self.bound(response, active);
                }
                if !holds_on(&response) {
                    return response;
                }
                None
            }
        };
        attach(response, CallGuards(permit.keep(), active), observer)
    }

    /// Gives a tunnel its bounds, and has it count at its endpoint as long as it lasts.
    #[cold]
    #[inline(never)]
    fn bound(&self, mut response: Response, active: Option<Active>) -> Response {
        if let Body::Tunnel(tunnel) = &mut response.body {
            tunnel.idle = self.settings.timeouts.tunnel_idle;
            tunnel.total = self.settings.timeouts.tunnel;
            tunnel.guard = active.map(|active| Box::new(active) as _);
        }
        response
    }

    /// Records what a call says about the service.
    fn record(&self, pass: Pass, core: CoreId, verdict: Verdict, now: Instant) {
        let failed = match verdict {
            Verdict::Good => None,
            Verdict::Bad(reason) => Some(reason),
            // A call that says nothing gives a probe's place back.
            Verdict::Nothing => return,
        };
        if let Some(change) = self.breaker.record(pass, core, now, failed) {
            self.report(&change);
        }
    }

    /// Records a failure that showed only after its call was recorded as good.
    fn record_late(&self, core: CoreId, reason: &'static str, now: Instant) {
        if let Some(change) = self.breaker.late_failure(core, now, reason) {
            self.report(&change);
        }
    }

    /// Notes for outlier detection that an attempt at an endpoint went well or failed.
    fn attempted(&self, listed: &Listed, endpoint: &Endpoint, failed: bool, now: Instant) {
        if self.set.attempted(listed, endpoint, failed, now)
            && let (Some(log), Some(until)) = (self.log.get(), endpoint.ejected_until(now))
        {
            let (name, address, length) = (&self.settings.name, endpoint.address(), until - now);
            log.warn(format_args!("`{name}`: {address} is ejected for {length:.1?}: its calls keep failing"));
        }
    }

    /// Notes that a connection to an endpoint failed: it is avoided for a while, and looked up again by its name.
    #[cold]
    fn unreachable(&self, endpoint: &Endpoint, why: &str, now: Instant) {
        endpoint.reach.failed(now);
        self.look_up_again();
        if let Some(log) = self.log.get() {
            let (name, address) = (&self.settings.name, endpoint.address());
            let key = ("unreachable", name.as_ref());
            let message = format_args!("`{name}`: {address} cannot be reached and is avoided: {why}");
            log.write_seldom(now, Level::Warn, key, message, &[]);
        }
    }

    /// Writes a change of the breaker to the operator's log.
    #[cold]
    fn report(&self, change: &Change) {
        let Some(log) = self.log.get().filter(|_| !self.background.lock().over) else {
            // Another upstream has taken its place: its breaker may stand otherwise.
            return;
        };
        let name = &self.settings.name;
        match change {
            // A failed probe leaves it as it was: open.
            Change::Opened(opening) if opening.probe => {}
            Change::Opened(opening) => {
                let until = rfc3339(clock::wall() + opening.open);
                log.warn(format_args!("breaker of `{name}` opens until {until}: {opening}"));
            }
            Change::Closed => log.info(format_args!("breaker of `{name}` closes: its probes succeeded")),
        }
    }
}

fn refused(retry_after: Duration) -> Error {
    let seconds = retry_after.as_millis().div_ceil(1000).max(1);
    Error::new(ErrorKind::BreakerOpen).reason("breaker").header("retry-after", seconds.to_string())
}

/// The error of a call that got no permit: the end of the caller's time, if that came first.
fn queue_error(deadline: Deadline) -> Error {
    if clock::now() >= deadline.at {
        return Error::new(ErrorKind::DeadlineExceeded).reason("concurrency");
    }
    Error::new(ErrorKind::Overloaded).reason("concurrency").header("retry-after", "1")
}
