//! What has to come with every kind and every error: a place in the reference, an example, a test.

use std::path::Path;

use portcullis::config::{Action, Config, Kind, RouteBody, load};
use portcullis::exchange::ErrorKind;
use portcullis::snapshot::compile::vocabulary;
use portcullis::{action, policy};

use crate::none;
use crate::source::{files, root, sources};

/// Rooms whose tests provoke errors; the others only pass them on or count them.
const PROVOKING: [&str; 8] =
    ["http1", "upstream", "action", "policy", "pipeline", "listener", "server", "admin"];

fn reference() -> String {
    std::fs::read_to_string(root().join("docs/reference.md")).expect("there is a reference")
}

fn kinds() -> (Vec<&'static str>, Vec<&'static str>) {
    fn names<B>(kinds: &'static [Kind<B>]) -> Vec<&'static str> {
        kinds.iter().map(|kind| kind.name).collect()
    }
    (names(policy::kinds::KINDS), names(action::kinds::KINDS))
}

/// The examples that must be right.
fn examples() -> Vec<Config> {
    let env = |_: &str| Some("18081".to_owned());
    let list = std::fs::read_dir(root().join("tests/config/valid")).expect("there are examples");
    list.map(|entry| entry.expect("it can be read").path())
        .filter_map(|path| load(Path::new(&path), &env, vocabulary()).config)
        .collect()
}

fn bodies(config: &Config) -> impl Iterator<Item = &RouteBody> {
    let own = config.listeners.iter().flat_map(|listener| &listener.routes);
    config.routes.iter().chain(own).flat_map(|route| &route.alternatives)
}

fn has_policy(config: &Config, kind: &str) -> bool {
    let places = config.listeners.iter().map(|listener| &listener.policies);
    let places = places.chain(bodies(config).map(|body| &body.policies)).chain([&config.policies]);
    places.into_iter().any(|policies| policies.get(kind).is_some())
}

fn has_action(config: &Config, kind: &str) -> bool {
    bodies(config).any(|body| {
        let name = match &body.action.value {
            Action::Upstream(_) => "upstream",
            Action::Aggregate(_) => "aggregate",
            Action::Redirect(_) => "redirect",
            Action::Respond(_) => "respond",
        };
        name == kind
    })
}

#[test]
fn every_kind_has_its_page_and_its_examples() {
    let (reference, examples, (policies, actions)) = (reference(), examples(), kinds());
    // What is refused of a kind: a case whose findings underline a line that has its word.
    let refused: String = files("tests/config/invalid", "txt")
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a case can be read"))
        .collect();
    let mut missing = Vec::new();
    for kind in policies.iter().chain(&actions) {
        if !reference.lines().any(|line| line.starts_with('#') && line.ends_with(&format!("`{kind}`"))) {
            missing.push(format!("{kind}: no section in docs/reference.md"));
        }
        if !examples.iter().any(|config| has_policy(config, kind) || has_action(config, kind)) {
            missing.push(format!("{kind}: no example in tests/config/valid"));
        }
        if !refused.contains(&format!("{kind}: ")) {
            missing.push(format!("{kind}: no refused case in tests/config/invalid"));
        }
    }
    none("every kind is documented and shown, right and wrong", &missing);
}

#[test]
fn every_error_has_its_row_and_a_test_that_provokes_it() {
    let reference = reference();
    let mut tests = String::new();
    for source in sources("src") {
        if source.room().is_some_and(|room| PROVOKING.contains(&room)) {
            // Texts count here: a test may ask for the phrase that a client sees.
            let lines = source.text.lines().zip(source.tests.lines().chain(std::iter::repeat("")));
            let is_test = crate::source::is_test_file(&source.path);
            for (line, code) in lines {
                if is_test || !code.trim().is_empty() {
                    tests.push_str(line);
                    tests.push('\n');
                }
            }
        }
    }
    for source in sources("tests") {
        if !source.path.starts_with("tests/tidy/") {
            tests.push_str(&source.text);
        }
    }
    let mut missing = Vec::new();
    for kind in ErrorKind::ALL {
        let (name, phrase) = (kind.name(), kind.phrase());
        if !reference.contains(&format!("| `{name}` |")) {
            missing.push(format!("{name}: no row in docs/reference.md"));
        }
        let words = [format!("ErrorKind::{kind:?}"), format!("\"{name}\""), format!("\"{phrase}\"")];
        if !words.iter().any(|word| tests.contains(word.as_str())) {
            missing.push(format!("{name}: no test provokes it"));
        }
    }
    none("every error is documented and provoked", &missing);
}
