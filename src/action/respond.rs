//! Answers in place.

use http::StatusCode;

use crate::exchange::{Body, Error, ErrorKind, Exchange, Response};
use crate::expression::{EvalError, JsonTemplate, Template};

use super::{Action, LocalBoxFuture};

/// What the answer holds.
pub enum Content {
    /// Nothing.
    None,
    /// Plain text as it stands.
    Text(bytes::Bytes),
    /// JSON whose strings are templates.
    Json(JsonTemplate),
}

/// Answers in place.
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// Header lines; values are templates.
    pub headers: Vec<(String, Template)>,
    /// The content.
    pub content: Content,
}

impl Respond {
    fn answer(&self, exchange: &Exchange) -> Result<Response, Error> {
        let mut answer = Response::new(self.status);
        match &self.content {
            Content::None => {}
            Content::Text(text) => {
                answer.headers.push_judged(b"content-type", b"text/plain; charset=utf-8");
                answer.body = Body::Bytes(text.clone());
            }
            Content::Json(template) => {
                answer.headers.push_judged(b"content-type", b"application/json");
                answer.body = Body::Bytes(template.render(exchange).map_err(unreadable)?.into());
            }
        }
        for (name, template) in &self.headers {
            let value = template.render(exchange).map_err(unreadable)?;
            answer.headers.set(name, value.as_bytes()).map_err(|error| {
                Error::new(ErrorKind::MalformedRequest).reason("respond").source(format!("{name}: {error}"))
            })?;
        }
        Ok(answer)
    }
}

/// The answer asks for what the request does not have.
fn unreadable(error: EvalError) -> Error {
    Error::new(ErrorKind::MalformedRequest).reason("respond").source(error)
}

impl Action for Respond {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(std::future::ready(self.answer(exchange)))
    }
}
