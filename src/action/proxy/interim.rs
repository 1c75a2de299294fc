//! Interim answers of a service: cleaned as a final answer is, and passed on (RFC 9110 section 15.2).

use std::cell::Cell;

use http::StatusCode;

use crate::exchange::interim::MOST_INTERIM;
use crate::exchange::{Body, Exchange, HeaderId, Headers, Interims, Response};

use super::request::Mapping;
use super::{Proxy, response};

/// Passes on what the attempts of one call say before their answer.
pub(super) struct Hints<'a> {
    proxy: &'a Proxy,
    exchange: &'a Exchange,
    mapping: &'a Mapping,
    /// How many more.
    left: Cell<u32>,
}

impl<'a> Hints<'a> {
    pub(super) fn new(proxy: &'a Proxy, exchange: &'a Exchange, mapping: &'a Mapping) -> Hints<'a> {
        Hints { proxy, exchange, mapping, left: Cell::new(MOST_INTERIM) }
    }

    /// Itself, where the client gets interim answers.
    pub(super) fn awaited(&self) -> Option<&dyn Interims> {
        self.exchange.interims.is_some().then_some(self as &dyn Interims)
    }
}

impl Interims for Hints<'_> {
    fn pass(&self, status: StatusCode, headers: Headers) {
        let (Some(client), Some(left)) = (&self.exchange.interims, self.left.get().checked_sub(1)) else {
            return;
        };
        self.left.set(left);
        let mut answer = Response { status, headers, body: Body::Empty };
        response::hide(self.proxy, self.exchange, self.mapping, &mut answer);
        answer.headers.retain(|id, name, _| may_pass(id, name));
        client.pass(status, answer.headers);
    }
}

/// Whether a line may stand in an interim answer. Not what policies have the last word on in the final one (cookies, origins,
/// limits), nor what speaks of content.
fn may_pass(id: HeaderId, name: &[u8]) -> bool {
    let never: [&[u8]; 5] =
        [b"access-control-", b"content-length", b"content-range", b"ratelimit", b"x-ratelimit-"];
    !matches!(id, HeaderId::SetCookie | HeaderId::XRequestId)
        && !never.iter().any(|start| name.starts_with(start))
}
