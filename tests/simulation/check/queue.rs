//! Who waits for a place gets it in turn, or is refused in time.

use std::time::Duration;

use crate::config::{PLACES, QUEUED, UNREAD};
use crate::plan::Scenario;
use crate::seen::Visit;

use super::World;

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    if world.plan.scenario == Scenario::Unread {
        together(world, UNREAD, faults);
    }
    if world.plan.scenario != Scenario::Queued {
        return;
    }
    let mut admitted: Vec<(Duration, Duration, u64)> = world
        .requests
        .keys()
        .filter_map(|token| Some((*world.seen.sent.get(token)?, world.visits(*token).first()?.at, *token)))
        .collect();
    admitted.sort_unstable();
    for pair in admitted.windows(2) {
        let ((first, first_in, one), (next, next_in, other)) = (pair[0], pair[1]);
        if first < next && first_in > next_in {
            faults.push(format!("request {other} came after {one} and was let in before it"));
        }
    }
    for (sent, visited, token) in &admitted {
        if visited.saturating_sub(*sent) > QUEUED {
            faults.push(format!("request {token} waited {:?} for a place", *visited - *sent));
        }
    }
    together(world, PLACES, faults);
    refused(world, faults);
}

/// No more than `most` calls are at a service at one time, each until the service has sent the end of its answer.
fn together(world: &World<'_>, most: u32, faults: &mut Vec<String>) {
    let visits = || world.seen.visits.iter().filter(|visit| visit.endpoint.ip().to_string() == "10.0.1.1");
    for one in visits() {
        // A service learns late that a call was given up.
        let is_over = |visit: &Visit| {
            let over = world.lines.get(&visit.token).map(|line| line.at);
            [visit.ended, over].into_iter().flatten().any(|end| end <= one.at)
        };
        let under_way = visits().filter(|visit| visit.at <= one.at && !is_over(visit)).count();
        if under_way > most as usize {
            faults.push(format!("{under_way} calls were at the service when it got request {}", one.token));
        }
    }
}

/// What is refused found the queue full, or waited for all of its time.
fn refused(world: &World<'_>, faults: &mut Vec<String>) {
    for answer in world.seen.answers.iter().filter(|answer| answer.status == 503) {
        let waited = answer.took;
        let sent = world.seen.sent.get(&answer.token).copied().unwrap_or_default();
        // Those who wait at that moment: sent before, and neither let in nor answered until then.
        let waiting = world.seen.sent.iter().filter(|(token, at)| {
            let let_in = world.visits(**token).first().map(|visit| visit.at);
            let over = world.lines.get(*token).map(|line| line.at);
            **at <= sent && let_in.is_none_or(|at| at >= sent) && over.is_none_or(|at| at >= sent)
        });
        let full = waited < Duration::from_millis(1) && waiting.count() > crate::config::WAITING as usize;
        if !full && waited != QUEUED {
            faults.push(format!("request {} was refused after {waited:?}", answer.token));
        }
    }
}
