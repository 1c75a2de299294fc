//! What a client gets for every combination of outcomes: four sources, each of them fine, failed or too late, in layouts that
//! give each source each role. What is expected comes from a model of the table in docs/aggregates.md, whose rows and
//! statuses are read from the page.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::parts::{JSON, page_table, told};
use crate::support::{Answer, Gateway, Origin, Turn};

const NAMES: [&str; 4] = ["user", "orders", "tips", "ads"];

/// What a source falls back to, where its role says so: every kind of value.
const FALLBACKS: [(&str, &str); 4] =
    [("[]", "[]"), ("{ f: [1, null] }", r#"{"f":[1,null]}"#), ("\"none\"", "\"none\""), ("0", "0")];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Ok,
    Failed,
    Late,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Optional,
    Fallback,
    Required,
}

use Outcome::{Failed, Late};
use Role::{Fallback, Optional, Required};

/// Every source is there in every role, alone and beside every other role.
const LAYOUTS: [[Role; 4]; 11] = [
    [Optional; 4],
    [Fallback; 4],
    [Required; 4],
    [Required, Optional, Fallback, Optional],
    [Optional, Required, Optional, Fallback],
    [Fallback, Optional, Required, Optional],
    [Optional, Fallback, Optional, Required],
    [Required, Fallback, Required, Optional],
    [Fallback, Required, Fallback, Required],
    [Optional, Required, Required, Fallback],
    [Fallback, Optional, Optional, Fallback],
];

/// What the page says of one combination.
struct Expected {
    status: u16,
    /// The whole body; `None` is a problem.
    body: Option<String>,
    /// What `detail` may be; nothing where the page does not say.
    details: Vec<String>,
    /// What `aggregate-status` names: always, and where the call has ended early, perhaps.
    named: Vec<(&'static str, &'static str)>,
    perhaps: Vec<(&'static str, &'static str)>,
    cache_control: Option<&'static str>,
}

/// The status in the row of that situation.
fn row(situation: &str) -> u16 {
    let rows = page_table("Situation");
    let found = rows.iter().find(|row| row[0] == situation).unwrap_or_else(|| panic!("a row {situation}"));
    found[1].parse().unwrap()
}

const ROWS: [&str; 6] = [
    "a `required` source failed as `timeout`",
    "a `required` source failed otherwise",
    "no source is `ok`, and all that failed failed as `timeout`",
    "no source is `ok`, and one failed otherwise",
    "a source failed, another is `ok`",
    "no source failed",
];

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Failed => "status",
        Late => "timeout",
    }
}

/// The names and words of those sources.
fn words(outcomes: [Outcome; 4], wanted: impl Fn(usize) -> bool) -> Vec<(&'static str, &'static str)> {
    (0..4).filter(|at| wanted(*at)).map(|at| (NAMES[at], word(outcomes[at]))).collect()
}

/// An answer that ends at the failure of one of those sources. A failure comes at once, a timeout after all that came at once.
fn ends(outcomes: [Outcome; 4], deciding: &[usize]) -> Expected {
    let late = deciding.iter().all(|at| outcomes[*at] == Late);
    let deciding: Vec<usize> =
        deciding.iter().copied().filter(|at| late || outcomes[*at] == Failed).collect();
    Expected {
        status: row(ROWS[usize::from(!late)]),
        body: None,
        details: deciding.iter().map(|at| format!("{}: {}", NAMES[*at], word(outcomes[*at]))).collect(),
        named: words(outcomes, |at| late && outcomes[at] != Late),
        perhaps: words(outcomes, |at| late || outcomes[at] != Late),
        cache_control: None,
    }
}

/// The model of mode `partial`.
fn partial(layout: [Role; 4], outcomes: [Outcome; 4]) -> Expected {
    let failed: Vec<usize> = (0..4).filter(|at| outcomes[*at] != Outcome::Ok).collect();
    let required: Vec<usize> = failed.iter().copied().filter(|at| layout[*at] == Required).collect();
    if !required.is_empty() {
        return ends(outcomes, &required);
    }
    let named = words(outcomes, |_| true);
    if failed.len() == 4 {
        let late = outcomes.iter().all(|outcome| *outcome == Late);
        let status = row(ROWS[if late { 2 } else { 3 }]);
        let perhaps = named.clone();
        return Expected { status, body: None, details: vec![], named, perhaps, cache_control: None };
    }
    let members: Vec<String> = (0..4)
        .map(|at| match (outcomes[at], layout[at]) {
            (Outcome::Ok, _) => format!(r#""{0}":{{"from":"{0}"}}"#, NAMES[at]),
            (_, Fallback) => format!(r#""{}":{}"#, NAMES[at], FALLBACKS[at].1),
            _ => format!(r#""{}":null"#, NAMES[at]),
        })
        .collect();
    let error = |at: &usize| {
        let status = if outcomes[*at] == Late { 504 } else { 500 };
        format!(r#""{}":{{"error":"{}","status":{status}}}"#, NAMES[*at], word(outcomes[*at]))
    };
    let errors: Vec<String> = failed.iter().map(error).collect();
    let told =
        if failed.is_empty() { String::new() } else { format!(r#","_errors":{{{}}}"#, errors.join(",")) };
    Expected {
        status: row(ROWS[if failed.is_empty() { 5 } else { 4 }]),
        body: Some(format!("{{{}{told}}}", members.join(","))),
        details: vec![],
        perhaps: named.clone(),
        named,
        cache_control: Some(if failed.is_empty() { "max-age=60" } else { "no-store" }),
    }
}

/// The model of mode `all`: every source is required, and nothing is told in headers.
fn all(outcomes: [Outcome; 4]) -> Expected {
    Expected { named: vec![], perhaps: vec![], ..partial([Required; 4], outcomes) }
}

/// What of the answer is not as expected.
fn deviation(expected: &Expected, answer: &Answer, mode_all: bool) -> Option<String> {
    let text = answer.text();
    if answer.status != expected.status || !answer.complete {
        return Some(format!("{}, not {}", answer.status, expected.status));
    }
    let cache_control = answer.header("cache-control");
    if let Some(body) = &expected.body {
        if *body != text || cache_control != expected.cache_control {
            return Some(format!("{cache_control:?} {text}, not {:?} {body}", expected.cache_control));
        }
    } else {
        let phrase = if expected.status == 504 { "upstream timeout" } else { "upstream failure" };
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap_or_default();
        let details = &expected.details;
        if answer.problem(expected.status) != phrase || text.contains("127.0.0.1") {
            return Some(text);
        }
        if !details.is_empty() && !details.iter().any(|one| one == detail) {
            return Some(format!("{detail:?}, not one of {details:?}"));
        }
        if !matches!(cache_control, None | Some("no-store")) {
            return Some(format!("an error with {cache_control:?}"));
        }
    }
    if mode_all {
        return answer.headers.has("aggregate-status").then(|| "aggregate-status in mode all".to_owned());
    }
    let told = told(answer);
    let named: Vec<(&str, &str)> = told.iter().map(|(name, word)| (name.as_str(), word.as_str())).collect();
    // In the order written: a part of what may be named, with all of what is.
    let mut perhaps = expected.perhaps.iter();
    let in_order = named.iter().all(|one| perhaps.any(|other| other == one));
    let whole = expected.named.iter().all(|one| named.contains(one));
    let decided = expected.details.is_empty()
        || named.iter().any(|(name, word)| answer.json()["detail"] == format!("{name}: {word}"));
    let right = in_order && whole && decided;
    (!right).then(|| format!("{named:?}, not {:?} of {:?}", expected.named, expected.perhaps))
}

fn route(at: usize, layout: [Role; 4]) -> String {
    let source = |index: usize| {
        let role = match layout[index] {
            Optional => String::new(),
            Fallback => format!(", fallback: {}", FALLBACKS[index].0),
            Required => ", required: true".to_owned(),
        };
        let (name, number) = (NAMES[index], index + 1);
        format!("{name}: {{ upstream: STEADY{number}, path: '/{{o{number}}}', timeout: 1s{role} }}")
    };
    let sources: Vec<String> = (0..4).map(source).collect();
    format!(
        "  /{at}/{{o1}}/{{o2}}/{{o3}}/{{o4}}: {{ aggregate: {{ mode: partial, sources: {{ {} }} }} }}\n",
        sources.join(", ")
    )
}

fn config() -> String {
    let partial = LAYOUTS.iter().enumerate().map(|(at, layout)| route(at, *layout));
    let routes: String = partial.collect();
    let all = route(LAYOUTS.len(), [Optional; 4]).replace("mode: partial", "mode: all");
    format!("routes:\n{routes}{all}")
}

fn every_outcome() -> impl Iterator<Item = [Outcome; 4]> {
    let one = |number: usize, place: u32| [Outcome::Ok, Failed, Late][number / 3_usize.pow(place) % 3];
    (0..81).map(move |number| [one(number, 0), one(number, 1), one(number, 2), one(number, 3)])
}

#[test]
fn the_page_has_the_rows_that_the_model_knows() {
    let situations: Vec<&str> = page_table("Situation").iter().map(|row| row[0]).collect();
    assert_eq!(situations, ROWS, "the model below is to follow");
    let roles: BTreeSet<String> = LAYOUTS
        .iter()
        .flat_map(|layout| layout.iter().enumerate().map(|(at, role)| format!("{at} {role:?}")))
        .collect();
    assert_eq!(roles.len(), 12, "every source in every role");
}

#[test]
fn every_combination_of_outcomes_is_told_as_the_page_says() {
    let origin = |name: &'static str| {
        let body = format!(r#"{{"from":"{name}"}}"#);
        Origin::serve(move |turn: &mut Turn| match turn.request().target() {
            "/Ok" => turn.answer(200, &[JSON, ("Cache-Control", "max-age=60")], &body),
            "/Failed" => turn.answer(500, &[JSON, ("Cache-Control", "max-age=60")], r#"{"secret":1}"#),
            _ => turn.wait_closed(),
        })
    };
    let origins = NAMES.map(origin);
    let gateway = Gateway::start(&origins.each_ref(), &config());
    // Those that wait come first, each beside as many others as there are clients.
    let mut calls: Vec<(usize, [Outcome; 4])> =
        (0..=LAYOUTS.len()).flat_map(|at| every_outcome().map(move |outcomes| (at, outcomes))).collect();
    calls.sort_by_key(|(_, outcomes)| !outcomes.contains(&Late));
    let (next, deviations) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let mut client = gateway.client();
        while let Some((at, outcomes)) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            let [a, b, c, d] = outcomes;
            let answer = client.get(&format!("/{at}/{a:?}/{b:?}/{c:?}/{d:?}"));
            let layout = LAYOUTS.get(*at);
            let expected = layout.map_or_else(|| all(*outcomes), |layout| partial(*layout, *outcomes));
            if let Some(what) = deviation(&expected, &answer, layout.is_none()) {
                deviations.lock().unwrap().push(format!("{layout:?} {outcomes:?}: {what}"));
            }
        }
    };
    std::thread::scope(|scope| (0..100).for_each(|_| drop(scope.spawn(work))));
    let deviations = deviations.into_inner().unwrap();
    assert!(deviations.is_empty(), "{} of {}:\n{}", deviations.len(), calls.len(), deviations.join("\n"));
    assert_eq!(gateway.log(calls.len()).len(), calls.len(), "a line for each");
}
