//! A request that waits for Redis, no longer than it may, and that loses no permit however it ends.

use std::sync::atomic::Ordering::Relaxed;

use crate::runtime::time::timeout;
use tokio::sync::oneshot;

use super::budgets::{Budgets, Outcome};
use super::key::Key;
use super::lease::Answer;
use crate::store::{Limit, Taken};

/// One waiting request.
struct Waiting<'a> {
    budgets: &'a Budgets,
    key: Key,
    limit: Limit,
    cost: u64,
    answer: oneshot::Receiver<Answer>,
    heard: bool,
}

impl Budgets {
    /// A decision that has to be waited for.
    pub(super) fn wait(
        &self,
        key: Key,
        limit: &Limit,
        cost: u64,
        answer: oneshot::Receiver<Answer>,
    ) -> Taken<'_> {
        let waiting = Waiting { budgets: self, key, limit: *limit, cost, answer, heard: false };
        Taken::Wait(Box::pin(waiting.decision()))
    }
}

impl Waiting<'_> {
    /// The decision of Redis, or that of the fallback.
    async fn decision(mut self) -> Outcome {
        let remote = &self.budgets.remote;
        let answer = match timeout(remote.timeout(), &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(String::from("Redis did not answer")),
            Err(_) => {
                // From here on no answer can come, but one may have come at the last moment.
                self.answer.close();
                self.answer.try_recv().unwrap_or_else(|_| {
                    remote.timed_out();
                    Err(String::from("Redis did not answer in time"))
                })
            }
        };
        self.heard = true;
        match answer {
            Ok(decision) => {
                self.budgets.counts.redis.fetch_add(1, Relaxed);
                Ok(decision)
            }
            Err(why) => self.budgets.fall_back(self.key, &self.limit, self.cost, &why),
        }
    }
}

impl Drop for Waiting<'_> {
    /// A client that left while its answer was on the way gives back what it got.
    fn drop(&mut self) {
        if self.heard {
            return;
        }
        self.answer.close();
        if let Ok(Ok(decision)) = self.answer.try_recv()
            && decision.admitted
        {
            self.budgets.back(self.key, &self.limit, self.cost, decision.ticket);
        }
    }
}
