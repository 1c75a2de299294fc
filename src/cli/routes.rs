//! `routes`: what a configuration serves, and what guards it.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use crate::admin::routes::listing;
use crate::server::Source;
use crate::snapshot::compile::Environment;

use super::arguments::{Format, NamedPath};
use super::explain::unknown_listener;
use super::failure::Failure;
use super::output;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    path: NamedPath,
    /// Only the routes of this listener.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The format of the list.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn routes(arguments: &Arguments) -> Result<(), Failure> {
    let compiled = Source::Path(arguments.path.path().to_owned()).compile(None, &Environment::new(1));
    output::diagnostics(&compiled.diagnostics);
    let Some(snapshot) = compiled.snapshot else {
        return Err(if compiled.unreadable { Failure::Unreadable } else { Failure::Configuration });
    };
    let mut listing = listing(&snapshot);
    if let Some(name) = &arguments.listener {
        if snapshot.listener(name).is_none() {
            return Err(unknown_listener(&snapshot, name));
        }
        if let Some(listeners) = listing["listeners"].as_array_mut() {
            listeners.retain(|listener| listener["name"] == name.as_str());
        }
    }
    output::print(&match arguments.output {
        Format::Json => format!("{listing:#}\n"),
        Format::Text => table(&listing),
    });
    Ok(())
}

/// The listing for people: one table a listener, a line a rule.
pub(super) fn table(listing: &Value) -> String {
    let mut out = String::new();
    for listener in items(&listing["listeners"]) {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "listener {} on {}", text(&listener["name"]), text(&listener["address"]));
        let routes = items(&listener["routes"]);
        let rows: Vec<[String; 3]> = routes.iter().map(row).collect();
        // Whose a route is says something only where there are both kinds.
        let mixed = routes.iter().any(|route| text(&route["of"]).starts_with("listener"));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        let whose = routes.iter().map(|route| text(&route["of"]).len()).max().unwrap_or(0);
        for (route, [key, action, policies]) in routes.iter().zip(&rows) {
            let of = if mixed { format!("{:whose$}  ", text(&route["of"])) } else { String::new() };
            let line = format!("  {key:first$}  {of}{action:second$}  {policies}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out
}

fn row(route: &Value) -> [String; 3] {
    let condition = if route["conditional"] == true { " (if its `match` holds)" } else { "" };
    let upstreams: Vec<&str> = items(&route["upstreams"]).iter().map(text).collect();
    let action = match text(&route["action"]) {
        "upstream" => format!("-> {}", upstreams.join(", ")),
        "aggregate" => format!("-> [{}]", upstreams.join(", ")),
        action => action.to_owned(),
    };
    let policies: Vec<String> = items(&route["policies"]).iter().map(policy).collect();
    [format!("{}{condition}", text(&route["route"])), action, policies.join(", ")]
}

fn policy(policy: &Value) -> String {
    let parts: Vec<&str> = items(&policy["parts"]).iter().map(|part| text(&part["is"])).collect();
    format!("{}: {} ({})", text(&policy["policy"]), parts.join(" + "), text(&policy["from"]))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
