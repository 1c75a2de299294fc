//! The limits of a rule as one: asked before and behind authentication, and told together.
//!
//! All must admit. The limits in memory of one phase are decided in one step, so that a request which one of them
//! refuses takes nothing from the others, not even for a moment. Those in Redis are asked first, one after the other,
//! and get back what they gave if a later one refuses. A limit behind authentication that refuses gives back what the
//! limits before it took.

use std::any::Any;
use std::sync::Arc;

use smallvec::SmallVec;

use super::headers::{self, HeaderStyle, Styles};
use super::rate_limit::{Asked, Count, RateLimit};
use crate::exchange::{Error, ErrorKind, Exchange, Permit, Quota, Response};
use crate::policy::{Phase, Policy, Step};
use crate::store::memory::{Ask, take_all};
use crate::store::{Decision, Source, Taken, Ticket, Unavailable};
use crate::telemetry::metrics::Verdict;

type Asks = SmallVec<[Asked; 2]>;
type Decisions = SmallVec<[Option<Decision>; 2]>;

/// Every limit of a rule: those before authentication, then those behind it.
struct Plan {
    limits: Box<[Arc<RateLimit>]>,
    /// How many stand before authentication.
    before: usize,
    /// Every style that one of them asks for: an answer has the fields of all of them, whichever limits were asked.
    styles: Styles,
}

/// The policy `rate_limit`: the limits of one phase, knowing those of the other.
pub struct Limits {
    plan: Arc<Plan>,
    phase: Phase,
}

impl Limits {
    /// One limit alone.
    pub fn one(limit: RateLimit) -> Limits {
        let phase = limit.0.phase;
        Limits::of(&Arc::new(Plan::new(vec![Arc::new(limit)])), phase)
    }

    /// All limits of its rule, as far as they are combined.
    pub(super) fn all(&self) -> &[Arc<RateLimit>] {
        &self.plan.limits
    }

    fn of(plan: &Arc<Plan>, phase: Phase) -> Limits {
        Limits { plan: Arc::clone(plan), phase }
    }
}

impl Plan {
    /// The same limit twice is asked once.
    fn new(all: Vec<Arc<RateLimit>>) -> Plan {
        let mut limits: Vec<Arc<RateLimit>> = Vec::with_capacity(all.len());
        for limit in all {
            if !limits.iter().any(|known| Arc::ptr_eq(known, &limit)) {
                limits.push(limit);
            }
        }
        limits.sort_by_key(|limit| limit.0.phase);
        let before = limits.iter().filter(|limit| limit.0.phase == Phase::LimitBefore).count();
        let asked = limits.iter().filter_map(|limit| limit.0.styles).fold(Styles::of(&[]), Styles::and);
        let usual = Styles::of(&[HeaderStyle::Draft8]);
        let some_say_nothing = limits.iter().any(|limit| limit.0.styles.is_none());
        let styles = match asked.conflict(usual) {
            None if some_say_nothing => asked.and(usual),
            _ => asked,
        };
        Plan { limits: limits.into(), before, styles }
    }
}

/// Makes one plan of all limits among a rule's policies; the others stay as they are.
pub fn combine(policies: Vec<Arc<dyn Policy>>) -> Vec<Arc<dyn Policy>> {
    let (mut rest, mut limits) = (Vec::with_capacity(policies.len()), Vec::new());
    for policy in policies {
        let any = Arc::clone(&policy) as Arc<dyn Any + Send + Sync>;
        match any.downcast::<Limits>() {
            Ok(some) => limits.extend(some.plan.limits.iter().map(Arc::clone)),
            Err(_) => rest.push(policy),
        }
    }
    let plan = Arc::new(Plan::new(limits));
    let phases =
        [(Phase::LimitBefore, plan.before > 0), (Phase::LimitAfter, plan.before < plan.limits.len())];
    for (phase, _) in phases.into_iter().filter(|(_, some)| *some) {
        rest.push(Arc::new(Limits::of(&plan, phase)));
    }
    rest
}

impl Limits {
    /// The places of this phase's limits in the plan.
    fn places(&self) -> std::ops::Range<usize> {
        match self.phase {
            Phase::LimitBefore => 0..self.plan.before,
            _ => self.plan.before..self.plan.limits.len(),
        }
    }

    fn limit(&self, place: u16) -> &RateLimit {
        &self.plan.limits[usize::from(place)]
    }

    fn asks(&self, exchange: &mut Exchange) -> Result<Asks, Error> {
        let mut asks = Asks::new();
        for place in self.places() {
            asks.extend(self.plan.limits[place].ask(place as u16, exchange)?);
        }
        Ok(asks)
    }

    /// Whether this one is asked over the network, or may be.
    fn is_remote(&self, asked: &Asked) -> bool {
        self.limit(asked.place).memory().is_none()
    }

    fn take<'a>(&'a self, asked: &Asked) -> Taken<'a> {
        let limit = self.limit(asked.place);
        limit.0.store.take(&asked.key, limit.limit(asked.tier), asked.cost)
    }

    /// Asks those in memory in one step, and settles what all have said.
    fn settle(&self, asks: Asks, mut said: Decisions, exchange: &mut Exchange) -> Result<(), Error> {
        let refused = said.iter().flatten().any(|decision| !decision.admitted);
        let mut here: SmallVec<[Ask<'_>; 4]> = SmallVec::new();
        for asked in &asks {
            let limit = self.limit(asked.place);
            if let Some(memory) = limit.memory() {
                // Where another one has refused already, these are only looked at.
                let cost = if refused { 0 } else { asked.cost };
                here.push(Ask { memory, key: &asked.key, limit: limit.limit(asked.tier), cost });
            }
        }
        if !here.is_empty() {
            let mut decisions = SmallVec::new();
            take_all(&here, &mut decisions);
            let places = asks.iter().enumerate().filter(|(_, asked)| !self.is_remote(asked));
            for ((at, _), decision) in places.zip(decisions) {
                said[at] = Some(decision);
            }
        }
        drop(here);
        let refused = said.iter().flatten().any(|decision| !decision.admitted);
        for (asked, decision) in asks.iter().zip(&said) {
            if let Some(decision) = decision {
                self.tell(asked, decision, refused, exchange);
            }
        }
        if !refused {
            self.keep(asks, &said, exchange);
            return Ok(());
        }
        self.undo(&asks, &said);
        let mut refusing = asks.iter().zip(&said).filter(|(_, said)| said.is_some_and(|said| !said.admitted));
        if !refusing.any(|(asked, _)| self.limit(asked.place).is_visible()) {
            // What is left of the others says nothing of this refusal.
            exchange.quotas.clear();
        }
        Err(self.refusal(&asks, &said))
    }

    /// Notes what a limit has said for the headers and the metrics.
    fn tell(&self, asked: &Asked, decision: &Decision, refused: bool, exchange: &mut Exchange) {
        let limit = self.limit(asked.place);
        if decision.source == Source::Allow {
            return limit.said(exchange, Verdict::Unavailable);
        }
        let is_remote = self.is_remote(asked);
        // What a refused request had taken elsewhere goes back at once.
        let returned = if refused && decision.admitted && is_remote { asked.cost } else { 0 };
        match decision.admitted {
            true if !refused => limit.said(exchange, Verdict::Admitted),
            true => {}
            false => limit.said(exchange, Verdict::Refused),
        }
        if !limit.is_visible() {
            return;
        }
        let styles = self.plan.styles;
        let remaining = decision.remaining + returned;
        // Where all of it comes back at once nothing is left that would come back later.
        let whole = returned > 0 && remaining >= limit.limit(asked.tier).capacity();
        let reset_us = if whole { 0 } else { decision.reset_us };
        let resets_at = match styles.has(HeaderStyle::Legacy) {
            true => headers::unix_time_in(reset_us),
            false => 0,
        };
        exchange.quotas.push(Quota {
            place: asked.place,
            limit: limit.limit(asked.tier).limit,
            refused: !decision.admitted,
            remaining,
            reset: reset_us.div_ceil(1_000_000),
            resets_at,
            partition: if styles.has(HeaderStyle::Draft8) { limit.partition(&asked.key) } else { None },
        });
    }

    /// Remembers what may have to be given back.
    fn keep(&self, asks: Asks, said: &Decisions, exchange: &mut Exchange) {
        let later = self.phase == Phase::LimitBefore && self.plan.before < self.plan.limits.len();
        for (asked, decision) in asks.into_iter().zip(said) {
            let Some(decision) = decision else { continue };
            let counts_all = self.limit(asked.place).0.count == Count::All;
            if (counts_all && !later) || decision.source == Source::Allow || asked.cost == 0 {
                continue;
            }
            exchange.permits.push(Permit {
                place: asked.place,
                tier: asked.tier,
                key: asked.key,
                cost: asked.cost,
                at_us: decision.ticket.at_us,
                origin: decision.ticket.origin,
            });
        }
    }

    /// Gives back what those outside of this process have admitted of a request that is refused.
    fn undo(&self, asks: &Asks, said: &Decisions) {
        for (asked, decision) in asks.iter().zip(said) {
            let Some(decision) = decision.filter(|decision| decision.admitted) else { continue };
            if self.is_remote(asked) && decision.source != Source::Allow {
                let limit = self.limit(asked.place);
                let tier = limit.limit(asked.tier);
                limit.0.store.give_back(&asked.key, tier, asked.cost, decision.ticket);
            }
        }
    }

    /// Waiting helps only when it helps with every limit that refuses: the longest wait counts.
    fn refusal(&self, asks: &Asks, said: &Decisions) -> Error {
        let (mut wait, mut first, mut is_visible) = (Some(0), None, true);
        for (asked, decision) in asks.iter().zip(said) {
            let Some(decision) = decision.filter(|decision| !decision.admitted) else { continue };
            let limit = self.limit(asked.place);
            first = first.or(Some(limit));
            is_visible &= limit.is_visible();
            let reset = decision.possible.then(|| decision.reset_us.div_ceil(1_000_000).max(1));
            wait = wait.zip(reset).map(|(one, other)| one.max(other));
        }
        let mut error = Error::new(ErrorKind::RateLimited);
        if let Some(limit) = first {
            error =
                error.source(format_args!("the limit {} is spent", limit.0.name)).with_status(limit.0.status);
        }
        match wait.filter(|_| is_visible) {
            Some(wait) => error.header("retry-after", wait.to_string()),
            None => error,
        }
    }

    fn unavailable(
        &self,
        (asks, said): (&Asks, &Decisions),
        asked: &Asked,
        why: Unavailable,
        exchange: &Exchange,
    ) -> Error {
        self.undo(asks, said);
        let limit = self.limit(asked.place);
        limit.said(exchange, Verdict::Unavailable);
        Error::new(ErrorKind::StoreUnavailable)
            .source(format_args!("the limit {}: {}", limit.0.name, why.0))
            .header("retry-after", "1")
    }

    /// Goes on behind the first limit that has to be waited for.
    async fn wait(
        &self,
        asks: Asks,
        mut said: Decisions,
        (from, first): (usize, Taken<'_>),
        exchange: &mut Exchange,
    ) -> Result<Option<Response>, Error> {
        let mut next = Some(first);
        for at in from..asks.len() {
            if !self.is_remote(&asks[at]) {
                continue;
            }
            let decision = match next.take().unwrap_or_else(|| self.take(&asks[at])) {
                Taken::Ready(decision) => decision,
                Taken::Wait(decision) => decision.await,
            };
            match decision {
                Ok(decision) => said[at] = Some(decision),
                Err(why) => return Err(self.unavailable((&asks, &said), &asks[at], why, exchange)),
            }
            if said[at].is_some_and(|decision| !decision.admitted) {
                break;
            }
        }
        self.settle(asks, said, exchange).map(|()| None)
    }

    fn give_back(&self, exchange: &mut Exchange, which: impl Fn(&RateLimit) -> bool) {
        let places = self.places();
        let Exchange { core, permits, quotas, .. } = exchange;
        permits.retain(|permit| {
            if !places.contains(&usize::from(permit.place)) {
                return true;
            }
            let limit = self.limit(permit.place);
            if which(limit) {
                let ticket = Ticket { at_us: permit.at_us, origin: permit.origin };
                let tier = limit.limit(permit.tier);
                limit.0.store.give_back(&permit.key, tier, permit.cost, ticket);
                limit.0.metrics.said(*core, Verdict::GivenBack);
                if let Some(quota) = quotas.iter_mut().find(|quota| quota.place == permit.place) {
                    quota.remaining = (quota.remaining + permit.cost).min(tier.capacity());
                    if quota.remaining == tier.capacity() {
                        quota.reset = 0;
                        quota.resets_at = quota.resets_at.min(headers::unix_time_in(0));
                    }
                }
            }
            false
        });
    }
}

impl Policy for Limits {
    fn phase(&self) -> Phase {
        self.phase
    }

    fn kind(&self) -> &'static str {
        "rate_limit"
    }

    fn reads_identity(&self) -> bool {
        self.phase == Phase::LimitAfter
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let asks = match self.asks(exchange) {
            Ok(asks) => asks,
            Err(error) => {
                // It was refused unasked: what is left of other limits says nothing of that.
                exchange.quotas.clear();
                return Step::Fail(error);
            }
        };
        let mut said: Decisions = asks.iter().map(|_| None).collect();
        for (at, asked) in asks.iter().enumerate().filter(|(_, asked)| self.is_remote(asked)) {
            match self.take(asked) {
                Taken::Ready(Ok(decision)) => said[at] = Some(decision),
                Taken::Ready(Err(why)) => {
                    return Step::Fail(self.unavailable((&asks, &said), asked, why, exchange));
                }
                first @ Taken::Wait(_) => {
                    return Step::Wait(Box::pin(self.wait(asks, said, (at, first), exchange)));
                }
            }
            if said[at].is_some_and(|decision| !decision.admitted) {
                break;
            }
        }
        match self.settle(asks, said, exchange) {
            Ok(()) => Step::Continue,
            Err(error) => Step::Fail(error),
        }
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, answer: &'a mut Response) -> Step<'a> {
        let limited =
            matches!(exchange.record.error, Some(ErrorKind::RateLimited | ErrorKind::StoreUnavailable));
        let failed = answer.status.as_u16() >= 400;
        if !exchange.permits.is_empty() {
            self.give_back(exchange, |limit| {
                limited
                    || match limit.0.count {
                        Count::All => false,
                        Count::Failed => !failed,
                        Count::Successful => failed,
                    }
            });
        }
        // Whichever of the two phases comes last has them all; what the other one wrote is written anew.
        if !exchange.quotas.is_empty() {
            let of = |quota: &Quota| Some(&self.plan.limits.get(usize::from(quota.place))?.0.parts);
            headers::write(of, self.plan.styles, &exchange.quotas, &mut answer.headers);
        }
        Step::Continue
    }

    fn on_abandon(&self, exchange: &mut Exchange) {
        self.give_back(exchange, |limit| limit.0.count == Count::Successful);
    }
}

#[cfg(test)]
mod tests;
