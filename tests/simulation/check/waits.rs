//! Every wait ends within its documented bound.

use std::time::Duration;

use serde_json::Value;

use crate::config::{ATTEMPTS, CLIENT_IDLE, CONNECT, IDLE, client_body, response};
use crate::plan::{Request, Scenario};
use crate::seen::Answer;

use super::{REACHES, SLACK, World, longest_wait};

/// What the network may add to the time of a call in which no body comes, in milliseconds.
const ON_THE_WAY: u64 = 400;

/// The longest pause between two attempts, in milliseconds.
const BACKOFF: u64 = 30;

/// How long it may take until the gateway sees that a client has left: one that has only ended its side is waited for, and
/// where much has been read ahead it is asked now and then, in milliseconds.
const LEFT: u64 = 750;

/// The same where its answer has begun: a client that has ended its side may still read it.
const LEFT_ANSWERED: u64 = 5250;

/// What small pieces and little room may add to the time of a body, in milliseconds.
const PIECES: u64 = 2500;

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    for (token, request) in &world.requests {
        if let Some(answer) = world.answers.get(token) {
            head(world, request, answer, faults);
            body(world, request, answer, faults);
        }
        stalled(world, request, faults);
        deaf(world, request, faults);
        left(world, request, faults);
    }
}

/// A service that takes nothing of a request is waited for no longer than `idle`; one that has all of it, or owes an
/// answer to less, is what `response` is about.
fn deaf(world: &World<'_>, request: &Request, faults: &mut Vec<String>) {
    let (Some(sent), Some(line)) = (world.seen.sent.get(&request.token), world.lines.get(&request.token))
    else {
        return;
    };
    let (reason, status) = (line.value["reason"].as_str(), line.value["status"].as_u64());
    let took = line.at.saturating_sub(*sent).as_millis() as u64;
    let stalls = request.body.as_ref().is_some_and(|body| body.stalls.is_some());
    if reason == Some("upload") && status == Some(504) && line.value["attempts"] == 1 && !stalls {
        let most = CONNECT + IDLE + ON_THE_WAY;
        if took > most {
            faults.push(format!(
                "request {} waited {took} ms for a service that reads nothing, at most {most} ms",
                request.token
            ));
        }
    }
    if let Some(last) = world.visits(request.token).last()
        && reason == Some("response")
        && !request.route.is_aggregate()
        && !last.read
        && !["deaf", "early"].contains(&last.deed)
    {
        faults.push(format!("request {} was not sent whole, and an answer was waited for", request.token));
    }
}

/// What a client has left ends soon.
fn left(world: &World<'_>, request: &Request, faults: &mut Vec<String>) {
    let (Some(after), Some(sent)) = (request.leaves, world.seen.sent.get(&request.token)) else { return };
    if world.answers.contains_key(&request.token) {
        return;
    }
    let begun = world.visits(request.token).iter().any(|visit| visit.answered.is_some());
    let most = *sent + Duration::from_millis(after + if begun { LEFT_ANSWERED } else { LEFT } + SLACK);
    match world.lines.get(&request.token) {
        Some(line) if line.at > most => {
            faults.push(format!(
                "request {} went on until {:?}, its client left: {}",
                request.token, line.at, line.value
            ));
        }
        _ => {}
    }
}

fn head(world: &World<'_>, request: &Request, answer: &Answer, faults: &mut Vec<String>) {
    if !request.is_honest() {
        return;
    }
    let (token, took) = (answer.token, answer.took.as_millis() as u64);
    let scenario = world.plan.scenario;
    let most = longest_wait(scenario, request.route) + SLACK + handed_over(world, request);
    if took > most {
        faults.push(format!("request {token} waited {took} ms for its head, at most {most} ms"));
    }
    let Some(line) = world.lines.get(&token).map(|line| &line.value) else { return };
    if let Some(most) = of_reason(scenario, request, line)
        && took > most + SLACK + handed_over(world, request)
    {
        faults.push(format!("request {token} waited {took} ms, at most {most} ms: {line}"));
    }
}

/// For how long a call may last whose last attempt ended for such a reason.
fn of_reason(scenario: Scenario, request: &Request, line: &Value) -> Option<u64> {
    if request.route.is_aggregate() || scenario == Scenario::Queue {
        return None;
    }
    let attempts = line["attempts"].as_u64().unwrap_or(1);
    let whole = CONNECT + response(scenario) + if request.body.is_some() { IDLE } else { 0 };
    // A connection that had been closed is an attempt that took no time.
    let earlier = attempts.saturating_sub(1).min(2 * ATTEMPTS as u64) * (whole + BACKOFF);
    match line["reason"].as_str()? {
        "connect" => Some(earlier + CONNECT),
        "response" | "reset" | "protocol" => Some(earlier + CONNECT + response(scenario)),
        "concurrency" if scenario == Scenario::Queued => Some(300),
        "concurrency" | "breaker" => Some(earlier),
        _ => None,
    }
}

/// The body of an answer ends soon after its service has ended it, or has been silent for `idle`.
fn body(world: &World<'_>, request: &Request, answer: &Answer, faults: &mut Vec<String>) {
    let [visit] = world.visits(answer.token) else { return };
    let (Some(ended), true) = (visit.ended, request.is_honest() && !request.route.is_aggregate()) else {
        return;
    };
    // The streams of a connection share its room. A client that sends its body on before it reads an early answer stands
    // still in both until the gateway gives it up.
    let transfer = match world.plan.clients.iter().find(|client| client.has(answer.token)) {
        Some(client) if client.http2 => PIECES * client.requests.len() as u64,
        _ if request.body.is_some() && visit.deed == "early" => PIECES + CLIENT_IDLE,
        _ => PIECES,
    };
    // A service that stalls has done its part when the gateway ends the connection.
    let most = ended.max(visit.answered.unwrap_or(ended)) + Duration::from_millis(transfer);
    if visit.answered.is_some() && answer.ended > most {
        faults.push(format!(
            "the answer of request {} ended at {:?}, {:?} after its service had ended",
            answer.token,
            answer.ended,
            answer.ended - ended
        ));
    }
    let head = visit.answered.unwrap_or(answer.ended);
    if answer.ended.saturating_sub(head) > Duration::from_millis(IDLE + PIECES + transfer) {
        faults
            .push(format!("the answer of request {} took from {head:?} to {:?}", answer.token, answer.ended));
    }
}

/// A client that stops in the middle of its body is waited for no longer than the listener says.
fn stalled(world: &World<'_>, request: &Request, faults: &mut Vec<String>) {
    let Some((_, pause)) = request.body.as_ref().and_then(|body| body.stalls) else { return };
    let Some(at) = world.seen.stalled.get(&request.token) else { return };
    if request.leaves.is_some() {
        return;
    }
    let Some(line) = world.lines.get(&request.token) else {
        if !crosses_the_end(world, request) {
            faults.push(format!("request {} stopped in its body and has no record", request.token));
        }
        return;
    };
    let took = line.at.saturating_sub(*at);
    let most = match line.value["attempts"].as_u64() {
        // An early answer is not taken as long as its client is stuck in its body.
        _ if world.visits(request.token).iter().any(|visit| visit.answered.is_some()) => CLIENT_IDLE,
        Some(2..) => longest_wait(world.plan.scenario, request.route),
        _ => client_body(world.plan.scenario).min(IDLE),
    };
    let most = most + SLACK + handed_over(world, request);
    if pause > most && took > Duration::from_millis(most) {
        faults.push(format!("request {} was waited for {took:?} in its body: {}", request.token, line.value));
    }
}

/// What a client's library may take to write a body that it was handed, in milliseconds: over HTTP/2 a client knows no more
/// than that.
fn handed_over(world: &World<'_>, request: &Request) -> u64 {
    let over_http2 = world.plan.clients.iter().any(|client| client.http2 && client.has(request.token));
    if over_http2 && request.body.is_some() { PIECES } else { 0 }
}

/// Whether the gateway may have ended an idle connection before this request reached it: it came about as late after the
/// end of the one before as a connection may be idle.
fn crosses_the_end(world: &World<'_>, request: &Request) -> bool {
    let before = world.plan.clients.iter().find_map(|client| {
        let at = client.requests.iter().position(|other| other.token == request.token)?;
        client.requests.get(at.checked_sub(1)?)
    });
    let ended = before.and_then(|before| world.lines.get(&before.token)).map(|line| line.at);
    let (Some(ended), Some(sent)) = (ended, world.seen.sent.get(&request.token)) else { return false };
    *sent + Duration::from_millis(REACHES) > ended + Duration::from_millis(CLIENT_IDLE)
}
