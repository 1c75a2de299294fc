//! One call of a client, several calls to services, one JSON answer.
//!
//! `read.rs` compiles it. `fanout.rs` runs the sources, each the moment what it needs is there; `call.rs` is one call of a
//! source, `each.rs` one for every item of a list, `outcome.rs` what a source comes to. `join.rs` writes the answer in
//! the order of the configuration, whatever the order of arrival, `head.rs` what stands above it. The rules are told in
//! `docs/aggregates.md`.

mod call;
mod check;
mod describe;
mod each;
mod fanout;
mod graph;
mod head;
mod join;
mod outcome;
mod read;
mod source;
mod vary;
mod written;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::StatusCode;

use crate::exchange::{Body, Error, ErrorKind, Exchange, HeaderId, Headers, JsonValue, Response};
use crate::expression::{Answered, Ground};
use crate::json::push_quoted;
use crate::shaping::{MAX_READ, Shape, with_tail};
use crate::telemetry::metrics::AggregateMetrics;

use super::describe::Description;
use super::{Action, LocalBoxFuture};
use fanout::Gathered;
use outcome::{Failure, Fault, Outcome};

pub use read::KIND;
pub use source::Source;

/// Calls every source and answers once.
pub struct Aggregate {
    /// The sources, in the order of the answer's members.
    pub sources: Vec<Source>,
    /// Whether an answer may lack a source.
    pub partial: bool,
    /// The member that tells what failed; none where nobody wants it.
    pub errors_key: Option<String>,
    /// What becomes of the answer: the shape in place, then the one of the route.
    pub shapes: Vec<Arc<Shape>>,
    /// Its numbers.
    pub metrics: Arc<AggregateMetrics>,
}

type Outcomes = [Option<(Outcome, u64)>];

impl Aggregate {
    async fn gather(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        let answers: Vec<OnceLock<Answered>> = self.sources.iter().map(|_| OnceLock::new()).collect();
        let decides = |source: &Source| !self.partial || source.required;
        let gathered = fanout::run(&self.sources, exchange, &answers, decides).await?;
        let Gathered { outcomes, ended_by, note } = gathered;
        if let Some(note) = note {
            exchange.record.note.get_or_insert_with(|| note.into());
        }
        if let Some(error) = self.failed(&outcomes, ended_by) {
            if let Some(at) = ended_by {
                exchange.record.upstream = Some(self.sources[at].number);
            } else {
                exchange.record.attempts.at_several();
            }
            return Err(error);
        }
        exchange.record.attempts.at_several();
        let errors = self.errors(exchange, &outcomes);
        let partial = errors.is_some();
        let (mut body, clashes) = join::object(&self.sources, &outcomes, self.errors_key.as_deref());
        if clashes > 0 {
            self.metrics.clashed(exchange.core, clashes);
        }
        for shape in &self.shapes {
            let shaped = self.shaped(shape, body, exchange, &answers).await;
            body = shaped.map_err(|error| self.telling(error, &outcomes))?;
        }
        if let Some(tail) = errors.flatten() {
            body = with_tail(body, tail);
        }
        let mut answer = Response::new(StatusCode::OK);
        answer.headers.push_id(HeaderId::ContentType, b"application/json");
        let known = exchange.identity.is_some();
        if let Some(line) = head::cache_control(known, partial, &self.sources, &outcomes) {
            answer.headers.push_id(HeaderId::CacheControl, line.as_bytes());
        }
        if let Some(line) = vary::line(exchange, &self.sources, &outcomes) {
            answer.headers.push_judged(b"vary", &line);
        }
        if self.partial {
            let line = head::status(&self.sources, &outcomes);
            answer.headers.push_judged(b"aggregate-status", line.as_bytes());
        }
        head::expose(exchange, &self.sources, &outcomes, &mut answer.headers);
        answer.body = body;
        Ok(answer)
    }

    /// The error of a call that has nothing to give.
    fn failed(&self, outcomes: &Outcomes, ended_by: Option<usize>) -> Option<Error> {
        let error = if let Some(at) = ended_by {
            let Some((Outcome::Failed(Failure { fault, why }), _)) = &outcomes[at] else { return None };
            let name = &self.sources[at].name;
            Error::new(fault.kind())
                .detail(format!("{name}: {}", fault.word()))
                .source(format!("source {name}: {why}"))
        } else {
            let mut failures = Vec::new();
            for (source, outcome) in self.sources.iter().zip(outcomes) {
                match outcome {
                    Some((Outcome::Given(_), _)) => return None,
                    Some((Outcome::Failed(failure), _)) => failures.push((&source.name, failure)),
                    _ => {}
                }
            }
            if failures.is_empty() {
                return None;
            }
            let all_time = failures.iter().all(|(_, failure)| failure.fault == Fault::Timeout);
            let kind = if all_time { ErrorKind::UpstreamTimeout } else { ErrorKind::UpstreamFailure };
            let words: Vec<String> =
                failures.iter().map(|(name, failure)| format!("{name}: {}", failure.fault.word())).collect();
            let whys: Vec<String> =
                failures.iter().map(|(name, failure)| format!("source {name}: {}", failure.why)).collect();
            Error::new(kind).detail(words.join(", ")).source(whys.join("; "))
        };
        Some(self.telling(error.reason("source"), outcomes))
    }

    /// An error of the whole call, which tells of the sources as any answer does.
    fn telling(&self, error: Error, outcomes: &Outcomes) -> Error {
        match self.partial {
            true => error.header("aggregate-status", head::status(&self.sources, outcomes)),
            false => error,
        }
    }

    /// What failed, as the member that tells it; `Some(None)` where something failed and no member is wanted. The log is
    /// told too.
    fn errors(&self, exchange: &mut Exchange, outcomes: &Outcomes) -> Option<Option<Bytes>> {
        let mut out = Vec::new();
        let mut first = None;
        for (source, outcome) in self.sources.iter().zip(outcomes) {
            let Some((Outcome::Failed(Failure { fault, why }), _)) = outcome else { continue };
            out.push(if first.is_none() { b'{' } else { b',' });
            first.get_or_insert_with(|| format!("source {}: {}: {why}", source.name, fault.word()));
            push_quoted(&source.name, &mut out);
            let (word, status) = (fault.word(), fault.status().as_u16());
            out.extend_from_slice(format!(":{{\"error\":\"{word}\",\"status\":{status}}}").as_bytes());
        }
        let note = first?;
        exchange.record.note.get_or_insert_with(|| note.into());
        let Some(key) = &self.errors_key else { return Some(None) };
        let mut member = Vec::with_capacity(out.len() + key.len() + 4);
        push_quoted(key, &mut member);
        member.push(b':');
        member.extend_from_slice(&out);
        member.push(b'}');
        Some(Some(member.into()))
    }

    async fn shaped(
        &self,
        shape: &Shape,
        body: Body,
        exchange: &Exchange,
        answers: &[OnceLock<Answered>],
    ) -> Result<Body, Error> {
        let body = shape.select(body).await?;
        if shape.body.is_none() {
            return Ok(body);
        }
        let json = body.collect(MAX_READ).await.map_err(|error| {
            Error::new(ErrorKind::UpstreamFailure)
                .reason("shape")
                .source(format!("`body` of a shape: {error}"))
        })?;
        let response = Answered::new(Some(200), Headers::new(), Some(json));
        let ground = Ground::from(exchange).with_sources(answers).with_response(&response);
        let Some(mut made) = shape.remake(ground)? else { return Ok(Body::Empty) };
        if let (Some(key), JsonValue::Object(members)) = (&self.errors_key, &mut made) {
            members.shift_remove(key);
        }
        Ok(Body::Bytes(made.to_string().into()))
    }
}

impl Action for Aggregate {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(self.gather(exchange))
    }

    fn describe(&self, exchange: &mut Exchange) -> Description {
        describe::describe(&self.sources, (self.partial, self.errors_key.as_deref()), exchange)
    }
}
