//! A rule's policies: run inward in the order of their phases, outward in reverse.

use std::sync::Arc;

use super::{Phase, Policy, Step};
use crate::exchange::problem::problem;
use crate::exchange::{Error, Exchange, Response};

/// The policies of one rule, in the order they run.
#[derive(Clone, Default)]
pub struct Chain {
    policies: Box<[Arc<dyn Policy>]>,
}

impl Chain {
    /// Puts the policies in the order of their phases; those of one phase keep the order they are given in.
    pub fn new(mut policies: Vec<Arc<dyn Policy>>) -> Chain {
        policies.sort_by_key(|policy| policy.phase());
        Chain { policies: policies.into() }
    }

    /// The policies, in the order they run.
    pub fn policies(&self) -> impl Iterator<Item = &dyn Policy> {
        self.policies.iter().map(|policy| &**policy)
    }

    /// Takes the policies of a phase out.
    pub fn take(&mut self, phase: Phase) -> Vec<Arc<dyn Policy>> {
        let all = std::mem::take(&mut self.policies).into_vec();
        let (taken, left) = all.into_iter().partition(|policy| policy.phase() == phase);
        self.policies = Vec::into_boxed_slice(left);
        taken
    }

    /// Whether a policy stands in this phase.
    pub fn has(&self, phase: Phase) -> bool {
        self.policies.iter().any(|policy| policy.phase() == phase)
    }

    /// How many policies stand in this phase or before it.
    pub fn through(&self, phase: Phase) -> usize {
        self.policies.partition_point(|policy| policy.phase() <= phase)
    }

    /// Runs the policies on the request until one answers or refuses; `None` where all let it pass. The number tells
    /// how many were entered, the one that ended it among them. Nothing is allocated, and nothing waits, unless a
    /// policy itself waits.
    pub async fn inward(&self, exchange: &mut Exchange) -> (usize, Result<Option<Response>, Error>) {
        for (index, policy) in self.policies.iter().enumerate() {
            let outcome = match policy.on_request(exchange) {
                Step::Continue => continue,
                Step::Respond(answer) => Ok(Some(answer)),
                Step::Fail(error) => Err(error),
                Step::Wait(outcome) => match outcome.await {
                    Ok(None) => continue,
                    ended => ended,
                },
            };
            return (index + 1, outcome);
        }
        (self.policies.len(), Ok(None))
    }

    /// Whether a policy wants the action to be run once more, as [`Policy::asks_anew`] says.
    pub fn asks_anew(&self, exchange: &mut Exchange, answer: &Response) -> bool {
        self.policies.iter().any(|policy| policy.asks_anew(exchange, answer))
    }

    /// Tells the policies that the client has left before there was an answer.
    pub fn abandoned(&self, exchange: &mut Exchange) {
        self.policies.iter().for_each(|policy| policy.on_abandon(exchange));
    }

    /// Runs the first `entered` policies on the answer, the last one first. One that fails turns the answer into its
    /// error, which is noted in the record; those before it see that answer.
    pub async fn outward(&self, entered: usize, exchange: &mut Exchange, answer: &mut Response) {
        let entered = entered.min(self.policies.len());
        for policy in self.policies[..entered].iter().rev() {
            let outcome = match policy.on_response(exchange, answer) {
                Step::Continue => continue,
                Step::Respond(other) => Ok(Some(other)),
                Step::Fail(error) => Err(error),
                Step::Wait(outcome) => outcome.await,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(other)) => *answer = other,
                Err(error) => {
                    exchange.record.note(&error);
                    *answer = problem(&error, exchange.id.as_str());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
