//! The policy `authorize`: conditions that must all hold.

mod read;

use crate::exchange::{Error, ErrorKind, Exchange};
use crate::policy::{Phase, Policy, Step};

pub use read::KIND;

/// Something that holds of an exchange or does not.
pub trait Condition: Send + Sync {
    /// Whether it holds.
    ///
    /// # Errors
    /// It cannot be told (an absent claim, a wrong type): the text is for the log.
    fn holds(&self, exchange: &Exchange) -> Result<bool, String>;

    /// Whether it depends on who the client is.
    fn reads_identity(&self) -> bool {
        false
    }
}

/// One condition, and what the client is told where it does not hold.
pub struct Rule {
    /// What must hold.
    pub require: Box<dyn Condition>,
    /// The public reason.
    pub reason: Option<String>,
}

/// Refuses with 403 unless every rule holds; the first that does not gives the reason. A rule that cannot be told
/// denies like one that does not hold: an error never opens.
pub struct Authorize {
    rules: Vec<Rule>,
}

impl Authorize {
    /// A policy of these rules, asked in this order.
    pub fn new(rules: Vec<Rule>) -> Authorize {
        Authorize { rules }
    }
}

impl Rule {
    fn refuse(&self, reason: &'static str) -> Error {
        let error = Error::new(ErrorKind::Forbidden).reason(reason);
        match &self.reason {
            Some(text) => error.detail(text.clone()),
            None => error,
        }
    }
}

impl Policy for Authorize {
    fn phase(&self) -> Phase {
        Phase::Authorize
    }

    fn kind(&self) -> &'static str {
        "authorize"
    }

    fn reads_identity(&self) -> bool {
        self.rules.iter().any(|rule| rule.require.reads_identity())
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        for rule in &self.rules {
            match rule.require.holds(exchange) {
                Ok(true) => {}
                Ok(false) => return Step::Fail(rule.refuse("condition")),
                Err(text) => return Step::Fail(rule.refuse("condition_error").source(text)),
            }
        }
        Step::Continue
    }
}

#[cfg(test)]
mod tests;
