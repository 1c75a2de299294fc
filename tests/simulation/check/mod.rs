//! What must hold in every world, whatever its seed.
//!
//! This file: answers and records. `attempts.rs`: how often services are asked. `limits.rs`: rate limits. `breaker.rs`:
//! the breaker, followed step by step. `queue.rs`: who waits for a place. `waits.rs`: how long anything may take.
//! `composed.rs`: what an aggregate says. `tunnels.rs`: what passes behind a 101, and how that ends.

mod attempts;
mod breaker;
mod composed;
mod limits;
mod queue;
mod tunnels;
mod waits;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::config::SOURCE;
use crate::plan::{Parts, Plan, Request, Route, Scenario};
use crate::seen::{Answer, Line, Seen, Visit};
use crate::service::is_body;
use crate::world::PROBES;

/// What the network may add to a wait, in milliseconds.
pub(crate) const SLACK: u64 = 700;

/// How long the end of a connection may be on its way, in milliseconds.
const ENDS: u64 = 100;

/// How long a head may take until the gateway has it, in milliseconds.
const REACHES: u64 = 250;

/// What the network may add to the time of one attempt, in milliseconds.
const TRANSFER: f64 = 250.0;

/// A world that has come to its end, by the numbers of its requests.
struct World<'a> {
    plan: &'a Plan,
    seen: &'a Seen,
    requests: HashMap<u64, &'a Request>,
    visits: HashMap<u64, Vec<&'a Visit>>,
    answers: HashMap<u64, &'a Answer>,
    /// The first record of each request.
    lines: HashMap<u64, &'a Line>,
}

impl<'a> World<'a> {
    fn visits(&self, token: u64) -> &[&'a Visit] {
        self.visits.get(&token).map_or(&[], Vec::as_slice)
    }

    /// Whether a service closed a connection just before a request came or while it was under way: it may have met that.
    fn met_closed(&self, token: u64) -> bool {
        let (Some(sent), Some(line)) = (self.seen.sent.get(&token), self.lines.get(&token)) else {
            return false;
        };
        let since = sent.saturating_sub(Duration::from_millis(ENDS));
        self.seen.closed.iter().any(|(_, at)| (since..=line.at).contains(at))
    }
}

/// The number of the request that a record is of.
fn token_of(line: &Value) -> Option<u64> {
    line["path"].as_str().and_then(|path| path.rsplit('/').next()).and_then(|last| last.parse().ok())
}

/// Everything that does not hold.
pub(crate) fn faults(plan: &Plan, seen: &Seen) -> Vec<String> {
    let mut faults = seen.faults.clone();
    let mut visits: HashMap<u64, Vec<&Visit>> = HashMap::new();
    for visit in &seen.visits {
        visits.entry(visit.token).or_default().push(visit);
    }
    let mut lines = HashMap::new();
    for line in &seen.lines {
        if let Some(token) = token_of(&line.value) {
            lines.entry(token).or_insert(line);
        }
    }
    let world = World {
        plan,
        seen,
        requests: plan
            .clients
            .iter()
            .flat_map(|client| &client.requests)
            .map(|one| (one.token, one))
            .collect(),
        visits,
        answers: seen.answers.iter().map(|answer| (answer.token, answer)).collect(),
        lines,
    };
    if world.answers.len() < seen.answers.len() {
        faults.push("a request got two answers".to_owned());
    }
    for answer in &seen.answers {
        let visits = world.visits(answer.token);
        match world.requests.get(&answer.token) {
            Some(request) => {
                one_answer(request, answer, visits, &mut faults);
                if let Err(why) = expected(&world, request, answer, visits) {
                    faults.push(format!("request {}: {why}", answer.token));
                }
            }
            None => {
                let whole = answer.body.as_ref().is_ok_and(|body| is_body(body, answer.token));
                if answer.status != 200 || answer.bears != Some(answer.token) || !whole {
                    faults
                        .push(format!("all is well again, but probe {} got {}", answer.token, answer.status));
                }
            }
        }
    }
    unanswered(&world, &mut faults);
    if plan.drains.is_none() {
        for probe in PROBES.filter(|probe| !world.answers.contains_key(probe)) {
            faults.push(format!("probe {probe} got no answer"));
        }
    }
    records(&world, &mut faults);
    attempts::check(&world, &mut faults);
    limits::check(&world, &mut faults);
    waits::check(&world, &mut faults);
    composed::check(&world, &mut faults);
    queue::check(&world, &mut faults);
    breaker::check(&world, &mut faults);
    tunnels::check(&world, &mut faults);
    faults
}

/// An honest client gets an answer where services do what they should. The first of a connection is asked for: behind
/// it the gateway may end a connection, and others of it may have done worse than the one that fails.
fn unanswered(world: &World<'_>, faults: &mut Vec<String>) {
    let clients = &world.plan.clients;
    for client in clients.iter().filter(|client| client.requests.iter().all(Request::is_honest)) {
        for (index, request) in client.requests.iter().enumerate() {
            let Some(sent) = world.seen.sent.get(&request.token) else { continue };
            // A process that drains finishes what it was asked for, and takes no connection on which nothing was.
            let before = world.plan.drains.is_some_and(|at| sent.as_millis() as u64 + REACHES <= at);
            let first = index == 0 && world.plan.drains.is_none();
            let breaks = |visit: &&Visit| visit.deed == "breaks";
            let broken = request.body.is_some() || world.visits(request.token).iter().any(breaks);
            if !(before || first) || !world.plan.scenario.is_well() && broken {
                continue;
            }
            if let Some((token, why)) = world.seen.failed.iter().find(|(token, _)| *token == request.token) {
                faults.push(format!("honest request {token} got no answer: {why}"));
            }
        }
    }
}

/// What an answer must be like, no matter who sent it.
fn one_answer(request: &Request, answer: &Answer, visits: &[&Visit], faults: &mut Vec<String>) {
    let token = request.token;
    if let Some(other) = answer.bears
        && other != token
    {
        faults.push(format!("request {token} got the answer of {other}"));
    }
    if answer.status == 200
        && !request.route.is_aggregate()
        && let Ok(body) = &answer.body
        && !is_body(body, token)
    {
        faults.push(format!("the answer of request {token} came with other bytes"));
    }
    if answer.status == 200
        && !request.route.is_aggregate()
        && !visits.iter().any(|visit| visit.answered.is_some())
    {
        faults.push(format!("request {token} got an answer that no service gave"));
    }
}

/// What an honest client must get where services do what they should.
fn expected(world: &World<'_>, request: &Request, answer: &Answer, visits: &[&Visit]) -> Result<(), String> {
    let scenario = world.plan.scenario;
    if !scenario.is_well() || !request.is_honest() {
        return Ok(());
    }
    // Neither side of these reads while it sends, which takes more room than some connections have.
    if request.body.is_some() && visits.iter().any(|visit| visit.deed == "early") {
        return Ok(());
    }
    let once = request.body.as_ref().is_some_and(|body| !body.again || body.length > 0);
    let wanted: &[u16] = match (scenario, request.route) {
        _ if request.tunnel.as_ref().is_some_and(|tunnel| tunnel.parts == Parts::Refused) => &[404],
        _ if request.tunnel.is_some() => &[101],
        // What may not be sent twice met a connection that its service had just closed.
        (Scenario::Innocent, Route::A | Route::B | Route::Limited)
            if once && world.met_closed(request.token) =>
        {
            &[200, 429, 502]
        }
        // Streams of one slow connection hold each other up while they upload.
        (_, Route::Impatient) => &[200, 408, 504],
        (_, Route::Limited | Route::Sliding | Route::Fixed | Route::Bucket) => &[200, 429],
        (Scenario::Unread | Scenario::Queued, _) => &[200, 503],
        _ => &[200],
    };
    if !wanted.contains(&answer.status) {
        let deeds: Vec<_> = visits.iter().map(|visit| (visit.endpoint, visit.deed)).collect();
        return Err(format!("{} though all services do what they should {deeds:?}", answer.status));
    }
    // A service that gives up a reader that is too slow: the streams of a connection share its room.
    let shared = world
        .plan
        .clients
        .iter()
        .any(|client| client.http2 && client.requests.len() > 1 && client.has(answer.token));
    if shared && visits.iter().any(|visit| visit.deed == "hurried") {
        return Ok(());
    }
    if let Err(why) = &answer.body {
        return Err(format!("the body broke off though all services do what they should: {why}"));
    }
    Ok(())
}

/// One record for each request, which says what happened.
fn records(world: &World<'_>, faults: &mut Vec<String>) {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for Line { value, .. } in &world.seen.lines {
        match token_of(value) {
            // Half a head may say the number of no request.
            Some(token) if world.requests.contains_key(&token) || PROBES.contains(&token) => {
                *counts.entry(token).or_default() += 1;
            }
            // A head that never came to its end.
            None if value["path"].is_null() || value["path"] == "" => {}
            _ => faults.push(format!("a record of a request that nobody sent: {value}")),
        }
    }
    for (token, count) in counts.iter().filter(|(_, count)| **count > 1) {
        faults.push(format!("request {token} has {count} records"));
    }
    for token in world.visits.keys().filter(|token| !counts.contains_key(token)) {
        faults.push(format!("request {token} reached a service and has no record"));
    }
    for answer in &world.seen.answers {
        let Some(Line { value: line, .. }) = world.lines.get(&answer.token) else {
            faults.push(format!("request {} has an answer and no record", answer.token));
            continue;
        };
        if line["status"] != answer.status {
            faults.push(format!(
                "request {} got {}, its record says {}",
                answer.token, answer.status, line["status"]
            ));
        }
        let got = answer.body.as_ref().map_or(0, Vec::len) as u64;
        let whole = answer.status != 101 && answer.body.is_ok() && line["bytes_out"] != got;
        if whole {
            faults.push(format!("request {} got {got} bytes: {line}", answer.token));
        }
        // A whole answer of a service is no error, whatever else happens.
        if answer.status == 200 && answer.body.is_ok() && line["error"].is_string() {
            faults.push(format!("request {} got a whole answer: {line}", answer.token));
        }
        let visits = world.visits(answer.token);
        if let ([visit], Some(ms)) = (visits, line["upstream_ms"].as_f64())
            && let Some(answered) = visit.answered
            && world.plan.scenario == Scenario::Queue
        {
            let most = answered.saturating_sub(visit.at).as_secs_f64() * 1000.0 + TRANSFER;
            if ms > most {
                faults.push(format!("request {} was {ms} ms at its service, at most {most}", answer.token));
            }
        }
    }
}

/// For how long the head of an answer may be waited for, from the last byte of the request on, in milliseconds.
fn longest_wait(scenario: Scenario, route: Route) -> u64 {
    match route {
        Route::Impatient => 300,
        route if route.is_aggregate() => SOURCE,
        _ if scenario == Scenario::Queue => 23_000,
        _ => 3000,
    }
}
