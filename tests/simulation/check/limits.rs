//! A limit never lets more through, and refuses nothing that fits.

use std::time::Duration;

use crate::config::{LIMIT, MANY, MANY_BURST, MANY_WINDOW, WINDOW};
use crate::plan::{Route, Scenario};

use super::{SLACK, World};

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    few(world, faults);
    if world.plan.scenario != Scenario::Limited {
        return;
    }
    for route in [Route::Sliding, Route::Fixed, Route::Bucket] {
        let decided = decided(world, route);
        let why = match route {
            Route::Sliding => sliding(&decided),
            Route::Fixed => fixed(&decided),
            _ => bucket(&decided),
        };
        if let Err(why) = why {
            faults.push(format!("{route:?}: {why}"));
        }
    }
}

/// The requests of a route in the order of time, as (microseconds, whether it was admitted). Where several come in one
/// moment, those that were admitted came first: they cost the same, so that any order says the same.
fn decided(world: &World<'_>, route: Route) -> Vec<(u64, bool)> {
    let of_route = world.requests.iter().filter(|(_, request)| request.route == route);
    let mut decided: Vec<(u64, bool)> = of_route
        .filter_map(|(token, _)| {
            let sent = world.seen.sent.get(token)?;
            let answer = world.answers.get(token)?;
            Some((sent.as_micros() as u64, answer.status != 429))
        })
        .collect();
    decided.sort_unstable_by_key(|(at, admitted)| (*at, !*admitted));
    decided
}

/// No interval as long as the window holds more than the limit; what is refused finds the limit spent in a window and
/// the thirty-second part of one.
fn sliding(decided: &[(u64, bool)]) -> Result<(), String> {
    let window = MANY_WINDOW.as_micros() as u64;
    let mut admitted: Vec<u64> = Vec::new();
    for (at, is_admitted) in decided {
        let within = |length: u64| admitted.iter().filter(|earlier| **earlier + length > *at).count();
        if *is_admitted {
            if within(window) >= MANY {
                return Err(format!("{} in a window of a limit of {MANY}, at {at} us", within(window) + 1));
            }
            admitted.push(*at);
        } else if within(window + window / 32) < MANY {
            return Err(format!("refused at {at} us though the limit was not spent"));
        }
    }
    Ok(())
}

/// A window begins with the first hit after the last one, and holds no more than the limit.
fn fixed(decided: &[(u64, bool)]) -> Result<(), String> {
    let window = MANY_WINDOW.as_micros() as u64;
    let (mut begin, mut spent) = (0, 0);
    for (at, is_admitted) in decided {
        if spent == 0 || *at >= begin + window {
            (begin, spent) = (*at, 0);
        }
        spent += usize::from(*is_admitted);
        if spent > MANY {
            return Err(format!("{spent} in a window of a limit of {MANY}, at {at} us"));
        }
        if !is_admitted && spent < MANY {
            return Err(format!("refused at {at} us though {spent} of {MANY} were spent"));
        }
    }
    Ok(())
}

/// The burst, and the limit for each window after it, to the last fraction.
fn bucket(decided: &[(u64, bool)]) -> Result<(), String> {
    // In permits times microseconds of the window.
    let one = MANY_WINDOW.as_micros() as u64;
    let (mut debt, mut last) = (0_u64, 0_u64);
    for (at, is_admitted) in decided {
        debt = debt.saturating_sub((at - last) * MANY as u64);
        last = *at;
        let fits = debt + one <= MANY_BURST as u64 * one;
        if *is_admitted && !fits {
            return Err(format!("admitted at {at} us though the bucket was empty"));
        }
        if !is_admitted && fits {
            return Err(format!("refused at {at} us though the bucket had a permit"));
        }
        debt += if *is_admitted { one } else { 0 };
    }
    Ok(())
}

/// The few requests of a limit where services and connections are slow: each was admitted between the moment in which
/// it was sent and the one in which its service had it.
fn few(world: &World<'_>, faults: &mut Vec<String>) {
    let limited = world.requests.iter().filter(|(_, request)| request.route == Route::Limited);
    let mut admitted: Vec<(Duration, Duration)> = limited
        .filter_map(|(token, _)| {
            let visit = world.visits(*token).first()?;
            Some((*world.seen.sent.get(token)?, visit.at))
        })
        .collect();
    admitted.sort_unstable();
    let slack =
        Duration::from_millis(if world.plan.scenario == Scenario::Faulty { 4 * SLACK } else { SLACK });
    for group in admitted.windows(LIMIT + 1) {
        let last = group.iter().map(|(_, visited)| *visited).max().unwrap_or_default();
        let first = group.iter().map(|(sent, _)| *sent).min().unwrap_or_default();
        if last.saturating_sub(first) + slack < WINDOW {
            faults.push(format!("{} requests of a limit of {LIMIT} in {:?}", LIMIT + 1, last - first));
            return;
        }
    }
}
