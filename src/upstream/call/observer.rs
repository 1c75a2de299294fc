//! What is learned from an attempt: counted in the metrics, and passed on to the circuit breaker, outlier detection,
//! liveness and the adaptive limit.
//!
//! A response without a body to come is judged by its head. Any other is judged at its end, or once its body has flowed
//! for a second: a service that sends heads and then hangs is not well. A stream of events may never end and is judged
//! by its head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exchange::{Body, CallPhase, Cause, CoreId, Failure, Party, Response};
use crate::telemetry::metrics::Outcome as Counted;
use crate::upstream::Upstream;
use crate::upstream::endpoints::endpoint::Active;
use crate::upstream::endpoints::{Endpoint, set::Listed};
use crate::upstream::limits::breaker::Pass;
use crate::upstream::transport;

use super::context::Call;
use super::verdict::{Verdict, fails_endpoint, of_failure, of_status};

/// How long a body must have flowed for its response to be good.
const FLOWS: Duration = Duration::from_secs(1);

/// A response whose head is there, and what the head says.
pub(super) struct Answered {
    pub(super) response: Response,
    /// The endpoint that gave it.
    pub(super) peer: SocketAddr,
    /// Whether the service answered while the client kept it waiting: what it says of itself counts for nothing.
    pub(super) client_stalled: bool,
    pub(super) verdict: Verdict,
    /// The call's count at its endpoint.
    pub(super) active: Option<Active>,
    /// Where its end decides.
    pub(super) deferred: Option<Deferred>,
}

/// What is needed to judge a response by its end.
pub(super) struct Deferred {
    endpoint: Arc<Endpoint>,
    began: Instant,
    head: Instant,
    whole: bool,
}

/// Watches one attempt up to its head. Dropped without an end, the attempt was cancelled.
pub(super) struct Observer<'c> {
    upstream: &'c Upstream,
    listed: &'c Listed,
    endpoint: &'c Arc<Endpoint>,
    active: Option<Active>,
    core: CoreId,
    whole: bool,
    /// How the attempt is counted; none where its end decides.
    counted: Option<Counted>,
}

impl<'c> Observer<'c> {
    pub(super) fn new(
        call: &'c Call<'_>,
        endpoint: &'c Arc<Endpoint>,
        active: Option<Active>,
    ) -> Observer<'c> {
        Observer {
            upstream: call.upstream,
            listed: &call.seen,
            endpoint,
            active,
            core: call.caller.core,
            whole: call.deadline.whole,
            counted: Some(Counted::Cancelled),
        }
    }

    /// The head of a response has come.
    pub(super) fn answered(
        mut self,
        answered: transport::Exchanged,
        began: Instant,
        now: Instant,
    ) -> Answered {
        let transport::Exchanged { response, uploaded, client_stalled } = answered;
        let peer = self.endpoint.address();
        // How long a client takes to send its request is not the service's time.
        let took = now.saturating_duration_since(uploaded.unwrap_or(began));
        self.endpoint.liveness.answered(took, now);
        let active =
            self.active.take().filter(|_| holds_on(&response) || matches!(response.body, Body::Tunnel(_)));
        if client_stalled {
            if !fails_endpoint(response.status) {
                self.counted = Some(Counted::Answered);
            }
            let verdict = Verdict::Nothing;
            return Answered { response, peer, client_stalled, verdict, active, deferred: None };
        }
        let verdict = of_status(response.status);
        self.upstream.gate.observe(took, verdict.is_bad(), now);
        let failed = fails_endpoint(response.status);
        let deferred = (!failed && holds_on(&response)).then(|| Deferred {
            endpoint: Arc::clone(self.endpoint),
            began,
            head: now,
            whole: self.whole,
        });
        self.counted = match (&deferred, failed) {
            (Some(_), _) => None,
            (None, true) => Some(Counted::ServerError),
            (None, false) => Some(Counted::Answered),
        };
        if deferred.is_none() {
            self.upstream.attempted(self.listed, self.endpoint, failed, now);
        }
        Answered { response, peer, client_stalled, verdict, active, deferred }
    }

    /// The attempt has failed.
    pub(super) fn failed(mut self, failure: Failure, began: Instant, now: Instant) -> Verdict {
        let response = self.upstream.settings.timeouts.response;
        let verdict = of_failure(failure, || self.endpoint.liveness.accuses((began, began), response, now));
        self.counted = Some(counted(failure));
        if verdict.is_bad() {
            self.upstream.attempted(self.listed, self.endpoint, true, now);
            self.upstream.gate.observe(now.saturating_duration_since(began), true, now);
        }
        verdict
    }
}

impl Drop for Observer<'_> {
    fn drop(&mut self) {
        if let Some(counted) = self.counted {
            self.upstream.metrics.attempted(self.core, counted);
        }
    }
}

/// Watches the body of a response that is judged by its end. Dropped before that, its client has left: that is a success
/// if the body had begun to come, and says nothing otherwise; a probe gives its place back.
pub(super) struct BodyObserver {
    upstream: Arc<Upstream>,
    core: CoreId,
    deferred: Deferred,
    /// Until the response is judged.
    pass: Option<Pass>,
    /// When a piece came last.
    last: Instant,
    counted: Counted,
}

impl BodyObserver {
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        core: CoreId,
        deferred: Deferred,
        pass: Pass,
    ) -> BodyObserver {
        BodyObserver {
            upstream: Arc::clone(upstream),
            core,
            last: deferred.head,
            deferred,
            pass: Some(pass),
            counted: Counted::Answered,
        }
    }

    /// A piece of the body has come.
    pub(super) fn moved(&mut self, now: Instant) {
        self.last = now;
        if self.pass.is_some() && now.saturating_duration_since(self.deferred.head) >= FLOWS {
            self.good(now);
        }
    }

    /// The body has ended as it should.
    pub(super) fn ended(&mut self, now: Instant) {
        if self.deferred.whole {
            let took = now.saturating_duration_since(self.deferred.began);
            self.deferred.endpoint.liveness.answered(took, now);
        }
        self.good(now);
    }

    fn good(&mut self, now: Instant) {
        if let Some(pass) = self.pass.take() {
            self.upstream.record(pass, self.core, Verdict::Good, now);
            self.upstream.attempted(&self.upstream.set.seen(self.core), &self.deferred.endpoint, false, now);
        }
    }

    /// The body broke off. One that was judged good already counts as one more call that failed.
    pub(super) fn failed(&mut self, failure: Failure, now: Instant) {
        self.counted = counted(failure);
        let Deferred { endpoint, began, .. } = &self.deferred;
        let response = self.upstream.settings.timeouts.response;
        let verdict = of_failure(failure, || endpoint.liveness.accuses((*began, self.last), response, now));
        let pass = self.pass.take();
        if let Verdict::Bad(reason) = verdict {
            self.upstream.attempted(&self.upstream.set.seen(self.core), endpoint, true, now);
            self.upstream.gate.observe(now.saturating_duration_since(*began), true, now);
            match pass {
                Some(pass) => self.upstream.record(pass, self.core, verdict, now),
                None => self.upstream.record_late(self.core, reason, now),
            }
        }
    }
}

impl Drop for BodyObserver {
    fn drop(&mut self) {
        let is_probe = self.pass.as_ref().is_none_or(Pass::is_probe);
        if !is_probe && self.last > self.deferred.head {
            self.good(self.last);
        }
        self.upstream.metrics.attempted(self.core, self.counted);
    }
}

/// Whether a response keeps its permit and is judged by its end: one whose body is still to come, and is no stream of
/// events, which may go on for ever.
pub(super) fn holds_on(response: &Response) -> bool {
    matches!(response.body, Body::Stream(_)) && !response.is_events()
}

/// How a failed attempt is counted.
fn counted(failure: Failure) -> Counted {
    match (failure.party, failure.phase, failure.cause) {
        (Party::Client | Party::Gateway, ..) => Counted::Cancelled,
        (_, CallPhase::Connect, _) => Counted::ConnectFailed,
        (_, _, Cause::Timeout | Cause::Deadline) => Counted::TimedOut,
        _ => Counted::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_attempt_is_counted_by_its_party_phase_and_cause() {
        let count = |party, phase, cause| counted(Failure::new(party, phase, cause));
        assert_eq!(count(Party::Service, CallPhase::Connect, Cause::Timeout), Counted::ConnectFailed);
        assert_eq!(count(Party::Service, CallPhase::Head, Cause::Deadline), Counted::TimedOut);
        assert_eq!(count(Party::Service, CallPhase::Body, Cause::Incomplete), Counted::Broken);
        assert_eq!(count(Party::Client, CallPhase::Send, Cause::Stalled), Counted::Cancelled);
        assert_eq!(count(Party::Gateway, CallPhase::Connect, Cause::Exhausted), Counted::Cancelled);
    }
}
