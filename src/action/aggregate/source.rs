//! One source of an aggregate: its request, its call, and what counts as an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Version};
use serde::de::IgnoredAny;

use crate::exchange::target::PathRules;
use crate::exchange::{Body, Error, ErrorKind, Exchange, HeaderId, Headers, Name, Request, Target};
use crate::expression::Template;
use crate::upstream::{Attempts, Deadline, Upstream};

use super::super::forward;

/// One source.
pub struct Source {
    /// The name of its member in the answer.
    pub name: Name,
    /// The upstream's number in the snapshot.
    pub number: u32,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The path, and a query if it has one.
    pub path: Template,
    /// How long this source may take in all, inside the exchange's deadline.
    pub timeout: Option<Duration>,
    /// The largest body in bytes.
    pub max_body: u64,
}

/// How a source failed: the word that the client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Timeout,
    Refused,
    Reset,
    Status,
    InvalidJson,
    TooLarge,
}

impl Fault {
    pub(super) fn word(self) -> &'static str {
        match self {
            Fault::Timeout => "timeout",
            Fault::Refused => "refused",
            Fault::Reset => "reset",
            Fault::Status => "status",
            Fault::InvalidJson => "invalid_json",
            Fault::TooLarge => "too_large",
        }
    }
}

/// A failed source.
pub(super) struct Failed {
    fault: Fault,
    why: String,
}

impl Failed {
    /// The error of an aggregate that this source has failed. The client learns the source's name and the kind of
    /// fault, never an address.
    pub(super) fn into_error(self, source: &Source) -> Error {
        let kind = match self.fault {
            Fault::Timeout => ErrorKind::UpstreamTimeout,
            _ => ErrorKind::UpstreamFailure,
        };
        Error::new(kind)
            .reason("source")
            .detail(format!("{}: {}", source.name, self.fault.word()))
            .source(format!("source {}: {}", source.name, self.why))
    }
}

impl Source {
    /// The request to the service.
    ///
    /// # Errors
    /// A part of the path is not there or cannot stand in a path.
    pub(super) fn request(&self, exchange: &Exchange) -> Result<Request, Error> {
        let unusable = |why: &dyn std::fmt::Display| {
            Error::new(ErrorKind::MalformedRequest)
                .reason("source")
                .source(format!("source {}: {why}", self.name))
        };
        let settings = self.upstream.settings();
        let path = self.path.render(exchange).map_err(|error| unusable(&error))?;
        let text = if settings.base_path.is_empty() {
            path.to_string()
        } else {
            format!("{}{path}", settings.base_path)
        };
        let target = Target::from_rewritten(&text, PathRules::default()).map_err(|error| unusable(&error))?;
        let mut headers = Headers::with_capacity(16, 512);
        headers.push_id(HeaderId::Host, settings.authority.as_bytes());
        headers.push_id(HeaderId::Accept, b"application/json");
        forward::speak(exchange, &mut headers);
        Ok(Request { method: Method::GET, target, version: Version::HTTP_11, headers, body: Body::Empty })
    }

    /// Calls the service and reads its whole answer: JSON, or nothing, which is `null`.
    pub(super) async fn call(
        &self,
        core: crate::exchange::CoreId,
        request: Request,
        deadline: Instant,
        attempts: &mut Attempts,
    ) -> Result<Bytes, Failed> {
        let end = self.timeout.map_or(deadline, |timeout| deadline.min(Instant::now() + timeout));
        let read = async {
            let answer = self
                .upstream
                .call(core, request, Deadline { at: end, lifted: None }, attempts)
                .await
                .map_err(failed)?;
            let status = answer.status;
            if !status.is_success() {
                return Err(Failed { fault: Fault::Status, why: format!("answered {}", status.as_u16()) });
            }
            let encoded = answer.headers.get("content-encoding").is_some_and(|coding| coding != b"identity");
            let body = answer.body.collect(self.max_body).await.map_err(failed)?;
            if body.is_empty() {
                return Ok(Bytes::from_static(b"null"));
            }
            if encoded {
                return Err(Failed {
                    fault: Fault::InvalidJson,
                    why: "an encoded body that was not asked for".into(),
                });
            }
            match check(&body) {
                Ok(()) => Ok(body),
                Err(why) => Err(Failed { fault: Fault::InvalidJson, why }),
            }
        };
        match tokio::time::timeout_at(end.into(), read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failed { fault: Fault::Timeout, why: "not complete in time".into() }),
        }
    }
}

/// Whether the bytes are exactly one JSON value (RFC 8259). They are carried over as they are, so nothing is built.
fn check(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| error.to_string())
}

fn failed(error: Error) -> Failed {
    let fault = match (error.kind(), error.why()) {
        (ErrorKind::UpstreamTimeout | ErrorKind::DeadlineExceeded, _) => Fault::Timeout,
        (ErrorKind::BodyTooLarge, _) => Fault::TooLarge,
        (_, "connect") => Fault::Refused,
        _ => Fault::Reset,
    };
    Failed { fault, why: error.to_string() }
}
