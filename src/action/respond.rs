//! Answers in place.

use std::sync::Arc;

use http::StatusCode;

use crate::config::{Diagnostic, Field, Json, Key, Kind, Schema, Section, shape};
use crate::exchange::headers::valid_name;
use crate::exchange::{Body, Error, ErrorKind, Exchange, HeaderId, Response};
use crate::expression::{EvalError, JsonTemplate, Place, Template, load};

use super::describe::{Description, untold};
use super::{Action, Build, Env, LocalBoxFuture};

/// The action `respond`.
pub const KIND: Kind<Build> = Kind { name: "respond", summary: "Answer in place", schema, build };

const RESPOND: &[Key] = &[
    Key::optional("status", shape::integer, "The status (default 200)"),
    Key::optional(
        "body",
        || Schema::Object(Default::default()),
        "Plain text as it stands, or a map or list sent as JSON",
    ),
    Key::optional("headers", || shape::map(shape::text()), "Header lines; values are templates"),
];

fn schema() -> Schema {
    shape::object(RESPOND)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Action>> {
    let section = Section::open(field, RESPOND)?;
    let status = section.read("status", 200, |status| status.integer(200..=599));
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok())?;
    let content = match section.get("body") {
        None => Some(Content::None),
        Some(body) => content(body, env),
    };
    if let (Some(body), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) = (section.get("body"), status) {
        body.error(format!("an answer with status {status} has no body"), "remove the body");
    }
    let headers = section.read("headers", Some(Vec::new()), |headers| Some(lines(headers, env)));
    Some(Arc::new(Respond { status, headers: headers?, content: content? }))
}

fn content(body: Field<'_>, env: &Env<'_>) -> Option<Content> {
    if !body.is_map() && !body.is_list() {
        return Some(Content::Text(body.text()?.into_string().into()));
    }
    let json: Json = body.json()?;
    load::json_template(&json, env.scope, body).map(Content::Json)
}

fn lines(headers: Field<'_>, env: &Env<'_>) -> Option<Vec<(String, Template)>> {
    let read = headers.entries()?.into_iter().map(|(name, value)| {
        let lower = name.value.to_ascii_lowercase();
        let id = HeaderId::of(lower.as_bytes());
        let framing =
            id.hop_by_hop() || matches!(id, HeaderId::ContentLength | HeaderId::Host | HeaderId::XRequestId);
        if !valid_name(lower.as_bytes()) || framing {
            let what = format!("`{}` cannot be set on an answer", name.value);
            value.out().add(
                Diagnostic::error(name.span, what).help("the gate itself says it, or it is no header name"),
            );
            return None;
        }
        let text = value.header_value()?;
        Some((lower, load::template(&text, env.scope, Place::Header, value.out())?))
    });
    read.collect::<Vec<_>>().into_iter().collect()
}

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

    fn describe(&self, exchange: &mut Exchange) -> Description {
        let body = match &self.content {
            Content::None => "none".to_owned(),
            Content::Text(text) => format!("text, {} bytes", text.len()),
            Content::Json(_) => "JSON".to_owned(),
        };
        let mut told = Description::new("respond").fact("status", self.status.as_str()).fact("body", body);
        if !self.headers.is_empty() {
            let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
            told = told.fact("headers", names.join(", "));
        }
        match self.answer(exchange) {
            Ok(_) => told,
            Err(error) => told.fact("fails", untold(&error)),
        }
    }
}
