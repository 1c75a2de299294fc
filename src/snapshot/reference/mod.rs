//! The reference of the configuration as Markdown, written from the tables that the readers use.
//!
//! `docs/reference.md` is this text; a test fails where the two differ. `tables.rs` turns schemas into tables of keys.

mod tables;

use std::fmt::Write;

use crate::action;
use crate::config::INHERITING;
use crate::exchange::{Blame, ErrorKind};
use crate::policy;
use crate::telemetry::fields::FIELDS;
use crate::telemetry::metrics::Metrics;

use super::schema::schema;
use tables::Tables;

const OPENING: &str = "\
# Reference

Everything that a configuration may say, what the gateway answers when it refuses, what it logs and what it counts.
This page is generated; `portcullis schema` prints the same keys as a JSON Schema for editors.

In every table the keys that must be there come first. A key of the language that this version does not build is
refused with words of its own and not listed here.

## Values

| Form | Written as |
| --- | --- |
| duration | a whole number and `ms`, `s`, `m`, `h` or `d`: `250ms`, `5s`, `1m` |
| size | a whole number and `B`, `KiB`, `MiB` or `GiB`: `64KiB` |
| reference | inside a quoted value: `${NAME}`, `${NAME:-default}` or `${file:PATH}`; `$${` is a literal `${` |
| CEL | an expression over `request`, `params`, `rest`, `client`, `identity`, `listener` and `route`; quote it singly |
| template | text in which `{name}` is a path parameter and any other `{...}` an expression; `{{` is a literal brace |
";

const ROUTES: &str = "\
A key of `routes` is `[METHOD[,METHOD...] ]PATTERN`: `/health` is that path alone, `/users/{id}` takes one segment,
`/users/*` takes `/users` and all below it. Its value is one route, or a list of routes that are tried in order by
their `match`.";

/// The whole page.
pub fn markdown() -> String {
    let schema = schema();
    let definitions = &schema["$defs"];
    let mut tables = Tables::default();
    tables.add("The file", "", &schema);
    tables.chapter("Routes", ROUTES);
    tables.add("`routes.PATTERN`", "", &definitions["routes"]["additionalProperties"]);
    tables.chapter("Actions", "A route does one thing: `upstream`, or one of these.");
    for kind in action::kinds::KINDS {
        tables.add(&format!("Action `{}`", kind.name), kind.summary, &definitions[kind.name]);
    }
    tables.chapter("Definitions", "Declared once, used by name in `policies`.");
    tables.add("`auth.NAME`", "An authenticator.", &definitions["auth"]);
    tables.add("`rate_limits.NAME`", "A rate limit.", &definitions["rate_limit"]);
    let lists: Vec<String> = policy::kinds::NAMES
        .iter()
        .filter(|name| INHERITING.contains(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    let text = format!(
        "They run in a fixed order whatever the order in the file: `cors`, then limits that name no `identity`, then `auth`, then \
         `authorize`, then limits that do, then `cache`, then `shape` on the answer. For each kind the nearest of route, listener and file wins whole; `none` \
         removes it. {} may be lists, in which `inherit` stands for what they replace.",
        lists.join(" and ")
    );
    tables.chapter("Policies", &text);
    for kind in policy::kinds::KINDS {
        let schema = (kind.schema)();
        tables.add(&format!("Policy `{}`", kind.name), kind.summary, &schema);
    }
    let mut page = String::from(OPENING);
    page.push_str(&tables.render());
    errors(&mut page);
    log(&mut page);
    metrics(&mut page);
    page
}

/// One line of a page. Writing into a String does not fail.
fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
    page.push('\n');
}

fn errors(page: &mut String) {
    page.push_str(
        "\n## Errors\n\nEvery error of the gateway's own is `application/problem+json` with `type` \
         (`urn:portcullis:error:NAME`), `title`, `status`, `error` (the phrase), `detail` where there is one, and \
         `request_id`. The phrase stands in the log line, the name in the metric.\n\n\
         | Name | Status | `error` | Title | Caused by |\n| --- | --- | --- | --- | --- |\n",
    );
    for kind in ErrorKind::ALL {
        let blame = match kind.blame() {
            Blame::Client => "client",
            Blame::Upstream => "upstream",
            Blame::Gateway => "gateway",
        };
        let status = match kind {
            ErrorKind::ClientClosed => "none sent, logged as 499".to_owned(),
            kind => kind.status().as_u16().to_string(),
        };
        let (name, phrase, title) = (kind.name(), kind.phrase(), kind.title());
        line(page, format_args!("| `{name}` | {status} | {phrase} | {title} | {blame} |"));
    }
}

fn log(page: &mut String) {
    page.push_str(
        "\n## Access log\n\nOne line for each exchange, written when its last byte is out. A member that does not \
         apply is left out.\n\n| Member | Meaning |\n| --- | --- |\n",
    );
    for (name, meaning) in FIELDS {
        line(page, format_args!("| `{name}` | {meaning} |"));
    }
}

/// The families as the metrics themselves tell them.
fn metrics(page: &mut String) {
    page.push_str(
        "\n## Metrics\n\nAt `/metrics` of the admin listener, in the text format of Prometheus.\n\n\
         | Metric | Type | Meaning |\n| --- | --- | --- |\n",
    );
    let told = Metrics::new(1).render();
    let mut help = "";
    for text in told.lines() {
        if let Some(rest) = text.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = text.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            line(page, format_args!("| `{name}` | {kind} | {help} |"));
        }
    }
}
