mod meaning;
mod reloads;

use std::path::Path;

use super::*;
use crate::config::load_text;

/// Compiles a text; `SECRET` is the one environment variable.
fn compiled(yaml: &str, secret: &str, previous: Option<&Snapshot>, environment: &Environment) -> Snapshot {
    let variable = |name: &str| (name == "SECRET").then(|| secret.to_owned());
    let loaded = load_text(Path::new("portcullis.yaml"), yaml, &variable, vocabulary());
    let snapshot = compile(&Arc::new(loaded.config.unwrap()), previous, environment, &loaded.diagnostics);
    snapshot.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)))
}

#[test]
fn an_authenticator_goes_on_unless_its_definition_or_secret_changes() {
    let yaml = r#"
listen: 127.0.0.1:0
auth:
  user: { jwt: { secret: "${SECRET}" } }
  other: { jwt: { secret: "${SECRET}", leeway: 1s } }
routes: { /a: { respond: { status: 204 }, policies: { auth: user } } }
"#;
    let (one, two) = ("0123456789abcdef0123456789abcdef", "another-secret-another-secret-32");
    let environment = Environment::new(1);
    let first = compiled(yaml, one, None, &environment);
    let kept = |next: &Snapshot, name: &str| Arc::ptr_eq(&first.sources.auth[name], &next.sources.auth[name]);
    let moved = format!("# a comment that moves every line\n{yaml}").replace("204", "202");
    let next = compiled(&moved, one, Some(&first), &environment);
    assert!(kept(&next, "user") && kept(&next, "other"));
    let next = compiled(&yaml.replace("1s", "2s"), one, Some(&first), &environment);
    assert!(kept(&next, "user") && !kept(&next, "other"));
    let next = compiled(yaml, two, Some(&first), &environment);
    assert!(!kept(&next, "user") && !kept(&next, "other"));
}
