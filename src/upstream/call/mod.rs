//! The call: a place, the breaker, attempts within a budget, and what all of it says of the service.

mod attempt;
pub mod budget;
mod guards;
pub mod hedge;
mod observer;
pub mod rules;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::config::RetryOn;
use crate::exchange::{Body, CoreId, Error, ErrorKind, HeaderId, Request, Response};
use crate::runtime::{clock, random, time};

use crate::upstream::endpoints::set::{Listed, Seen, Tried};
use crate::upstream::endpoints::{Active, Endpoint};
use crate::upstream::limits::breaker::Admission;
use crate::upstream::limits::concurrency::Taken;
use crate::upstream::transport::upload::Upload;
use crate::upstream::{Attempts, Caller, Deadline, Upstream};
use attempt::{Failed, is_idempotent};
use guards::{Held, goes_on, hold};

/// One call on its way.
struct Way<'a> {
    caller: Caller<'a>,
    seen: Seen<'a>,
    tried: Tried,
    key: Option<u64>,
    /// Whether doing it twice is the same as doing it once.
    repeatable: bool,
    deadline: Deadline,
    /// When the attempt at hand began: read once, for the clock is not free.
    now: Instant,
}

type Outcome = Result<(Response, Option<Active>), Failed>;

impl Upstream {
    /// Sends a request and gives the answer as soon as its head is there.
    ///
    /// # Errors
    /// `breaker_open`, `overloaded`, `no_endpoint`, `upstream_failure`, `upstream_timeout`, `deadline_exceeded`, or what
    /// the client's body failed with.
    pub async fn call(
        &self,
        caller: Caller<'_>,
        mut request: Request,
        deadline: Deadline,
        attempts: &mut Attempts,
    ) -> Result<Response, Error> {
        let started = clock::now();
        let pass = match self.breaker.admit(caller.core, started) {
            Admission::Pass(pass) => pass,
            Admission::Open { retry_after } => return Err(refused(retry_after)),
        };
        let (place, waited) = match self.gate.try_take() {
            Some(taken) => (Ok(taken), None),
            None => {
                let permit = self.gate.enter(deadline.at).await.map_err(|_| kept_out(deadline))?;
                (Err(permit), Some(clock::now()))
            }
        };
        self.budget.request(caller.core);
        let mut seen = self.set.seen(caller.core);
        let mut waited = waited;
        if seen.endpoints.is_empty() {
            // Boxed: seldom, and every call would carry its size.
            seen = Box::pin(self.first_answer(caller.core, deadline, waited.unwrap_or(started))).await;
            waited = Some(clock::now());
        }
        let mut upload = Upload::new(std::mem::take(&mut request.body));
        let way = Way {
            caller,
            seen,
            tried: Tried::new(),
            key: self.rules.key(caller.ground),
            repeatable: is_idempotent(&request.method) || self.rules.admits(caller.ground),
            deadline,
            now: waited.unwrap_or(started),
        };
        let outcome = self.attempts(way, &mut request, &mut upload, attempts).await;
        let now = clock::now();
        attempts.time = now.saturating_duration_since(started);
        let failed = match &outcome {
            Ok((answer, _)) => Some(matches!(answer.status.as_u16(), 502..=504)),
            Err(failed) => failed.counts().then_some(true),
        };
        if let Some(failed) = failed {
            self.breaker.record(pass, caller.core, now, failed);
            self.gate.observe(attempts.time, failed, now);
        }
        match outcome {
            Ok((answer, active)) if goes_on(&answer) => {
                let permit = place.map_or_else(|permit| permit, Taken::keep);
                Ok(hold(answer, Held(permit, active)))
            }
            Ok((answer, _)) => Ok(answer),
            Err(failed) => Err(failed.error),
        }
    }

    /// The endpoints of a set that has none yet: waits for the first answer of its sources, as long as for a
    /// connection. A set that is known to be empty is looked up again early.
    async fn first_answer(&self, core: CoreId, deadline: Deadline, now: Instant) -> Seen<'_> {
        let end = deadline.at.min(now + self.settings.timeouts.connect);
        self.set.known(end).await;
        let seen = self.set.seen(core);
        if seen.endpoints.is_empty() {
            self.look_up_again();
        }
        seen
    }

    async fn attempts(
        &self,
        mut way: Way<'_>,
        request: &mut Request,
        upload: &mut Upload,
        attempts: &mut Attempts,
    ) -> Outcome {
        let retry = &self.settings.written.retry;
        let mut number = 1;
        loop {
            let outcome = self.one(&mut way, request, upload, attempts).await;
            let Some(pause) = self.pause(&way, &outcome, number, upload) else { return outcome };
            // What a service says of the next attempt may be beyond all time.
            let late = clock::now().checked_add(pause).is_none_or(|at| at >= way.deadline.at);
            if number >= retry.attempts || late || !self.budget.take() {
                return outcome;
            }
            drop(outcome);
            if !pause.is_zero() {
                time::sleep(pause).await;
            }
            upload.rewind();
            way.now = clock::now();
            number += 1;
        }
    }

    /// How long to wait before the next attempt; none where there is to be none.
    fn pause(&self, way: &Way<'_>, outcome: &Outcome, number: u32, upload: &Upload) -> Option<Duration> {
        let retry = &self.settings.written.retry;
        let (name, unseen, told) = match outcome {
            Ok((answer, _)) => {
                let status = answer.status;
                if !status.is_server_error() {
                    return None;
                }
                (RetryOn::Status(status.as_u16()), false, retry_after(answer))
            }
            Err(failed) => (failed.name()?, failed.unseen, None),
        };
        if !retry.on.contains(&name) || !(way.repeatable || unseen) || !upload.can_rewind() {
            return None;
        }
        if name == RetryOn::Connect && way.seen.has_others(&way.tried) {
            return Some(Duration::ZERO);
        }
        let (least, most) = retry.backoff;
        let spread = least.saturating_mul(1 << number.min(16)).min(most).max(least);
        let wait = least + spread.saturating_sub(least).mul_f64(random::f64());
        Some(told.map_or(wait, |told| told.max(wait)))
    }

    /// One attempt, and beside it a second one where the first is slow and hedging is wanted.
    async fn one(
        &self,
        way: &mut Way<'_>,
        request: &mut Request,
        upload: &mut Upload,
        attempts: &mut Attempts,
    ) -> Outcome {
        let started = way.now;
        let Some(at) = way.seen.pick(&way.tried, way.key, way.caller.core, started) else {
            let error = Error::new(ErrorKind::NoEndpoint).reason("no_endpoint");
            return Err(Failed { error, unseen: true });
        };
        way.tried.push(at);
        let hedge = self.hedge.as_ref().filter(|_| {
            way.tried.len() == 1 && way.repeatable && upload.is_empty() && way.seen.endpoints.len() > 1
        });
        let delay = hedge.and_then(|(hedge, _)| hedge.delay(started));
        let outcome = match (hedge, delay) {
            (Some((_, budget)), Some(delay)) => {
                budget.request(way.caller.core);
                self.hedged(way, at, request, (delay, budget.as_ref()), attempts).await
            }
            _ => {
                let sent = (request, upload);
                self.at(way, (at, way.now), sent, attempts).await
            }
        };
        if let (Some((hedge, _)), Ok(_)) = (hedge, &outcome) {
            hedge.observe(way.caller.core, clock::since(started), clock::now());
        }
        outcome
    }

    /// An attempt at the endpoint with this number.
    async fn at(
        &self,
        way: &Way<'_>,
        (at, now): (usize, Instant),
        (request, upload): (&mut Request, &mut Upload),
        attempts: &mut Attempts,
    ) -> Outcome {
        let endpoint = &way.seen.endpoints[at];
        // With a single endpoint there is nothing to balance: the gate has the same count.
        let active = (way.seen.endpoints.len() > 1).then(|| endpoint.begin());
        self.name(&way.seen, endpoint, request);
        let core = (way.caller.core, way.repeatable);
        let outcome = self.attempt(endpoint, core, (request, upload), (now, way.deadline), attempts).await;
        let failed = match &outcome {
            Ok(answer) => Some(answer.status.is_server_error()),
            Err(failed) => failed.counts().then_some(true),
        };
        if let Some(failed) = failed {
            self.set.attempted(&way.seen, at, failed);
        }
        outcome.map(|answer| (answer, active))
    }

    /// Gives the request the Host of the endpoint, where it is that of the upstream.
    fn name(&self, listed: &Listed, endpoint: &Endpoint, request: &mut Request) {
        if way_is_plain(endpoint, &self.settings.authority) {
            return;
        }
        let ours = request.headers.get_id(HeaderId::Host).is_some_and(|host| {
            host == self.settings.authority.as_bytes()
                || listed.endpoints.iter().any(|one| one.authority().as_bytes() == host)
        });
        if ours {
            request.headers.remove_id(HeaderId::Host);
            request.headers.push_id(HeaderId::Host, endpoint.authority().as_bytes());
        }
    }

    /// The first attempt, and a second one at another endpoint if the first has no head in `delay`. The first head wins,
    /// unless it is one that would be tried again.
    async fn hedged(
        &self,
        way: &mut Way<'_>,
        at: usize,
        request: &Request,
        (delay, budget): (Duration, &budget::Budget),
        attempts: &mut Attempts,
    ) -> Outcome {
        let retry = &self.settings.written.retry;
        let wins = |outcome: &Outcome| match outcome {
            Ok((answer, _)) => !retry.on.contains(&RetryOn::Status(answer.status.as_u16())),
            Err(failed) => failed.name().is_none(),
        };
        let mut copies = [copy(request), copy(request)];
        let [first_request, second_request] = &mut copies;
        let (mut first_upload, mut second_upload) = (Upload::new(Body::Empty), Upload::new(Body::Empty));
        let (mut first_told, mut second_told) = (Attempts::default(), Attempts::default());
        let other =
            way.seen.pick(&way.tried, way.key, way.caller.core, clock::now()).filter(|other| *other != at);
        let outcome = {
            let way = &*way;
            let mut first =
                pin!(self.at(way, (at, way.now), (first_request, &mut first_upload), &mut first_told));
            let early = time::timeout(delay, first.as_mut()).await;
            match (early, other) {
                (Ok(outcome), _) => outcome,
                (Err(_), Some(other)) if budget.take() => {
                    let second = self.at(
                        way,
                        (other, clock::now()),
                        (second_request, &mut second_upload),
                        &mut second_told,
                    );
                    race(first, pin!(second), wins).await
                }
                (Err(_), _) => first.await,
            }
        };
        attempts.count += first_told.count + second_told.count;
        if let Some(other) = other.filter(|_| second_told.count > 0) {
            way.tried.push(other);
        }
        attempts.endpoint = if second_told.count > 0 { second_told.endpoint } else { first_told.endpoint };
        outcome
    }
}

/// The first outcome that wins, or else the later one. The other attempt is cancelled when this returns.
async fn race(
    mut first: std::pin::Pin<&mut impl Future<Output = Outcome>>,
    mut second: std::pin::Pin<&mut impl Future<Output = Outcome>>,
    wins: impl Fn(&Outcome) -> bool,
) -> Outcome {
    let (mut first_over, mut second_over) = (false, false);
    poll_fn(|cx| {
        if !first_over && let Poll::Ready(outcome) = first.as_mut().poll(cx) {
            first_over = true;
            if second_over || wins(&outcome) {
                return Poll::Ready(outcome);
            }
        }
        if !second_over && let Poll::Ready(outcome) = second.as_mut().poll(cx) {
            second_over = true;
            if first_over || wins(&outcome) {
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

fn way_is_plain(endpoint: &Endpoint, authority: &str) -> bool {
    *endpoint.authority() == *authority
}

/// The head again; its body is empty.
fn copy(request: &Request) -> Request {
    Request {
        method: request.method.clone(),
        target: request.target.clone(),
        version: request.version,
        headers: request.headers.clone(),
        body: Body::Empty,
    }
}

/// What an answer says of the next attempt, in seconds (RFC 9110 section 10.2.3).
fn retry_after(answer: &Response) -> Option<Duration> {
    if !matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let value = answer.headers.get_id(HeaderId::RetryAfter)?;
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn refused(retry_after: Duration) -> Error {
    let seconds = retry_after.as_millis().div_ceil(1000).max(1);
    Error::new(ErrorKind::BreakerOpen).reason("breaker").header("retry-after", seconds.to_string())
}

/// The error of a call that got no place: the end of the exchange, if that came first.
fn kept_out(deadline: Deadline) -> Error {
    if clock::now() >= deadline.at {
        return Error::new(ErrorKind::DeadlineExceeded).reason("concurrency");
    }
    Error::new(ErrorKind::Overloaded).reason("concurrency").header("retry-after", "1")
}
