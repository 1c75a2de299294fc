//! One source of an aggregate as it is compiled, and the request that it makes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use crate::cache::Cache;
use crate::exchange::target::{PathRules, TargetError};
use crate::exchange::{Body, Error, ErrorKind, Exchange, HeaderId, Headers, Name, Request, Target};
use crate::expression::{EvalError, Expression, Ground, JsonTemplate, Reference, Template, encode_value};
use crate::telemetry::metrics::SourceMetrics;
use crate::upstream::Upstream;

use super::super::{forward, hops};
use super::outcome::{Failure, Fault};

/// One source.
pub struct Source {
    /// The name of its member in the answer.
    pub name: Name,
    /// The upstream's number in the snapshot.
    pub number: u32,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// How it asks.
    pub ask: Ask,
    /// What its path may hold.
    pub path_rules: PathRules,
    /// The sources it waits for, as their places among the sources.
    pub needs: Vec<usize>,
    /// Whether another source or the shape reads what it says.
    pub is_read: bool,
    /// Whether it is called at all.
    pub when: Option<Expression>,
    /// Called once for every item of a list.
    pub for_each: Option<ForEach>,
    /// How long it may take in all, inside the exchange's deadline.
    pub timeout: Option<Duration>,
    /// Its own `timeout`, where it is longer than the time that the upstream waits for an answer by default: it lifts that.
    pub lifted: Option<Duration>,
    /// The largest body in bytes, of all its items together.
    pub max_body: u64,
    /// Statuses beside 200 to 299 that are no failure.
    pub accept: Vec<StatusCode>,
    /// Whether the whole call fails where it does.
    pub required: bool,
    /// What stands in for it where it fails: JSON.
    pub fallback: Option<Bytes>,
    /// Whether its members are lifted to the top.
    pub merge: bool,
    /// Lines of its answer that the client gets, in lower case.
    pub expose: Vec<String>,
    /// How its answers are kept.
    pub cache: Option<Caching>,
    /// Its numbers.
    pub metrics: Arc<SourceMetrics>,
}

/// `for_each`.
pub struct ForEach {
    /// The list.
    pub list: Expression,
    /// Calls at a time.
    pub concurrency: usize,
    /// Items at most.
    pub max_items: usize,
}

/// `cache`, `stale_if_error` and `shared`.
pub struct Caching {
    /// Where they are kept.
    pub store: Arc<Cache>,
    /// How long an answer is fresh.
    pub ttl: Duration,
    /// How much longer it stands in where the source fails.
    pub stale_if_error: Duration,
    /// Whether one client gets what another has asked for.
    pub shared: bool,
}

/// How a source asks.
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The path, and a query if it has one.
    pub path: Template,
    /// Names, encoded, and values of its query.
    pub query: Vec<(String, Template)>,
    /// Lines it sets, names in lower case.
    pub headers: Vec<(String, Template)>,
    /// Lines of the client's that pass, in lower case.
    pub forward_headers: Vec<String>,
    /// Its content.
    pub body: Content,
    /// The line that tells the milliseconds that are left.
    pub deadline_header: Option<String>,
}

/// The content of a source's request.
pub enum Content {
    /// None.
    None,
    /// Text as it stands.
    Text(Bytes),
    /// JSON whose strings are templates.
    Json(JsonTemplate),
}

/// Why a source cannot ask.
pub(super) enum Unasked {
    /// Something is absent: the source fails.
    Failed(Failure),
    /// The client's request would change the shape of the source's: the whole call is refused.
    Refused(Error),
}

impl Source {
    /// Whether a status counts as an answer.
    pub fn accepts(&self, status: StatusCode) -> bool {
        status.is_success() || self.accept.contains(&status)
    }

    /// The request to the service.
    ///
    /// # Errors
    /// A part of it is not there, or cannot stand where it would.
    pub(super) fn request(&self, exchange: &Exchange, ground: Ground<'_>) -> Result<Request, Unasked> {
        let ask = &self.ask;
        let path = ask.path.render(ground).map_err(|error| self.unasked(&ask.path, error))?;
        let base = &self.upstream.settings().base_path;
        let target = if ask.query.is_empty() && base.is_empty() {
            self.target(&path)
        } else {
            let mut text = format!("{base}{path}");
            for (name, value) in &ask.query {
                let value_text = value.render(ground).map_err(|error| self.unasked(value, error))?;
                text.push(if text.contains('?') { '&' } else { '?' });
                text.push_str(name);
                text.push('=');
                encode_value(value_text.as_bytes(), &mut text);
            }
            self.target(&text)
        }?;
        let headers = self.headers(exchange, ground)?;
        let body = match &ask.body {
            Content::None => Body::Empty,
            Content::Text(text) => Body::Bytes(text.clone()),
            Content::Json(json) => {
                let text = json.render(ground).map_err(|error| absent(&error))?;
                Body::Bytes(text.into())
            }
        };
        Ok(Request { method: ask.method.clone(), target, version: Version::HTTP_11, headers, body })
    }

    fn headers(&self, exchange: &Exchange, ground: Ground<'_>) -> Result<Headers, Unasked> {
        let ask = &self.ask;
        let mut headers = Headers::with_capacity(16, 640);
        headers.push_id(HeaderId::Host, self.upstream.settings().authority.as_bytes());
        let seen = &exchange.request.headers;
        let forwards = |name: &str| ask.forward_headers.iter().any(|forwarded| forwarded == name);
        let sets = |name: &str| ask.headers.iter().any(|(set, _)| set == name);
        let says = |name: &str| sets(name) || (forwards(name) && seen.get(name).is_some());
        if !says("accept") {
            headers.push_id(HeaderId::Accept, b"application/json");
        }
        if !sets("accept-encoding") {
            headers.push_id(HeaderId::AcceptEncoding, b"identity");
        }
        let media = match &ask.body {
            Content::None => None,
            Content::Text(_) => Some(b"text/plain; charset=utf-8".as_slice()),
            Content::Json(_) => Some(b"application/json".as_slice()),
        };
        if let Some(media) = media.filter(|_| !sets("content-type")) {
            headers.push_id(HeaderId::ContentType, media);
        }
        if !ask.forward_headers.is_empty() {
            // What the client says of its own content is not true of this.
            let is_false = |id| id == HeaderId::ContentType && media.is_some();
            headers.extend_from(seen, |id, name, _| {
                !is_false(id) && std::str::from_utf8(name).is_ok_and(|name| forwards(name) && !sets(name))
            });
        }
        // Who it is says the gate alone: another line of that name could be made of what a client says.
        let own = |name: &str| {
            let known = exchange.identity.as_ref();
            known.is_some_and(|known| known.headers.iter().any(|(own, _)| own == name))
        };
        for (name, value) in ask.headers.iter().filter(|(name, _)| !own(name)) {
            let text = value.render(ground).map_err(|error| self.unasked(value, error))?;
            headers.append(name, text.as_bytes()).map_err(|error| absent(&error))?;
        }
        if !forwards("via") {
            headers.extend_from(seen, |id, _, _| id == HeaderId::Via);
        }
        hops::pass(&self.upstream, exchange, &mut headers);
        forward::speak(exchange, &mut headers);
        Ok(headers)
    }

    fn target(&self, text: &str) -> Result<Target, Unasked> {
        Target::from_rewritten(text, self.path_rules).map_err(|error| {
            let mut templates = self.ask.query.iter().map(|(_, value)| value).chain([&self.ask.path]);
            if templates.any(|template| template.references().any(is_said)) {
                return match error {
                    TargetError::EncodedSlash if !self.path_rules.encoded_slash_keep => {
                        let help = "the route lets it through with `path: { encoded_slash: keep }`";
                        absent(&format_args!("{error}: {help}"))
                    }
                    _ => absent(&error),
                };
            }
            Unasked::Refused(self.refusal(&error))
        })
    }

    fn refusal(&self, why: &dyn std::fmt::Display) -> Error {
        Error::new(ErrorKind::MalformedRequest)
            .reason("source")
            .source(format!("source {}: {why}", self.name))
    }

    /// A value that would change the shape of the request is the client's fault, unless a service has said it.
    fn unasked(&self, template: &Template, error: EvalError) -> Unasked {
        if error.is_misplaced() && !template.references().any(is_said) {
            return Unasked::Refused(self.refusal(&error));
        }
        absent(&error)
    }
}

/// What the source needs of another, or of the request, is not there.
fn absent(why: &dyn std::fmt::Display) -> Unasked {
    Unasked::Failed(Failure::new(Fault::Dependency, why))
}

/// Whether a service has said it, so that the client is not to blame for it.
fn is_said(reference: &Reference) -> bool {
    matches!(reference, Reference::Source(_) | Reference::Item)
}
