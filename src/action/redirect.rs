//! Answers with a redirect (RFC 9110 section 15.4).

use std::sync::Arc;

use http::StatusCode;

use crate::config::{Field, Key, Kind, Schema, Section, shape};
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Response};
use crate::expression::{EvalError, Place, Template, load};

use super::describe::{Description, untold};
use super::{Action, Build, Env, LocalBoxFuture};

/// The action `redirect`.
pub const KIND: Kind<Build> = Kind { name: "redirect", summary: "Answer with a redirect", schema, build };

const REDIRECT: &[Key] = &[
    Key::optional("to", shape::text, "Where to: a template; not beside scheme, host and path"),
    Key::optional("scheme", || shape::choice(&["http", "https"]), "Another scheme"),
    Key::optional("host", shape::text, "Another host, with a port if it needs one"),
    Key::optional("path", shape::text, "Another path: a template"),
    Key::optional("status", shape::integer, "301, 302, 303, 307 or 308 (the default)"),
];

fn schema() -> Schema {
    shape::object(REDIRECT)
}

fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Action>> {
    let section = Section::open(field, REDIRECT)?;
    let status = section.read("status", 308, |status| {
        let code = status.integer(300..=399)?;
        if !matches!(code, 301 | 302 | 303 | 307 | 308) {
            status.error(format!("{code} is no redirect"), "use 301, 302, 303, 307 or 308");
            return None;
        }
        Some(code)
    });
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok())?;
    let parts = ["scheme", "host", "path"].iter().any(|key| section.has(key));
    let to = match (section.get("to"), parts) {
        (Some(to), false) => {
            let text = to.filled()?;
            To::Template(load::template(&text, env.scope, Place::PathOrUrl, to.out())?)
        }
        (None, true) => To::Parts {
            scheme: section
                .get("scheme")
                .and_then(|scheme| scheme.choice(&[("http", "http"), ("https", "https")], &[])),
            host: section.get("host").and_then(|host| host.filled()).map(crate::config::Text::into_string),
            path: match section.get("path") {
                Some(path) => Some(load::template(&path.filled()?, env.scope, Place::PathOrUrl, path.out())?),
                None => None,
            },
        },
        _ => {
            field.error(
                "a redirect needs `to`, or some of `scheme`, `host` and `path`",
                "write `to: /new/{rest}`",
            );
            return None;
        }
    };
    Some(Arc::new(Redirect { to, status }))
}

/// Where the client is sent.
pub enum To {
    /// To this.
    Template(Template),
    /// To where it is, but for the parts that are named.
    Parts {
        /// `http` or `https`.
        scheme: Option<&'static str>,
        /// The host, with a port if it needs one.
        host: Option<String>,
        /// The path, and a query if it names one.
        path: Option<Template>,
    },
}

/// Sends the client elsewhere.
pub struct Redirect {
    /// Where to.
    pub to: To,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

impl Redirect {
    fn answer(&self, exchange: &Exchange) -> Result<Response, Error> {
        let location = match &self.to {
            To::Template(template) => template.render(exchange).map_err(unreadable)?.to_string(),
            To::Parts { scheme, host, path } => {
                let request = &exchange.request;
                let scheme = scheme.unwrap_or(exchange.client.scheme.as_str());
                let host = host.as_deref().unwrap_or(request.host());
                if host.is_empty() {
                    // A client of HTTP/1.0 need not say whom it asks: then there is no URL to send it to.
                    let error = Error::new(ErrorKind::MalformedRequest).reason("redirect");
                    return Err(error.detail("the redirect needs a Host header"));
                }
                let path = match path {
                    Some(path) => path.render(exchange).map_err(unreadable)?.to_string(),
                    None => [exchange.outer_prefix(), request.target.path()].concat(),
                };
                match request.target.query() {
                    Some(query) if !path.contains('?') => format!("{scheme}://{host}{path}?{query}"),
                    _ => format!("{scheme}://{host}{path}"),
                }
            }
        };
        let mut answer = Response::new(self.status);
        answer
            .headers
            .set(HeaderId::Location.name(), location.as_bytes())
            .map_err(|error| Error::new(ErrorKind::MalformedRequest).reason("redirect").source(error))?;
        Ok(answer)
    }
}

/// The target asks for what the request does not have.
fn unreadable(error: EvalError) -> Error {
    Error::new(ErrorKind::MalformedRequest).reason("redirect").source(error)
}

impl Action for Redirect {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(std::future::ready(self.answer(exchange)))
    }

    fn describe(&self, exchange: &mut Exchange) -> Description {
        let told = Description::new("redirect").fact("status", self.status.as_str());
        match self.answer(exchange) {
            Ok(answer) => {
                let to = answer.headers.get_id(HeaderId::Location).unwrap_or_default();
                told.fact("location", String::from_utf8_lossy(to))
            }
            Err(error) => told.fact("location", untold(&error)),
        }
    }
}
