//! An explanation for people.

use std::fmt::Write;

use crate::action::describe::{DescribedSource, Description};
use crate::config::duration_text;
use crate::snapshot::explain::{Considered, Explanation, PolicyLine, Tried};

use super::told::Told;

pub(super) fn text(told: &Told) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", told.method, told.target);
    line(&mut out, 1, &format!("listener {} on {} ({})", told.listener, told.address, told.why));
    line(&mut out, 1, &format!("host {}, client {}", told.host, told.client));
    if let Some((target, client)) = &told.read {
        if *target != told.target {
            line(&mut out, 1, &format!("read as {target}"));
        }
        if *client != told.client {
            line(&mut out, 1, &format!("client behind trusted proxies: {client}"));
        }
    }
    match &told.outcome {
        Ok(explanation) => explained(&mut out, explanation),
        Err(refused) => {
            let detail = refused.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let _ = writeln!(out, "\nrefused before a route is looked for");
            line(&mut out, 1, &format!("{} {}{detail}", refused.status, refused.phrase));
        }
    }
    out
}

fn explained(out: &mut String, told: &Explanation) {
    match &told.route {
        Some(route) => {
            let whose = if route.own { "the listener's own" } else { "of the file" };
            let _ = writeln!(out, "\nroute {} ({}, {whose})", route.name, route.at);
            for (name, value) in &route.params {
                line(out, 1, &format!("{name} = {value}"));
            }
            if let Some(rest) = &route.rest {
                line(out, 1, &format!("rest = {rest}"));
            }
            line(out, 1, &format!("timeout {}", duration_text(route.timeout)));
        }
        None => {
            let _ = writeln!(out, "\nno route");
        }
    }
    if let Some(method) = &told.preflight {
        line(out, 1, &format!("a preflight: `cors` answers it for {method}"));
    }
    if !told.host_is_served {
        line(out, 1, "the listener does not answer for this host");
    }
    considered(out, &told.considered, told.others);
    if !told.tried.is_empty() {
        let _ = writeln!(out, "\nmatch");
        tried(out, &told.tried);
    }
    policies(out, &told.policies);
    match &told.miss {
        Some(miss) => {
            let _ = writeln!(out, "\nanswer");
            let allow = miss.allow.as_ref().map(|allow| format!(", allow: {allow}")).unwrap_or_default();
            let after = if told.policies.is_empty() { "" } else { ", once the policies let it pass" };
            line(out, 1, &format!("{} {}{allow}{after}", miss.status, miss.phrase));
        }
        None => action(out, &told.action, told),
    }
}

fn considered(out: &mut String, list: &[Considered], others: usize) {
    if list.len() > 1
        || list.first().is_some_and(|only| only.verdict != crate::snapshot::explain::Verdict::Decides)
    {
        line(out, 1, "routes that match the path:");
        let rows =
            list.iter().map(|one| vec![one.name.clone(), one.at.clone(), one.verdict.words().to_owned()]);
        table(out, 2, &rows.collect::<Vec<_>>());
    }
    match others {
        0 => {}
        1 => line(out, 1, "1 other does not match the path"),
        more => line(out, 1, &format!("{more} others do not match the path")),
    }
}

fn tried(out: &mut String, list: &[Tried]) {
    let mut answered = false;
    for one in list {
        let asks = if one.asks.is_empty() { "asks for nothing".to_owned() } else { one.asks.join("; ") };
        let becomes = match &one.fails {
            _ if answered => "not reached".to_owned(),
            Some(what) if !one.answers => format!("does not hold: {what}"),
            _ => "answers".to_owned(),
        };
        answered |= one.answers;
        line(out, 1, &format!("{}  {asks}: {becomes}", one.at));
    }
    if !answered {
        line(out, 1, "none holds");
    }
}

fn policies(out: &mut String, list: &[PolicyLine]) {
    if list.is_empty() {
        let _ = writeln!(out, "\nno policies");
        return;
    }
    let _ = writeln!(out, "\npolicies, in the order they run");
    let row = |policy: &PolicyLine| {
        let declared = match policy.declared.as_slice() {
            [] => String::new(),
            places => format!(" (declared at {})", places.join(", ")),
        };
        let says = policy.says.as_deref().unwrap_or("(written in place)");
        let from = format!("of the {}", policy.from);
        vec![policy.kind.to_owned(), from, policy.at.clone(), format!("{says}{declared}")]
    };
    table(out, 1, &list.iter().map(row).collect::<Vec<_>>());
}

fn action(out: &mut String, action: &Description, told: &Explanation) {
    let _ = writeln!(out, "\naction {}", action.kind);
    for (what, is) in &action.facts {
        line(out, 1, &format!("{what} {is}"));
    }
    for (name, value) in &action.headers {
        line(out, 2, &format!("{name}: {value}"));
    }
    graph(out, &action.sources);
    if let Some(at) = &told.shape {
        line(out, 1, &format!("then the shape of {at}"));
    }
    if !told.identity.is_empty() && (!action.headers.is_empty() || !action.sources.is_empty()) {
        line(out, 1, &format!("once `auth` knows who it is, also {}", told.identity.join(", ")));
    }
}

/// The sources by what they wait for: what starts at once, then what waits for that.
fn graph(out: &mut String, sources: &[DescribedSource]) {
    let mut placed: Vec<&str> = Vec::new();
    let mut waiting: Vec<&DescribedSource> = sources.iter().collect();
    while !waiting.is_empty() {
        let ready =
            |source: &&DescribedSource| source.needs.iter().all(|need| placed.contains(&need.as_str()));
        let (mut now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        // A circle is refused at load; should one be here, it is shown and not walked.
        if now.is_empty() {
            now = later;
            waiting = Vec::new();
        } else {
            waiting = later;
        }
        placed.extend(now.iter().map(|source| source.name.as_str()));
        while let Some(first) = now.first() {
            let needs = first.needs.clone();
            match needs.as_slice() {
                [] => line(out, 1, "at once"),
                [one] => line(out, 1, &format!("once {one} has come to something")),
                needs => line(out, 1, &format!("once {} have come to something", needs.join(" and "))),
            }
            let (same, rest): (Vec<_>, Vec<_>) = now.into_iter().partition(|source| source.needs == needs);
            stage(out, 2, &same);
            now = rest;
        }
    }
}

fn stage(out: &mut String, depth: usize, sources: &[&DescribedSource]) {
    let row = |source: &&DescribedSource| {
        let target = match &source.target {
            Ok(target) if *target == source.path => String::new(),
            Ok(target) => format!("-> {target}"),
            Err(why) if why.is_empty() => String::new(),
            Err(why) => format!("-> not called: {why}"),
        };
        let call = format!("{} {} {}", source.method, source.upstream, source.path);
        vec![source.name.clone(), call, target, source.notes.join("; ")]
    };
    table(out, depth, &sources.iter().map(row).collect::<Vec<_>>());
}

/// Rows in columns, each as wide as its widest cell.
fn table(out: &mut String, depth: usize, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            let _ = write!(text, "{cell:width$}  ");
        }
        line(out, depth, text.trim_end());
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "", indent = depth * 2);
}
