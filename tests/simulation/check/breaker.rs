//! The breaker followed step by step, where one call comes after the other.

use std::time::Duration;

use crate::config::{OPEN, PROBING, ROW};
use crate::plan::Scenario;

use super::World;

enum State {
    /// So many calls in a row have failed.
    Closed(u32),
    Open(Duration),
    /// So many probes have succeeded.
    HalfOpen(usize),
}

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    if world.plan.scenario != Scenario::Tripped {
        return;
    }
    let mut sent: Vec<(Duration, u64)> =
        world.requests.keys().filter_map(|token| Some((*world.seen.sent.get(token)?, *token))).collect();
    sent.sort_unstable();
    let mut state = State::Closed(0);
    for (at, token) in sent {
        if let State::Open(until) = state {
            if at < until {
                let refused = world.answers.get(&token).is_none_or(|answer| answer.status == 503);
                if !refused || !world.visits(token).is_empty() {
                    faults.push(format!("call {token} passed a breaker that is open until {until:?}"));
                    return;
                }
                continue;
            }
            state = State::HalfOpen(0);
        }
        let [visit] = world.visits(token) else {
            let open = matches!(state, State::HalfOpen(_));
            faults.push(format!("call {token} did not pass a breaker that was no longer open ({open})"));
            return;
        };
        // One that its client left before the answer says nothing.
        let left = world.requests[&token].leaves.is_some() && !world.answers.contains_key(&token);
        let ended = if visit.deed == "breaks" { visit.ended } else { visit.answered };
        let Some(answered) = ended.filter(|_| !left) else { continue };
        let failed = ["503", "breaks"].contains(&visit.deed);
        state = match state {
            State::Closed(row) if failed && row + 1 < ROW => State::Closed(row + 1),
            _ if failed => State::Open(answered + OPEN),
            State::HalfOpen(good) if good + 1 < PROBING => State::HalfOpen(good + 1),
            _ => State::Closed(0),
        };
    }
}
