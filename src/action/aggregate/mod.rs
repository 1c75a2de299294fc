//! One call of a client, several calls to services, one JSON answer.
//!
//! `fanout.rs` runs the sources side by side, `source.rs` is one of them, `join.rs` writes the answer in the order
//! of the configuration, whatever the order of arrival.

mod fanout;
mod join;
mod read;
mod source;

use http::StatusCode;

use crate::exchange::{Body, Error, Exchange, HeaderId, Response};

use super::{Action, LocalBoxFuture};

pub use read::KIND;
pub use source::Source;

/// Calls every source and answers once: all or nothing.
pub struct Aggregate {
    /// The sources, in the order of the answer's members.
    pub sources: Vec<Source>,
}

impl Aggregate {
    async fn gather(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        let gathered = fanout::all(&self.sources, exchange).await;
        exchange.record.attempts = gathered.attempts;
        exchange.record.upstream_time = gathered.time;
        let parts = match gathered.outcome {
            Ok(parts) => parts,
            Err((failed, error)) => {
                let source = &self.sources[failed];
                exchange.record.upstream = Some(source.number);
                exchange.record.endpoint = gathered.endpoint;
                return Err(error);
            }
        };
        let mut answer = Response::new(StatusCode::OK);
        answer.headers.push_id(HeaderId::ContentType, b"application/json");
        answer.body = Body::Bytes(join::members(&self.sources, &parts));
        Ok(answer)
    }
}

impl Action for Aggregate {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Result<Response, Error>> {
        Box::pin(self.gather(exchange))
    }
}
