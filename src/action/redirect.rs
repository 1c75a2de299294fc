//! Answers with a redirect (RFC 9110 section 15.4).

use http::StatusCode;

use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Response};
use crate::expression::{EvalError, Template};

use super::{Action, LocalBoxFuture};

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
                let path = match path {
                    Some(path) => path.render(exchange).map_err(unreadable)?.to_string(),
                    None => request.target.path().to_owned(),
                };
                match request.target.query() {
                    Some(query) if !path.contains('?') => format!("{scheme}://{host}{path}?{query}"),
                    _ => format!("{scheme}://{host}{path}"),
                }
            }
        };
        let mut answer = Response::new(self.status);
        answer.headers.set(HeaderId::Location.name(), location.as_bytes()).map_err(|error| {
            Error::new(ErrorKind::MalformedRequest).reason("redirect").source(error)
        })?;
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
}
