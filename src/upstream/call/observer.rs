//! Counts attempts by how they end.

use http::StatusCode;

use crate::exchange::{CoreId, Error, ErrorKind, Response};
use crate::telemetry::metrics::{Outcome, UpstreamMetrics};

use crate::upstream::transport::http1::Failure;

/// One attempt. It is counted when this is dropped; as cancelled, unless it has come to something before.
pub(in crate::upstream) struct Tally<'a> {
    metrics: &'a UpstreamMetrics,
    core: CoreId,
    outcome: Outcome,
}

impl<'a> Tally<'a> {
    pub(in crate::upstream) fn begin(metrics: &'a UpstreamMetrics, core: CoreId) -> Tally<'a> {
        Tally { metrics, core, outcome: Outcome::Cancelled }
    }

    /// The head of an answer has come.
    fn answered(&mut self, status: StatusCode) {
        self.outcome = if status.is_server_error() { Outcome::ServerError } else { Outcome::Answered };
    }

    /// A request was sent; this came of it.
    pub(in crate::upstream) fn ended(&mut self, outcome: &Result<Response, Failure>) {
        match outcome {
            Ok(answer) => self.answered(answer.status),
            Err(failure) => self.failed(&failure.error),
        }
    }

    /// The attempt has failed. A fault of the client's own body is no fault of the service.
    pub(in crate::upstream) fn failed(&mut self, error: &Error) {
        self.outcome = match error.kind() {
            ErrorKind::UpstreamFailure | ErrorKind::UpstreamTimeout if error.why() == "connect" => {
                Outcome::ConnectFailed
            }
            ErrorKind::UpstreamTimeout | ErrorKind::DeadlineExceeded => Outcome::TimedOut,
            ErrorKind::UpstreamFailure => Outcome::Broken,
            _ => Outcome::Cancelled,
        };
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.metrics.attempted(self.core, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn every_attempt_is_counted_once_by_its_end() {
        let all = Metrics::new(1);
        let metrics = all.upstream("users");
        let ended = |end: &dyn Fn(&mut Tally<'_>)| end(&mut Tally::begin(&metrics, CoreId(0)));
        ended(&|tally| tally.answered(StatusCode::NOT_FOUND));
        ended(&|tally| tally.answered(StatusCode::BAD_GATEWAY));
        ended(&|tally| tally.failed(&Error::new(ErrorKind::UpstreamTimeout).reason("connect")));
        ended(&|tally| tally.failed(&Error::new(ErrorKind::DeadlineExceeded).reason("response")));
        ended(&|tally| tally.failed(&Error::new(ErrorKind::UpstreamFailure).reason("reset")));
        ended(&|tally| tally.failed(&ErrorKind::RequestTimeout.into()));
        ended(&|_| {});
        let page = all.render();
        for (outcome, count) in [
            ("answered", 1),
            ("server_error", 1),
            ("connect_failed", 1),
            ("timed_out", 1),
            ("broken", 1),
            ("cancelled", 2),
        ] {
            let line = format!(
                "portcullis_upstream_attempts_total{{upstream=\"users\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(page.contains(&line), "{line} in {page}");
        }
    }
}
