//! A second attempt in parallel to a slow first one, at another endpoint that is well.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::config::RetryOn;
use crate::exchange::{Body, Cause, Party, Request};
use crate::runtime::{clock, time};
use crate::upstream::transport::upload::Upload;

use super::attempt::Outcome;
use super::budget::Budget;
use super::context::Call;

impl Call<'_> {
    /// One attempt, with a second one where the first is slow and hedging is wanted. A probe is not hedged: one
    /// response is to say whether the service is back.
    pub(super) async fn attempt_or_hedge(&self, request: &mut Request, upload: &mut Upload) -> Outcome {
        let (now, core) = (clock::now(), self.caller.core);
        let Some(at) = self.seen.pick(&self.tried.borrow(), self.key, core, now) else {
            return Err(Call::no_endpoint());
        };
        self.tried.borrow_mut().push(at);
        let hedge = self.upstream.hedge.as_ref().filter(|_| {
            self.tried.borrow().len() == 1
                && self.repeatable
                && !self.is_probe
                && upload.is_empty()
                && self.seen.endpoints.len() > 1
        });
        let Some((learned, budget)) = hedge else {
            return self.attempt(at, (request, upload)).await;
        };
        let outcome = match learned.delay(now) {
            Some(delay) => {
                budget.request(core);
                self.hedges.set(true);
                let outcome = Box::pin(self.hedged(at, request, (delay, budget.as_ref()))).await;
                self.hedges.set(false);
                outcome
            }
            None => self.attempt(at, (request, upload)).await,
        };
        if outcome.is_ok() {
            learned.observe(core, clock::since(now), clock::now());
        }
        outcome
    }

    /// The attempt at `at`, and a second one at another endpoint if the first has no head in `delay`.
    async fn hedged(&self, at: usize, request: &Request, (delay, budget): (Duration, &Budget)) -> Outcome {
        let mut copies = [copy(request), copy(request)];
        let [first_request, second_request] = &mut copies;
        let mut uploads = [Upload::new(Body::Empty), Upload::new(Body::Empty)];
        let [first_upload, second_upload] = &mut uploads;
        let outcome = {
            let sent = (first_request, first_upload);
            let mut first = pin!(self.attempt(at, sent));
            match time::timeout(delay, first.as_mut()).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    // Only one that is well: what is known to fail is no help for what is merely slow.
                    let other =
                        self.seen.pick_well(&self.tried.borrow(), self.key, self.caller.core, clock::now());
                    match other.filter(|_| budget.take()) {
                        Some(other) => {
                            self.tried.borrow_mut().push(other);
                            let sent = (second_request, second_upload);
                            let second = self.attempt(other, sent);
                            self.race(first, pin!(second)).await
                        }
                        None => first.await,
                    }
                }
            }
        };
        if let Ok(answered) = &outcome {
            self.attempts.at(answered.peer);
        }
        outcome
    }

    /// The first outcome that wins. Where none does, the later one, but a response rather than an error. The other
    /// attempt is cancelled when this returns.
    async fn race<F: Future<Output = Outcome>, S: Future<Output = Outcome>>(
        &self,
        mut first: Pin<&mut F>,
        mut second: Pin<&mut S>,
    ) -> Outcome {
        let (mut first_over, mut second_over) = (false, false);
        let mut lost: Option<Outcome> = None;
        poll_fn(|cx| {
            loop {
                let outcome = if !first_over && let Poll::Ready(outcome) = first.as_mut().poll(cx) {
                    first_over = true;
                    outcome
                } else if !second_over && let Poll::Ready(outcome) = second.as_mut().poll(cx) {
                    second_over = true;
                    outcome
                } else {
                    return Poll::Pending;
                };
                match lost.take() {
                    _ if self.wins(&outcome) => return Poll::Ready(outcome),
                    Some(earlier) if outcome.is_err() && earlier.is_ok() => return Poll::Ready(earlier),
                    Some(_) => return Poll::Ready(outcome),
                    None => lost = Some(outcome),
                }
            }
        })
        .await
    }

    /// Whether an outcome decides while the other attempt is under way: a response that neither says that the service
    /// failed nor would be tried again, or the end of the caller's own time.
    fn wins(&self, outcome: &Outcome) -> bool {
        match outcome {
            Ok(answered) => {
                let status = answered.response.status;
                let retried = RetryOn::Status(status.as_u16());
                !status.is_server_error() && !self.upstream.settings.written.retry.on.contains(&retried)
            }
            Err(attempted) => attempted
                .error
                .failure()
                .is_some_and(|failure| failure.party == Party::Client || failure.cause == Cause::Deadline),
        }
    }
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
