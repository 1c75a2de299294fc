//! The policy `shape`: changes a JSON answer on its way to the client.

use std::sync::Arc;

use http::StatusCode;

use crate::coding::{codings, decoded};
use crate::config::{Field, Kind, Schema};
use crate::exchange::{
    Body, CallPhase, Cause, Error, ErrorKind, Exchange, Failure, HeaderId, Headers, Party, Response,
};
use crate::expression::{Answered, Ground};
use crate::policy::{Build, Env, Phase, Policy, Step};
use crate::runtime::time;
use crate::shaping::read::{Written, schema as shape_schema};
use crate::shaping::{MAX_READ, Shape, mend, weaken};

/// The policy `shape`.
pub const KIND: Kind<Build> = Kind {
    name: "shape",
    summary: "Change a JSON answer: keep, omit and rename members, unwrap or wrap it, or make it anew",
    schema,
    build,
};

fn schema() -> Schema {
    shape_schema()
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let shape = Written::read(field)?.compile(field, env.scope)?;
    Some(Arc::new(ShapeAnswer { shape: Arc::new(shape) }))
}

/// Applies a shape to answers of services. An aggregate applies the shape of its route itself: it adds what no shape may take away.
pub struct ShapeAnswer {
    /// The shape.
    pub shape: Arc<Shape>,
}

impl Policy for ShapeAnswer {
    fn phase(&self) -> Phase {
        Phase::Shape
    }

    fn kind(&self) -> &'static str {
        "shape"
    }

    fn reads_identity(&self) -> bool {
        self.shape.body.as_ref().is_some_and(|body| body.needs_identity())
    }

    /// A part of an answer cannot be shaped, nor can one in a coding that the gate does not know.
    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let headers = &mut exchange.request.headers;
        headers
            .retain(|id, name, _| id != HeaderId::AcceptEncoding && !matches!(name, b"range" | b"if-range"));
        headers.push_id(HeaderId::AcceptEncoding, b"identity");
        Step::Continue
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        if answer.status == StatusCode::NOT_MODIFIED {
            weaken(&mut answer.headers);
            return Step::Continue;
        }
        if exchange.record.error.is_some() || !answer.status.is_success() || !is_json(&answer.headers) {
            return Step::Continue;
        }
        if answer.body.is_empty() {
            // The length that HEAD tells is not that of the shaped answer.
            mend(&mut answer.headers);
            return Step::Continue;
        }
        Step::Wait(Box::pin(async move {
            self.apply(exchange, answer).await?;
            Ok(None)
        }))
    }
}

impl ShapeAnswer {
    async fn apply(&self, exchange: &Exchange, answer: &mut Response) -> Result<(), Error> {
        let broken = |error: &dyn std::fmt::Display| {
            Error::from(Failure::new(Party::Service, CallPhase::Body, Cause::Coding)).source(error)
        };
        let codings = codings(&answer.headers).map_err(|error| broken(&error))?;
        let mut body = answer.body.take();
        if !codings.is_empty() {
            body = decoded(body, &codings);
        }
        let shaped = time::timeout_at(exchange.deadline, self.shaped(exchange, answer, body)).await;
        let shaped = shaped.map_err(|_| Error::new(ErrorKind::DeadlineExceeded).reason("shape"))??;
        mend(&mut answer.headers);
        answer.body = shaped;
        Ok(())
    }

    async fn shaped(&self, exchange: &Exchange, answer: &Response, body: Body) -> Result<Body, Error> {
        let body = self.shape.select(body).await?;
        if self.shape.body.is_none() {
            return Ok(body);
        }
        let json = body.collect(MAX_READ).await.map_err(|error| match error.kind() {
            ErrorKind::BodyTooLarge => Error::new(ErrorKind::UpstreamFailure)
                .reason("shape")
                .source("an answer that is too large to be read"),
            _ => error,
        })?;
        let response = Answered::new(Some(answer.status.as_u16()), answer.headers.clone(), Some(json));
        let made = self.shape.remake(Ground::from(exchange).with_response(&response))?;
        Ok(made.map_or(Body::Empty, |made| Body::Bytes(made.to_string().into())))
    }
}

/// Whether the type is JSON (RFC 6839 section 3.1 for `+json`).
fn is_json(headers: &Headers) -> bool {
    let Some(media) = headers.get_id(HeaderId::ContentType) else { return false };
    let essence =
        media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    essence == b"application/json" || essence.ends_with(b"+json")
}
