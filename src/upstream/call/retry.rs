//! Attempts until one succeeds, the call's bounds are reached, or nothing more may be tried.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::config::RetryOn;
use crate::exchange::syntax::digits;
use crate::exchange::{CallPhase, Cause, Failure, HeaderId, Party, Request, Response, http_date};
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

/// What a response says of the next attempt (RFC 9110 section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    delay(response.headers.get_id(HeaderId::RetryAfter)?, clock::wall())
}

/// A delay as seconds, or as a date that is compared with `now`. A number beyond all bounds is a very long time.
fn delay(value: &[u8], now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = digits(value) {
        return Some(Duration::from_secs(seconds));
    }
    // A date that has passed asks for nothing.
    http_date(value)?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_number_of_any_length_or_a_date() {
        let noon = http_date(b"Sun, 06 Nov 1994 12:00:00 GMT").unwrap();
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 12:00:07 GMT", Some(7)),
            ("Sunday, 06-Nov-94 12:01:00 GMT", Some(60)),
            ("Sun, 06 Nov 1994 11:00:00 GMT", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(delay(value.as_bytes(), noon), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
