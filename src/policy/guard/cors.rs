//! The policy `cors`: which web pages may ask, and read what is answered (Fetch standard, "CORS protocol").
//!
//! Nothing here keeps a request from a service but two: a preflight, which the policy answers itself, and a WebSocket,
//! which browsers open across origins without asking. All else is a word to the browser, on every answer; whatever a
//! service says of it is taken out, so that the gate speaks alone.

mod lines;
mod origins;
mod preflight;
mod read;

use crate::exchange::{Error, ErrorKind, Exchange, Headers, Response};
use crate::policy::{Phase, Policy, Step};

pub use origins::Origins;
pub use preflight::{Grant, asked};
pub use read::KIND;

/// What the policy is made of.
pub struct Settings {
    /// Who may ask.
    pub origins: Origins,
    /// The methods beyond those that need no preflight.
    pub methods: Grant,
    /// The header fields beyond those that need no preflight, in lower case.
    pub headers: Grant,
    /// The fields of an answer that a page may read, as the line says it; none: those that it may read anyway.
    pub expose: Option<String>,
    /// Whether a page may send cookies and read what is answered to them.
    pub credentials: bool,
    /// For how many seconds a browser may remember the answer to a preflight; none: its own default.
    pub max_age: Option<u64>,
}

/// Tells browsers which pages may ask, and answers their preflights.
pub struct Cors {
    origins: Origins,
    methods: Grant,
    headers: Grant,
    credentials: bool,
    /// The lines of an answer that an allowed origin may read, beside its own.
    shared: Headers,
    /// The lines of the answer to an allowed preflight that are always the same, beside the origin's own.
    permission: Headers,
}

const CREDENTIALS: &[u8] = b"access-control-allow-credentials";

impl Cors {
    /// A policy of these settings.
    pub fn new(settings: Settings) -> Cors {
        let (mut shared, mut permission) = (Headers::new(), Headers::new());
        if settings.credentials {
            shared.push_judged(CREDENTIALS, b"true");
            permission.push_judged(CREDENTIALS, b"true");
        }
        if let Some(expose) = &settings.expose {
            shared.push_judged(b"access-control-expose-headers", expose.as_bytes());
        }
        if let Some(seconds) = settings.max_age {
            permission.push_judged(b"access-control-max-age", seconds.to_string().as_bytes());
        }
        let Settings { origins, methods, headers, credentials, .. } = settings;
        preflight::fixed(&methods, preflight::METHODS, credentials, &mut permission);
        preflight::fixed(&headers, preflight::HEADERS, credentials, &mut permission);
        Cors { origins, methods, headers, credentials, shared, permission }
    }

    /// The answer to a preflight. A foreign one gets no permission and is refused by its browser.
    fn permit(&self, exchange: &mut Exchange) -> Response {
        let request = &exchange.request.headers;
        let mut answer = Response::new(http::StatusCode::NO_CONTENT);
        match self.origins.permitted(lines::origin(request)) {
            Some(origin) => {
                answer.headers.push_judged(lines::ALLOW_ORIGIN, origin);
                answer.headers.extend_from(&self.permission, |_, _, _| true);
                if self.credentials {
                    preflight::echo(&self.methods, &self.headers, request, &mut answer.headers);
                }
            }
            None if exchange.record.note.is_none() => {
                exchange.record.note = Some("a preflight from an origin that cors does not name".into());
            }
            None => {}
        }
        answer.headers.push_judged(b"vary", preflight::VARY);
        answer
    }

    /// Whether the request asks to open a WebSocket from a page that may not.
    ///
    /// The codec has taken `connection` and `upgrade` out. What is left only a handshake has: no script can set a
    /// field whose name begins with `sec-`. A page of the very host that it asks is of no other origin.
    fn is_foreign_socket(&self, exchange: &Exchange) -> bool {
        let headers = &exchange.request.headers;
        let Some(origin) = lines::origin(headers) else { return false };
        let shakes =
            || ["sec-websocket-key", "sec-websocket-version"].iter().any(|name| headers.get(name).is_some());
        let own = || lines::is_own(origin, exchange.request.host_bytes(), exchange.client.scheme);
        self.origins.permitted(Some(origin)).is_none() && shakes() && !own()
    }
}

impl Policy for Cors {
    fn phase(&self) -> Phase {
        Phase::Cors
    }

    fn kind(&self) -> &'static str {
        "cors"
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if asked(&exchange.request).is_some() {
            return Step::Respond(self.permit(exchange));
        }
        if self.is_foreign_socket(exchange) {
            let error = Error::new(ErrorKind::Forbidden).reason("origin");
            return Step::Fail(error.detail("This origin may not open a connection here."));
        }
        Step::Continue
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        if asked(&exchange.request).is_some() {
            // It was answered here, and the answer is whole.
            return Step::Continue;
        }
        lines::take_out(&mut answer.headers, !self.origins.is_any());
        if let Some(origin) = self.origins.permitted(lines::origin(&exchange.request.headers)) {
            answer.headers.push_judged(lines::ALLOW_ORIGIN, origin);
            answer.headers.extend_from(&self.shared, |_, _, _| true);
        }
        Step::Continue
    }
}

#[cfg(test)]
mod tests;
