//! Attempts until one succeeds, the call's bounds are reached, or nothing more may be tried.

use std::time::Duration;

use http::StatusCode;

use crate::config::RetryOn;
use crate::exchange::{CallPhase, Cause, Failure, HeaderId, Party, Request, Response};
use crate::runtime::{clock, random, time};
use crate::upstream::transport::upload::Upload;

use super::attempt::Outcome;
use super::context::Call;

/// What an error is called in `retry_on`; none where a repeat cannot help: the caller's time, the client's own
/// failures, and those of the gateway.
pub(super) fn retry_on(failure: Failure) -> Option<RetryOn> {
    match (failure.party, failure.phase, failure.cause) {
        (Party::Client | Party::Gateway, ..) | (_, _, Cause::Deadline) => None,
        // The head has gone to the client.
        (_, CallPhase::Body, _) => None,
        (Party::Service, CallPhase::Connect, _) => Some(RetryOn::Connect),
        (Party::Service, _, Cause::Timeout) => Some(RetryOn::Timeout),
        (Party::Service, ..) => Some(RetryOn::Reset),
    }
}

impl Call<'_> {
    pub(super) async fn with_retries(&self, request: &mut Request, upload: &mut Upload) -> Outcome {
        let upstream = self.upstream;
        let mut number = 1;
        loop {
            let outcome = self.attempt_or_hedge(request, upload).await;
            let Some(pause) = self.pause(&outcome, number, upload) else { return outcome };
            // What a service says of the next attempt may be beyond all time.
            let late = clock::now().checked_add(pause).is_none_or(|at| at >= self.deadline.at);
            if number >= upstream.settings.written.retry.attempts || late || !upstream.budget.take() {
                return outcome;
            }
            drop(outcome);
            if !pause.is_zero() {
                time::sleep(pause).await;
            }
            upload.rewind();
            number += 1;
        }
    }

    /// How long to wait before the next attempt; none where there is to be none.
    fn pause(&self, outcome: &Outcome, number: u32, upload: &Upload) -> Option<Duration> {
        let retry = &self.upstream.settings.written.retry;
        let (name, never_sent, asked) = match outcome {
            Ok(answered) => {
                let response = &answered.response;
                if !response.status.is_server_error() || answered.client_stalled {
                    return None;
                }
                (RetryOn::Status(response.status.as_u16()), false, retry_after(response))
            }
            Err(attempted) => {
                let failure = attempted.error.failure()?;
                (retry_on(failure)?, failure.never_sent(), None)
            }
        };
        if !retry.on.contains(&name) || !(self.repeatable || never_sent) || !upload.can_rewind() {
            return None;
        }
        let (least, most) = retry.backoff;
        let spread = least.saturating_mul(1 << number.min(16)).min(most).max(least);
        let wait = least + spread.saturating_sub(least).mul_f64(random::f64());
        Some(asked.map_or(wait, |asked| asked.max(wait)))
    }
}

/// What a response says of the next attempt, in seconds (RFC 9110 section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let value = response.headers.get_id(HeaderId::RetryAfter)?;
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}
