//! A rate limit: so many requests per key in a window, and what the client is told of it.
//!
//! A limit's counters belong to its name: two routes that name one limit share its budgets, and a limit written in
//! place belongs to the place, whose path is its name then. Whatever runs later, an admitted and a refused answer
//! tell the same fields.

use std::sync::Arc;
use std::time::Duration;

use super::headers::{self, HeaderStyle};
use super::key::{ClientIp, Key, KeyBytes, KeyOutcome};
use crate::exchange::{Error, ErrorKind, Exchange, Name, Quota, Response};
use crate::policy::{Phase, Policy, Step};
use crate::store::{Clock, Decision, Limit, Store, Taken};

/// Parts of a key, so that no text of one part can be read as another.
const BY_KEY: u8 = 0;
const BY_ADDRESS: u8 = 1;

/// The policy `rate_limit` for one limit.
pub struct RateLimit {
    settings: Settings,
    limit: Limit,
    /// The window in seconds, rounded up.
    window: u64,
}

/// What a [`RateLimit`] is made of.
pub struct Settings {
    /// The name its counters are kept under: of the limit in `rate_limits`, or of the place where it is written (a
    /// text that no name can be).
    pub name: Name,
    /// Requests per window.
    pub limit: u64,
    /// Length of the window, started by a key's first hit; at least a millisecond.
    pub window: Duration,
    /// Whose budget is spent.
    pub key: Box<dyn Key>,
    /// Whose budget is spent where a request has no such key.
    pub address: ClientIp,
    /// Where the counters live.
    pub store: Arc<dyn Store>,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// How the client is told; none where it is not.
    pub headers: Vec<HeaderStyle>,
    /// [`Phase::LimitBefore`], or [`Phase::LimitAfter`] where the key names the identity.
    pub phase: Phase,
}

impl RateLimit {
    /// A limit from its settings.
    pub fn new(settings: Settings) -> RateLimit {
        let window_ms = u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX).max(1);
        let limit = Limit { limit: settings.limit, window_ms };
        RateLimit { settings, limit, window: window_ms.div_ceil(1000) }
    }

    /// Tells this limit from every other that is alive.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.settings.name).cast::<u8>() as usize
    }

    fn key(&self, exchange: &mut Exchange) -> KeyBytes {
        let settings = &self.settings;
        let mut key = KeyBytes::new();
        key.extend_from_slice(settings.name.as_bytes());
        let name = key.len();
        // Neither a name nor a place holds a byte this small, so a name never runs into its key.
        key.push(BY_KEY);
        if let KeyOutcome::Missing(why) = settings.key.key(exchange, &mut key) {
            if exchange.record.note.is_none() {
                exchange.record.note = why;
            }
            key.truncate(name);
            key.push(BY_ADDRESS);
            settings.address.write(exchange.client.ip, &mut key);
        }
        key
    }

    /// Notes the decision, if it is the strictest so far: the one with the least left, then the one that takes
    /// longest to start anew, for until then the client will not be served.
    fn settle(&self, decision: Decision, exchange: &mut Exchange) -> Result<(), Error> {
        let reset = decision.reset_ms.div_ceil(1000).max(1);
        let stricter = exchange.quota.as_ref().is_none_or(|so_far| {
            decision.remaining < so_far.remaining
                || (decision.remaining == so_far.remaining && reset > so_far.reset)
        });
        if stricter {
            exchange.quota = Some(Quota {
                limit_id: self.id(),
                limit: self.limit.limit,
                window: self.window,
                remaining: decision.remaining,
                reset,
            });
        }
        if decision.admitted {
            return Ok(());
        }
        // A spent limit has nothing left, so the strictest one has neither: its reset is when asking again may help.
        let wait = exchange.quota.as_ref().map_or(reset, |quota| quota.reset);
        Err(Error::new(ErrorKind::RateLimited)
            .source(format_args!("the limit {} is spent", self.settings.name))
            .header("retry-after", wait.to_string()))
    }
}

impl Policy for RateLimit {
    fn phase(&self) -> Phase {
        self.settings.phase
    }

    fn kind(&self) -> &'static str {
        "rate_limit"
    }

    fn reads_identity(&self) -> bool {
        self.settings.phase == Phase::LimitAfter
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let key = self.key(exchange);
        match self.settings.store.take(&key, self.limit, &*self.settings.clock) {
            Taken::Ready(decision) => match self.settle(decision, exchange) {
                Ok(()) => Step::Continue,
                Err(error) => Step::Fail(error),
            },
            Taken::Wait(decision) => Step::Wait(Box::pin(async move {
                // A store that is away must not open the gate.
                let decision = decision
                    .await
                    .map_err(|error| Error::new(ErrorKind::Overloaded).reason("store").source(error))?;
                self.settle(decision, exchange).map(|()| None)
            })),
        }
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        // Of several limits the one that is reported writes, so the fields stand there once.
        if let Some(quota) = exchange.quota.as_ref().filter(|quota| quota.limit_id == self.id()) {
            headers::write(&self.settings.headers, quota, &mut answer.headers);
        }
        Step::Continue
    }
}

#[cfg(test)]
mod tests;
