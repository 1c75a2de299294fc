//! One call: the head out, the answer back.

use crate::action::describe::{Description, untold};
use crate::action::hops::{self, Left};
use crate::config::HttpVersion;
use crate::exchange::{Error, Exchange, Response};
use crate::expression::Ground;
use crate::upstream::{Caller, Deadline};

use super::interim::Hints;
use super::request::{self, Outgoing};
use super::{Proxy, response};

impl Proxy {
    /// Calls the service and gives its answer, with what points inside hidden.
    ///
    /// # Errors
    /// What kept the service from answering.
    pub async fn forward(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        if hops::left(&exchange.request.method, &exchange.request.headers)? == Left::None {
            return hops::last(exchange);
        }
        let Outgoing { mut request, mapping, upgrades } = request::outgoing(self, exchange)?;
        exchange.record.upstream = Some(self.number);
        let (at, term) = (exchange.deadline, exchange.term);
        let deadline = Deadline { at, lifted: self.lifted, whole: false, term };
        let ground = Some(Ground::from(&*exchange));
        let hints = Hints::new(self, exchange, &mapping);
        let interims = hints.awaited();
        let caller = Caller { core: exchange.core, ground, upgrades, deadline_header: None, interims };
        let mut answer =
            self.upstream.call(caller, &mut request, deadline, &exchange.record.attempts).await?;
        response::hide(self, exchange, &mapping, &mut answer);
        Ok(answer)
    }

    /// What it is, and what it would do with a request: nothing is called.
    pub fn describe(&self, exchange: &mut Exchange) -> Description {
        let settings = self.upstream.settings();
        let mut description =
            Description::new("upstream").fact("upstream", &*settings.name).fact("url", self.upstream.url());
        match settings.written.protocol {
            HttpVersion::Auto => {}
            HttpVersion::Http1 => description = description.fact("protocol", "http1"),
            HttpVersion::Http2 => description = description.fact("protocol", "http2"),
        }
        match request::outgoing(self, exchange) {
            Ok(Outgoing { request, .. }) => {
                description =
                    description.fact("asks", format!("{} {}", request.method, request.target.as_str()));
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                description.headers =
                    request.headers.iter().map(|(_, name, value)| (text(name), text(value))).collect();
                description
            }
            Err(error) => description.fact("asks", untold(&error)),
        }
    }
}
