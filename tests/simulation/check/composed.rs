//! An aggregate says the truth, in body, header and status.

use serde_json::Value;

use crate::config::{FALLBACK, SOURCE};
use crate::plan::Route;
use crate::seen::{Answer, Visit};

use super::{SLACK, World};

pub(super) fn check(world: &World<'_>, faults: &mut Vec<String>) {
    for answer in &world.seen.answers {
        let Some(request) = world.requests.get(&answer.token).filter(|one| one.route.is_aggregate()) else {
            continue;
        };
        if let Err(why) = composed(request.route, answer, world.visits(answer.token)) {
            faults.push(format!("request {}: {why}", answer.token));
        }
    }
}

/// What the header says of the sources, in its order: the outcome, and after how many milliseconds.
fn header(answer: &Answer) -> Result<Vec<(&str, &str, u64)>, String> {
    let Some(header) = &answer.aggregate else { return Ok(Vec::new()) };
    let member = |part: &'_ str| -> Option<(usize, usize)> { Some((part.find(";s=")?, part.find(";ms=")?)) };
    header
        .split(", ")
        .map(|part| {
            let (outcome, ms) = member(part).ok_or_else(|| format!("a header {header}"))?;
            let ms_text = &part[ms + 4..];
            let number = ms_text.split(';').next().and_then(|ms| ms.parse().ok());
            Ok((
                &part[..outcome],
                &part[outcome + 3..ms],
                number.ok_or_else(|| format!("a header {header}"))?,
            ))
        })
        .collect()
}

fn composed(route: Route, answer: &Answer, visits: &[&Visit]) -> Result<(), String> {
    let Ok(bytes) = &answer.body else { return Ok(()) };
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("{} with no JSON: {error}", answer.status))?;
    let said = header(answer)?;
    let partial = route != Route::All;
    if partial == said.is_empty() && answer.status != 408 {
        return Err(format!("aggregate-status is {:?}", answer.aggregate));
    }
    for (name, outcome, ms) in &said {
        outcome_of(name, outcome, visits)?;
        if *ms > SOURCE + SLACK {
            return Err(format!("source {name} took {ms} ms"));
        }
    }
    let failed: Vec<&str> =
        said.iter().filter(|(_, outcome, _)| *outcome != "ok").map(|(_, outcome, _)| *outcome).collect();
    if answer.status != 200 {
        if body["status"] != answer.status {
            return Err("a problem of another status".to_owned());
        }
        return if partial { failure(route, answer, &said, &failed) } else { Ok(()) };
    }
    if failed.is_empty() != body["_errors"].is_null() {
        return Err(format!("failed sources {failed:?}, and errors {}", body["_errors"]));
    }
    if !failed.is_empty() && answer.cache_control.as_deref() != Some("no-store") {
        return Err(format!("a partial answer with cache-control {:?}", answer.cache_control));
    }
    for name in ["one", "two"] {
        let of_header = said.iter().find(|(other, ..)| *other == name).map(|(_, outcome, _)| *outcome);
        member(route, name, &body, of_header, answer.token)?;
    }
    match failed.len() {
        2 => Err("200 though every source failed".to_owned()),
        1 if route == Route::Kept && said[0].1 != "ok" => {
            Err("200 though the required source failed".to_owned())
        }
        _ => Ok(()),
    }
}

/// One member of an answer with 200, and what is said of it.
fn member(route: Route, name: &str, body: &Value, of_header: Option<&str>, token: u64) -> Result<(), String> {
    let (member, error) = (&body[name], &body["_errors"][name]);
    let partial = route != Route::All;
    if error.is_null() {
        return match of_header {
            _ if member["token"] != token => {
                Err(format!("source {name} has the body of {}", member["token"]))
            }
            Some("ok") => Ok(()),
            None if !partial => Ok(()),
            other => Err(format!("source {name} is ok in the body and {other:?} in the header")),
        };
    }
    if !partial {
        return Err("200 though a source failed, in mode all".to_owned());
    }
    if error["error"].as_str() != of_header {
        return Err(format!("source {name} is {error} in the body and {of_header:?} in the header"));
    }
    let status = match of_header {
        Some("timeout") => 504,
        Some("breaker_open" | "overloaded") => 503,
        Some("status") => {
            error["status"].as_u64().filter(|status| [500, 503].contains(status)).unwrap_or_default()
        }
        _ => 502,
    };
    if error["status"] != status {
        return Err(format!("source {name} has the status of another failure: {error}"));
    }
    let stands_in: Value = if route == Route::Kept && name == "two" {
        serde_json::from_str(FALLBACK).map_err(|error| error.to_string())?
    } else {
        Value::Null
    };
    if *member != stands_in {
        return Err(format!("the failed source {name} has the body {member}"));
    }
    Ok(())
}

/// The status of an answer that failed as a whole.
fn failure(route: Route, answer: &Answer, said: &[(&str, &str, u64)], failed: &[&str]) -> Result<(), String> {
    let required = said.iter().find(|(name, outcome, _)| *name == "one" && *outcome != "ok");
    let timed_out = match required {
        Some((_, outcome, _)) if route == Route::Kept => *outcome == "timeout",
        _ if failed.len() == 2 => failed.iter().all(|outcome| *outcome == "timeout"),
        _ => return Err(format!("{} though only {failed:?} of {said:?} failed", answer.status)),
    };
    let wanted = if timed_out { 504 } else { 502 };
    if answer.status == wanted { Ok(()) } else { Err(format!("{} though {said:?}", answer.status)) }
}

/// Whether what is said of a source can be what its service did.
fn outcome_of(name: &str, outcome: &str, visits: &[&Visit]) -> Result<(), String> {
    let is_two = |visit: &&&Visit| visit.endpoint.ip().to_string().starts_with("10.0.1.");
    let own: Vec<_> = visits.iter().filter(|visit| is_two(visit) == (name == "two")).collect();
    let did = |deeds: &[&str]| own.iter().any(|visit| deeds.contains(&visit.deed));
    let possible = match outcome {
        "ok" => own.iter().any(|visit| {
            visit.answered.is_some() && ["good", "hurried", "early", "closes"].contains(&visit.deed)
        }),
        "status" => did(&["500", "503"]),
        "reset" => did(&["nothing", "breaks", "closes", "deaf"]),
        "invalid_json" | "too_large" | "dependency" | "skipped" => false,
        _ => true,
    };
    if possible {
        return Ok(());
    }
    let deeds: Vec<_> = own.iter().map(|visit| visit.deed).collect();
    Err(format!("source {name} is {outcome}, and its service did {deeds:?}"))
}
