//! How often services are asked, and with what time left.

use crate::config::{ATTEMPTS, RACED, RETRIED};
use crate::plan::{Route, SCENARIOS, Scenario};

use super::World;

/// Extra attempts that an upstream may make before any call has paid for them.
const RESERVE: f64 = 10.0;

/// How many bytes of a body are kept to be sent again.
const KEPT: usize = 16 * 1024;

/// What the network may add between an attempt and the moment in which its service has the head, in milliseconds: a
/// connection that is slow to open, and its bytes.
const ON_THE_WAY: u64 = 900;

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    for upstream in ["a", "b"] {
        budget(world, upstream, faults);
    }
    spent(world, faults);
    for (token, request) in &world.requests {
        let visits = world.visits(*token);
        let line = world.lines.get(token).map(|line| &line.value);
        let attempts = line.and_then(|line| line["attempts"].as_u64()).unwrap_or_default();
        if visits.len() as u64 > attempts {
            faults.push(format!(
                "request {token} reached services {} times in {attempts} attempts",
                visits.len()
            ));
        }
        // What found a closed connection goes out once more, and a hedge is one more.
        let closed = visits.iter().filter(|visit| visit.reused && visit.answered.is_none()).count();
        let hedge = usize::from(matches!(world.plan.scenario, Scenario::Hedged | Scenario::Raced));
        let sources = if request.route.is_aggregate() { 2 } else { 1 };
        let most = (ATTEMPTS + hedge) * sources + closed;
        if visits.len() > most {
            faults.push(format!("request {token} reached services {} times, at most {most}", visits.len()));
        }
        if visits.len() > 1 && request.body.as_ref().is_some_and(|body| !body.again) {
            faults.push(format!(
                "request {token} may be sent once and reached services {} times",
                visits.len()
            ));
        }
        once(world, *token, attempts, faults);
        // An endpoint that refuses a connection was sent nothing: the next endpoint is no further attempt.
        if world.plan.scenario == Scenario::Refusing && attempts > 1 {
            faults.push(format!("request {token} took {attempts} attempts"));
        }
        // It is known to be ill before the first request comes.
        if world.plan.scenario == Scenario::Hedged
            && visits.iter().any(|visit| visit.endpoint.to_string() == "10.0.0.1:80")
        {
            faults.push(format!("request {token} reached an endpoint that is known to be ill"));
        }
        if request.route.is_aggregate() {
            left(world, *token, faults);
        }
    }
}

/// What was not kept is not sent again, and nothing is where no service has failed.
fn once(world: &World<'_>, token: u64, attempts: u64, faults: &mut Vec<String>) {
    let Some(request) = world.requests.get(&token) else { return };
    let length = request.body.as_ref().map_or(0, |body| body.length);
    let read = world.visits(token).iter().position(|visit| visit.read);
    if length > KEPT && read.is_some_and(|at| at + 1 < world.visits(token).len()) {
        faults.push(format!("request {token} was sent again after {length} bytes of it were taken"));
    }
    let hedged = matches!(world.plan.scenario, Scenario::Hedged | Scenario::Raced);
    let closed = if request.route.is_aggregate() { 2 } else { 1 } * usize::from(world.met_closed(token));
    let sources = if request.route.is_aggregate() { 2 } else { 1 };
    if world.plan.scenario.is_well() && !hedged && attempts > (sources + closed) as u64 {
        faults.push(format!("request {token} took {attempts} attempts though no service failed"));
    }
}

/// Extra attempts stay within their budget: by what services saw, but for connections that had been closed before.
fn budget(world: &World<'_>, upstream: &str, faults: &mut Vec<String>) {
    let own = if upstream == "b" { "10.0.1." } else { "10.0." };
    let is_own =
        |address: &str| address.starts_with(own) && (upstream == "b" || !address.starts_with("10.0.1."));
    let (mut calls, mut extra) = (0, 0);
    let routes = world.requests.iter().map(|(token, request)| (*token, request.route));
    let probes = crate::world::PROBES.map(|token| (token, if token % 2 == 0 { Route::A } else { Route::B }));
    for (token, route) in routes.chain(probes) {
        let attempted = world.lines.get(&token).is_some_and(|line| line.value["attempts"] != 0);
        if !route.calls(upstream) || !attempted {
            continue;
        }
        calls += 1;
        let visits = world.visits(token).iter().filter(|visit| is_own(&visit.endpoint.ip().to_string()));
        let (all, free) = visits.fold((0_usize, 0), |(all, free), visit| {
            (all + 1, free + usize::from(visit.reused && visit.answered.is_none()))
        });
        extra += all.saturating_sub(1).saturating_sub(free);
    }
    let hedges = match world.plan.scenario {
        Scenario::Hedged => calls as f64 + RESERVE,
        Scenario::Raced => calls as f64 * RACED + RESERVE,
        _ => 0.0,
    };
    let most = if world.plan.scenario.is_well() { hedges } else { f64::from(calls) * RETRIED + RESERVE };
    if extra as f64 > most {
        faults.push(format!("{extra} extra attempts of {calls} calls at {upstream}, at most {most}"));
    }
}

/// Where every call fails, all of the budget is spent and no more.
fn spent(world: &World<'_>, faults: &mut Vec<String>) {
    let always = (world.plan.seed / SCENARIOS.len() as u64).is_multiple_of(3);
    if world.plan.scenario != Scenario::Retried || !always {
        return;
    }
    for (token, visits) in &world.visits {
        if visits.len() > 1 && visits[0].endpoint == visits[1].endpoint {
            faults.push(format!("request {token} was tried again at the endpoint that had failed"));
        }
    }
    let counts = world.requests.keys().filter_map(|token| world.lines.get(token)?.value["attempts"].as_u64());
    let (calls, attempts) = counts.fold((0, 0), |(calls, attempts), count| (calls + 1, attempts + count));
    let most = (calls as f64 * RETRIED + RESERVE).min(calls as f64 * (ATTEMPTS - 1) as f64);
    let extra = (attempts - calls) as f64;
    if extra > most || extra < most - 1.0 {
        faults
            .push(format!("{extra} extra attempts of {calls} calls that all failed, {most} are to be made"));
    }
}

/// A source gets what is left of its time, for each attempt anew.
fn left(world: &World<'_>, token: u64, faults: &mut Vec<String>) {
    let visits = world.visits(token);
    for visit in visits {
        let of_source = visits.iter().filter(|other| {
            (other.endpoint.ip().to_string().starts_with("10.0.1."))
                == visit.endpoint.ip().to_string().starts_with("10.0.1.")
        });
        let (Some(left), Some(first)) = (visit.left, of_source.map(|other| other.at).min()) else {
            faults.push(format!("request {token} reached a source without the time that is left"));
            continue;
        };
        let since = visit.at.saturating_sub(first).as_millis() as u64;
        if left + since > crate::config::SOURCE + ON_THE_WAY {
            faults.push(format!("a source of request {token} was given {left} ms, after {since} ms"));
        }
        let sent = world.seen.sent.get(&token).copied().unwrap_or_default();
        let waited = visit.at.saturating_sub(sent).as_millis() as u64;
        if left + waited + 1 < crate::config::SOURCE {
            faults.push(format!("a source of request {token} was given only {left} ms, after {waited} ms"));
        }
    }
}
