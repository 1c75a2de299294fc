//! An explanation for programs.

use serde_json::{Value, json};

use crate::action::describe::{DescribedSource, Description};
use crate::config::duration_text;
use crate::snapshot::explain::{Considered, Explanation, PolicyLine, Tried};

use super::told::Told;

pub(super) fn json(told: &Told) -> Value {
    let mut value = json!({
        "method": told.method,
        "target": told.target,
        "host": told.host,
        "client": told.read.as_ref().map_or(told.client, |(_, client)| *client).to_string(),
        "listener": { "name": &*told.listener, "address": told.address.to_string(), "why": told.why },
    });
    if let Some((target, _)) = &told.read {
        value["read_as"] = json!(target);
    }
    match &told.outcome {
        Ok(explanation) => explained(&mut value, explanation),
        Err(refused) => {
            value["refused"] =
                json!({ "status": refused.status, "error": refused.phrase, "detail": refused.detail });
        }
    }
    value
}

fn explained(value: &mut Value, told: &Explanation) {
    value["route"] = told.route.as_ref().map_or(Value::Null, |route| {
        let params: serde_json::Map<String, Value> =
            route.params.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "route": route.name,
            "at": route.at,
            "of": whose(route.own),
            "params": params,
            "rest": route.rest,
            "timeout": duration_text(route.timeout),
        })
    });
    if let Some(method) = &told.preflight {
        value["preflight"] = json!(method);
    }
    if !told.host_is_served {
        value["host_is_served"] = json!(false);
    }
    value["considered"] = told.considered.iter().map(considered).collect();
    value["others"] = json!(told.others);
    value["match"] = told.tried.iter().map(tried).collect();
    value["policies"] = told.policies.iter().map(policy).collect();
    match &told.miss {
        Some(miss) => {
            value["answer"] = json!({ "status": miss.status, "error": miss.phrase, "allow": miss.allow });
        }
        None => value["action"] = action(&told.action, told),
    }
}

fn whose(own: bool) -> &'static str {
    if own { "listener" } else { "file" }
}

fn considered(one: &Considered) -> Value {
    json!({ "route": one.name, "at": one.at, "of": whose(one.own), "verdict": one.verdict.words() })
}

fn tried(one: &Tried) -> Value {
    json!({ "at": one.at, "asks": one.asks, "fails": one.fails, "answers": one.answers })
}

fn policy(policy: &PolicyLine) -> Value {
    json!({
        "policy": policy.kind,
        "is": policy.says,
        "from": policy.from,
        "at": policy.at,
        "declared": policy.declared,
    })
}

fn action(action: &Description, told: &Explanation) -> Value {
    let facts: serde_json::Map<String, Value> =
        action.facts.iter().map(|(what, is)| ((*what).to_owned(), json!(is))).collect();
    let mut value = json!({ "action": action.kind, "facts": facts });
    if !action.headers.is_empty() {
        let line = |(name, value): &(String, String)| json!({ "name": name, "value": value });
        value["headers"] = action.headers.iter().map(line).collect();
    }
    if !action.sources.is_empty() {
        value["sources"] = action.sources.iter().map(source).collect();
    }
    if let Some(at) = &told.shape {
        value["shape"] = json!(at);
    }
    if !told.identity.is_empty() {
        value["identity_headers"] = json!(told.identity);
    }
    value
}

fn source(source: &DescribedSource) -> Value {
    json!({
        "name": source.name,
        "upstream": source.upstream,
        "method": source.method,
        "path": source.path,
        "target": source.target.as_ref().ok(),
        "needs": source.needs,
        "notes": source.notes,
    })
}
