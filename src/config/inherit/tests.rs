use std::path::Path;

use super::{Origin, in_force};
use crate::config::{Config, Vocabulary, load_text};

fn read(file: &str, listener: &str, route: &str) -> Config {
    let text = format!(
        "listeners: {{ web: {{ listen: 127.0.0.1:1, policies: {listener} }} }}\n\
         policies: {file}\n\
         auth: {{ user: {{}}, other: {{}} }}\n\
         rate_limits: {{ a: {{}}, b: {{}}, c: {{}} }}\n\
         routes: {{ /a: {{ upstream: \"http://127.0.0.1:1\", policies: {route} }} }}\n"
    );
    let vocabulary = Vocabulary { policies: &["auth", "authorize", "rate_limit"], later: &[] };
    let loaded = load_text(Path::new("x.yaml"), &text, &|_| None, vocabulary);
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(false));
    loaded.config.unwrap()
}

/// Every kind in force as `kind origin [body origin, ...]`.
fn told(file: &str, listener: &str, route: &str) -> Vec<String> {
    let config = read(file, listener, route);
    let route = &config.routes[0].alternatives[0].policies;
    in_force(&config.policies, &config.listeners[0].policies, route)
        .into_iter()
        .map(|kind| {
            let part =
                |part: &super::Part<'_>| format!("{} {:?}", part.body.word().unwrap_or("-"), part.origin);
            let parts: Vec<String> = kind.parts.iter().map(part).collect();
            format!("{} {:?} [{}]", kind.kind, kind.origin, parts.join(", "))
        })
        .collect()
}

#[test]
fn the_nearest_place_wins_whole() {
    assert_eq!(told("{ auth: user }", "{}", "{}"), ["auth File [user File]"]);
    assert_eq!(told("{ auth: user }", "{ auth: other }", "{}"), ["auth Listener [other Listener]"]);
    assert_eq!(told("{ auth: user, rate_limit: a }", "{}", "{ auth: none }"), ["rate_limit File [a File]"]);
    assert_eq!(told("{ auth: user }", "{ auth: none }", "{ auth: [user, other] }"), ["auth Route [- Route]"]);
}

#[test]
fn inherit_stands_for_what_it_replaces() {
    let all = told("{ rate_limit: a }", "{ rate_limit: [inherit, b] }", "{ rate_limit: [c, inherit] }");
    assert_eq!(all, ["rate_limit Route [c Route, a File, b Listener]"]);
    let cut = told("{ rate_limit: a }", "{ rate_limit: none }", "{ rate_limit: [c, inherit] }");
    assert_eq!(cut, ["rate_limit Route [c Route]"]);
    assert_eq!(told("{}", "{}", "{ rate_limit: [inherit] }"), Vec::<String>::new());
}

#[test]
fn origins_order_from_the_outside_in() {
    assert!(Origin::File < Origin::Listener && Origin::Listener < Origin::Route);
}
