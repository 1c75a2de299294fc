//! What must hold in every world, whatever its seed.

use std::collections::HashMap;

use serde_json::Value;

use crate::config::{ATTEMPTS, LIMIT};
use crate::plan::{Plan, Request, Route, Scenario};
use crate::seen::{Answer, Seen, Visit};
use crate::service::is_body;
use crate::world::PROBES;

/// What the network may add to a wait, in milliseconds.
const SLACK: u64 = 700;

/// What the network may add to the time of one attempt, in milliseconds.
const TRANSFER: f64 = 250.0;

/// Everything that does not hold.
pub(crate) fn faults(plan: &Plan, seen: &Seen) -> Vec<String> {
    let mut faults = seen.faults.clone();
    let requests: HashMap<u64, &Request> =
        plan.clients.iter().flat_map(|client| &client.requests).map(|one| (one.token, one)).collect();
    let mut visits: HashMap<u64, Vec<&Visit>> = HashMap::new();
    for visit in &seen.visits {
        visits.entry(visit.token).or_default().push(visit);
    }
    let none = Vec::new();
    for answer in &seen.answers {
        let visits = visits.get(&answer.token).unwrap_or(&none);
        match requests.get(&answer.token) {
            Some(request) => {
                one_answer(plan, request, answer, visits, &mut faults);
                if let Err(why) = expected(plan, request, answer, visits) {
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
    if plan.scenario != Scenario::Faulty {
        unanswered(plan, seen, &mut faults);
    }
    for probe in PROBES {
        if !seen.answers.iter().any(|answer| answer.token == probe) {
            faults.push(format!("probe {probe} got no answer"));
        }
    }
    for request in requests.values() {
        let count = visits.get(&request.token).map_or(0, Vec::len);
        // A request that met a connection which had just been closed goes out once more.
        let hedge = usize::from(plan.scenario == Scenario::Hedged);
        let sources = if request.route.is_aggregate() { 2 } else { 1 };
        let most = (ATTEMPTS + 1 + hedge) * sources;
        if count > most {
            faults.push(format!("request {} reached services {count} times, at most {most}", request.token));
        }
    }
    records(plan, seen, &requests, &visits, &mut faults);
    budget(plan, seen, &visits, &mut faults);
    limited(plan, seen, &mut faults);
    faults
}

/// An honest client gets an answer where services do what they should. The first of a connection is asked for: behind
/// it the gateway may end a connection, and others of it may have done worse than the one that fails.
fn unanswered(plan: &Plan, seen: &Seen, faults: &mut Vec<String>) {
    for client in plan.clients.iter().filter(|client| client.requests.iter().all(Request::is_honest)) {
        let Some(first) = client.requests.first() else { continue };
        if let Some((token, why)) = seen.failed.iter().find(|(token, _)| *token == first.token) {
            faults.push(format!("honest request {token} got no answer: {why}"));
        }
    }
}

/// What an answer must be like, no matter who sent it.
fn one_answer(plan: &Plan, request: &Request, answer: &Answer, visits: &[&Visit], faults: &mut Vec<String>) {
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
    if request.route.is_aggregate()
        && let Err(why) = composed(request, answer)
    {
        faults.push(format!("request {token}: {why}"));
    }
    let queue = if plan.scenario == Scenario::Queue { 20_000 } else { 0 };
    let most = request.route.timeout() + SLACK + queue;
    if request.is_honest() && answer.took.as_millis() as u64 > most {
        faults.push(format!("request {token} waited {:?} for its head, at most {most} ms", answer.took));
    }
}

/// What an honest client must get where services do what they should.
fn expected(plan: &Plan, request: &Request, answer: &Answer, visits: &[&Visit]) -> Result<(), String> {
    if plan.scenario == Scenario::Faulty || !request.is_honest() {
        return Ok(());
    }
    let wanted: &[u16] = match (plan.scenario, request.route) {
        // Streams of one slow connection hold each other up while they upload.
        (_, Route::Impatient) => &[200, 408, 504],
        (_, Route::Limited) => &[200, 429],
        (Scenario::Unread, _) => &[200, 503],
        _ => &[200],
    };
    if !wanted.contains(&answer.status) {
        let deeds: Vec<_> = visits.iter().map(|visit| (visit.endpoint, visit.deed)).collect();
        return Err(format!("{} though all services do what they should {deeds:?}", answer.status));
    }
    if let Err(why) = &answer.body {
        return Err(format!("the body broke off though all services do what they should: {why}"));
    }
    Ok(())
}

/// Whether a composed answer says the truth, in body, header and status.
fn composed(request: &Request, answer: &Answer) -> Result<(), String> {
    let Ok(bytes) = &answer.body else { return Ok(()) };
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("{} with no JSON: {error}", answer.status))?;
    if answer.status != 200 {
        return if body["status"] == answer.status {
            Ok(())
        } else {
            Err("a problem of another status".to_owned())
        };
    }
    let partial = request.route == Route::Both;
    let mut failed = 0;
    for name in ["one", "two"] {
        let member = &body[name];
        let error = &body["_errors"][name]["error"];
        if member.is_null() {
            failed += 1;
            if error.is_null() {
                return Err(format!("source {name} has neither a body nor an error"));
            }
        } else if member["token"] != request.token {
            return Err(format!("source {name} has the body of {}", member["token"]));
        } else if !error.is_null() {
            return Err(format!("source {name} has both a body and an error"));
        }
        let Some(header) = answer.aggregate.as_deref().filter(|_| partial) else { continue };
        let said = header.split(", ").find_map(|part| part.strip_prefix(name));
        let said = said.and_then(|part| part.split(';').find_map(|pair| pair.trim().strip_prefix("s=")));
        let wanted = error.as_str().unwrap_or("ok");
        if said != Some(wanted) {
            return Err(format!("source {name} is {wanted} in the body and {said:?} in the header"));
        }
    }
    match (partial, failed) {
        (true, 2) => Err("200 though every source failed".to_owned()),
        (false, 1..) => Err("200 though a source failed, in mode all".to_owned()),
        (true, _) if answer.aggregate.is_none() => Err("no aggregate-status".to_owned()),
        _ => Ok(()),
    }
}

/// One record for each request, which says what happened.
fn records(
    plan: &Plan,
    seen: &Seen,
    requests: &HashMap<u64, &Request>,
    visits: &HashMap<u64, Vec<&Visit>>,
    faults: &mut Vec<String>,
) {
    let mut lines: HashMap<u64, Vec<&Value>> = HashMap::new();
    for line in &seen.lines {
        let token =
            line["path"].as_str().and_then(|path| path.rsplit('/').next()).and_then(|last| last.parse().ok());
        match token {
            Some(token) => lines.entry(token).or_default().push(line),
            // A head that never came to its end.
            None if line["path"].is_null() || line["path"] == "" => {}
            None => faults.push(format!("a record of a request that nobody sent: {line}")),
        }
    }
    for (token, lines) in &lines {
        if lines.len() > 1 {
            faults.push(format!("request {token} has {} records", lines.len()));
        }
        if !requests.contains_key(token) && !PROBES.contains(token) {
            faults.push(format!("a record of request {token}, which nobody sent"));
        }
    }
    for token in visits.keys() {
        if !lines.contains_key(token) {
            faults.push(format!("request {token} reached a service and has no record"));
        }
    }
    for answer in &seen.answers {
        let Some(line) = lines.get(&answer.token).and_then(|lines| lines.first()) else {
            faults.push(format!("request {} has an answer and no record", answer.token));
            continue;
        };
        if line["status"] != answer.status {
            faults.push(format!(
                "request {} got {}, its record says {}",
                answer.token, answer.status, line["status"]
            ));
        }
        // An endpoint that refuses a connection was sent nothing: the next endpoint is no further attempt.
        if plan.scenario == Scenario::Refusing && line["attempts"] != 1 && line["endpoint"].is_string() {
            faults.push(format!("request {} took {} attempts", answer.token, line["attempts"]));
        }
        let single = visits.get(&answer.token).filter(|visits| visits.len() == 1).map(|visits| visits[0]);
        if let (Some(visit), Some(ms)) = (single, line["upstream_ms"].as_f64())
            && let Some(answered) = visit.answered
            && plan.scenario == Scenario::Queue
        {
            let most = answered.saturating_sub(visit.at).as_secs_f64() * 1000.0 + TRANSFER;
            if ms > most {
                faults.push(format!("request {} was {ms} ms at its service, at most {most}", answer.token));
            }
        }
    }
}

/// Extra attempts stay within their budget.
fn budget(plan: &Plan, seen: &Seen, visits: &HashMap<u64, Vec<&Visit>>, faults: &mut Vec<String>) {
    // A hedge has a budget of its own; a connection that the service has closed is no attempt.
    if plan.scenario == Scenario::Hedged || seen.visits.iter().any(|visit| visit.deed == "closes") {
        return;
    }
    for upstream in ["10.0.0.", "10.0.1."] {
        let at = |visit: &&&Visit| visit.endpoint.ip().to_string().starts_with(upstream);
        let calls: Vec<usize> = visits
            .values()
            .map(|visits| visits.iter().filter(at).count())
            .filter(|count| *count > 0)
            .collect();
        let extra: usize = calls.iter().map(|count| count - 1).sum();
        let most = calls.len() / 5 + 10 + calls.len();
        if extra > most {
            faults.push(format!("{extra} extra attempts of {} calls at {upstream}*", calls.len()));
        }
    }
}

/// A limit never lets more through.
fn limited(plan: &Plan, seen: &Seen, faults: &mut Vec<String>) {
    let limited: Vec<u64> = plan
        .clients
        .iter()
        .flat_map(|client| &client.requests)
        .filter(|request| request.route == Route::Limited)
        .map(|request| request.token)
        .collect();
    let mut first: Vec<_> = limited
        .iter()
        .filter_map(|token| seen.visits.iter().find(|visit| visit.token == *token))
        .map(|visit| visit.at)
        .collect();
    first.sort_unstable();
    // A sliding window of ten seconds lets through at most twice its limit in any ten seconds.
    for (index, begin) in first.iter().enumerate() {
        let within = first[index..].iter().take_while(|at| at.saturating_sub(*begin).as_secs() < 10).count();
        if within > 2 * LIMIT {
            faults.push(format!("{within} requests of a limit of {LIMIT} in ten seconds"));
            break;
        }
    }
}
