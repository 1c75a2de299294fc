//! One limit: whether it counts a request, whose budget it spends, and how much of it.
//!
//! A limit's budgets belong to its name: two routes that name one limit share them, and a limit written in place belongs
//! to the place, whose path is its name then.

use std::any::Any;
use std::fmt::Display;
use std::sync::Arc;

use http::StatusCode;

use super::headers::{FieldParts, Styles};
use super::key::{ClientIp, KeyBytes};
use super::partition::{Partition, Partitions, partition};
use crate::config::Span;
use crate::exchange::{Error, ErrorKind, Exchange, Name};
use crate::expression::{EvalError, Expression};
use crate::policy::Phase;
use crate::store::memory::Memory;
use crate::store::{Limit, Store};
use crate::telemetry::metrics::{LimitMetrics, Verdict};

/// What a key begins with, so that no text of one kind can be read as another.
const BY_KEY: u8 = 0;
const BY_ADDRESS: u8 = 1;
const SHARED: u8 = 2;

/// The largest that a limit and a burst can be.
const MOST_COST: f64 = u32::MAX as f64;

/// Which requests count.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Count {
    /// All.
    #[default]
    All,
    /// Those that are answered with a status of 400 or more, or not at all because their client left.
    Failed,
    /// Those that are answered with a status below 400.
    Successful,
}

/// What an absent key means.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Missing {
    /// The client's address is counted.
    #[default]
    ClientIp,
    /// All such requests are counted as one.
    Shared,
    /// The request is refused.
    Deny,
    /// The request is not limited, and the metric and the log line say so.
    Skip,
}

/// What a [`RateLimit`] is made of.
pub struct Settings {
    /// The name its budgets are kept under: of the limit in `rate_limits`, or of the place where it is written (a
    /// text that no name can be).
    pub name: Name,
    /// How the client is told; see [`FieldParts`].
    pub parts: FieldParts,
    /// Which header fields it asks for; an empty set where the client learns nothing of it. `None` where nothing is
    /// written: draft 8, where that goes with what the other limits of the route ask for, else theirs.
    pub styles: Option<Styles>,
    /// Where these are written, for those who find that they do not go with another limit's.
    pub told_at: Option<Span>,
    /// Limits for those whose condition holds, in the order they are tried, and the one for all others.
    pub tiers: Vec<(Option<Expression>, Limit)>,
    /// What a request takes; 1 where nothing is written.
    pub cost: Option<Expression>,
    /// Requests that are not limited.
    pub skip: Option<Expression>,
    /// Which requests count.
    pub count: Count,
    /// Whose budget is spent; the client's address where nothing is written.
    pub key: Option<Expression>,
    /// How an address is counted.
    pub address: ClientIp,
    /// What an absent key means.
    pub missing: Missing,
    /// The status of a refusal.
    pub status: StatusCode,
    /// Where the budgets live.
    pub store: Arc<dyn Store>,
    /// Its numbers.
    pub metrics: Arc<LimitMetrics>,
    /// Before or behind authentication.
    pub phase: Phase,
}

/// A limit, ready to be asked.
pub struct RateLimit(pub(super) Settings, Option<Arc<Memory>>, Partitions);

/// One question to a limit.
pub(super) struct Asked {
    /// Which of the rule's limits.
    pub(super) place: u16,
    pub(super) tier: u16,
    pub(super) key: KeyBytes,
    pub(super) cost: u64,
}

impl RateLimit {
    /// A limit from its settings, which name one tier at least.
    pub fn new(settings: Settings) -> RateLimit {
        let store = Arc::clone(&settings.store) as Arc<dyn Any + Send + Sync>;
        RateLimit(settings, store.downcast().ok(), Partitions::default())
    }

    /// Whether the client learns of it.
    pub(super) fn is_visible(&self) -> bool {
        !self.0.styles.is_some_and(Styles::is_empty)
    }

    /// The budgets, where they are this process's own.
    pub(super) fn memory(&self) -> Option<&Memory> {
        self.1.as_deref()
    }

    /// The limit of a tier.
    pub(super) fn limit(&self, tier: u16) -> &Limit {
        let tiers = &self.0.tiers;
        // A limit has one tier at least; the last one stands for all that is left.
        &tiers[usize::from(tier).min(tiers.len() - 1)].1
    }

    /// Counts a verdict.
    pub(super) fn said(&self, exchange: &Exchange, verdict: Verdict) {
        self.0.metrics.said(exchange.core, verdict);
    }

    /// What the limit asks of this request; `None` where it does not count it.
    ///
    /// # Errors
    /// The key is absent, and `missing` says to refuse; or the cost is none that any limit admits.
    pub(super) fn ask(&self, place: u16, exchange: &mut Exchange) -> Result<Option<Asked>, Error> {
        let settings = &self.0;
        if let Some(skip) = &settings.skip {
            match skip.bool(&*exchange) {
                Ok(true) => {
                    self.said(exchange, Verdict::Skipped);
                    return Ok(None);
                }
                Ok(false) => {}
                Err(error) => note(exchange, &error),
            }
        }
        let Some(key) = self.key(exchange)? else { return Ok(None) };
        let cost = self.cost(exchange)?;
        Ok(Some(Asked { place, tier: self.tier(exchange), key, cost }))
    }

    fn tier(&self, exchange: &mut Exchange) -> u16 {
        let tiers = &self.0.tiers;
        for (tier, (when, _)) in tiers.iter().enumerate() {
            match when.as_ref().map(|when| when.bool(&*exchange)) {
                None | Some(Ok(true)) => return u16::try_from(tier).unwrap_or(u16::MAX),
                Some(Ok(false)) => {}
                Some(Err(error)) => note(exchange, &error),
            }
        }
        u16::MAX
    }

    /// What a request takes. A cost that cannot be evaluated counts as 1: the header that it is read from may be absent.
    ///
    /// # Errors
    /// The cost is a number that no limit admits: below zero, infinite, not a number, more than any limit can be, or too
    /// large to calculate with.
    fn cost(&self, exchange: &mut Exchange) -> Result<u64, Error> {
        let settings = &self.0;
        let Some(cost) = &settings.cost else { return Ok(1) };
        let number = match cost.number(&*exchange) {
            Ok(Some(number)) => number,
            Ok(None) => {
                note(exchange, &"the cost is no number: it counts as 1");
                return Ok(1);
            }
            Err(error) if error.is_incalculable() => return Err(self.too_dear(exchange, &error)),
            Err(error) => {
                note(exchange, &error);
                return Ok(1);
            }
        };
        if (0.0..=MOST_COST).contains(&number) {
            return Ok(number.ceil() as u64);
        }
        Err(self.too_dear(exchange, &format_args!("a cost of {number}")))
    }

    fn too_dear(&self, exchange: &Exchange, why: &dyn Display) -> Error {
        let settings = &self.0;
        self.said(exchange, Verdict::Refused);
        Error::new(ErrorKind::RateLimited)
            .reason("cost")
            .detail("No limit admits a request of this cost.")
            .source(format_args!("no limit admits what {} counts: {why}", settings.name))
            .with_status(settings.status)
    }

    fn key(&self, exchange: &mut Exchange) -> Result<Option<KeyBytes>, Error> {
        let settings = &self.0;
        let mut key = KeyBytes::new();
        let Some(expression) = &settings.key else {
            key.push(BY_ADDRESS);
            settings.address.write(exchange.client.ip, &mut key);
            return Ok(Some(key));
        };
        let absent = match expression.text(&*exchange) {
            Ok(text) if !text.is_empty() => {
                key.push(BY_KEY);
                key.extend_from_slice(text.as_bytes());
                return Ok(Some(key));
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        self.absent(exchange, key, absent)
    }

    /// What an absent key means, and why it is absent where that is known. Whoever is not counted is never let through
    /// in silence.
    fn absent(
        &self,
        exchange: &mut Exchange,
        mut key: KeyBytes,
        why: Option<EvalError>,
    ) -> Result<Option<KeyBytes>, Error> {
        let settings = &self.0;
        match (settings.missing, why) {
            (Missing::Skip, Some(why)) => {
                note(exchange, &format_args!("the limit {} does not count this: {why}", settings.name));
            }
            (Missing::Skip, None) => {
                note(
                    exchange,
                    &format_args!("the limit {} does not count this: its key is empty", settings.name),
                );
            }
            (_, Some(why)) => note(exchange, &why),
            (_, None) => {}
        }
        match settings.missing {
            Missing::ClientIp => {
                key.push(BY_ADDRESS);
                settings.address.write(exchange.client.ip, &mut key);
            }
            Missing::Shared => key.push(SHARED),
            Missing::Skip => {
                self.said(exchange, Verdict::Missing);
                return Ok(None);
            }
            Missing::Deny => {
                self.said(exchange, Verdict::Missing);
                return Err(Error::new(ErrorKind::RateLimited)
                    .reason("missing")
                    .detail("The request lacks what its limit is counted by.")
                    .source(format_args!("the key of the limit {} is absent", settings.name))
                    .with_status(settings.status));
            }
        }
        Ok(Some(key))
    }

    /// The text that distinguishes the budgets of this limit.
    pub(super) fn partition(&self, key: &[u8]) -> Option<Partition> {
        self.2.of(key, || {
            let (kind, bytes) = key.split_first()?;
            match *kind {
                BY_KEY => partition(bytes),
                BY_ADDRESS => partition(&self.0.address.text(bytes)?),
                _ => None,
            }
        })
    }
}

/// The first thing that went wrong on the way stands in the log line.
fn note(exchange: &mut Exchange, what: &impl ToString) {
    if exchange.record.note.is_none() {
        exchange.record.note = Some(what.to_string().into());
    }
}
