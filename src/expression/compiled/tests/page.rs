//! The page of functions (`docs/expressions.md`) says what is so, and all of it.

use super::differential::{came_to, rows, same};
use super::*;
use crate::expression::functions::{FUNCTIONS, MACROS, TYPES};

const PAGE: &str = include_str!("../../../../docs/expressions.md");

/// What the examples of the page read: a token, a request and its answers.
fn shown(text: &str) -> String {
    let exchange = Builder::get("/api/users/7?page=2")
        .header("x-a", "1")
        .identity("alice", json!({"sub": "alice", "roles": ["admin", "dev"]}), &["read"])
        .build();
    match compile(text).value(&exchange) {
        Ok(value) => value.to_string(),
        Err(_) => "error".to_owned(),
    }
}

#[test]
fn every_example_comes_to_its_result() {
    let mut count = 0;
    for row in rows(PAGE).filter(|row| row.len() >= 3) {
        let (example, result) = (&row[1], &row[2]);
        let got = if example.contains("identity") || example.contains("request") {
            shown(example)
        } else {
            came_to(example)
        };
        assert!(same(&got, result), "`{}`: {example} is {got}, not {result}", row[0]);
        count += 1;
    }
    assert!(count > 100, "{count} examples");
}

#[test]
fn whatever_can_be_called_is_on_the_page_and_nothing_else() {
    let listed: Vec<String> = rows(PAGE).filter(|row| row.len() >= 3).map(|row| row[0].clone()).collect();
    let known: Vec<&str> = FUNCTIONS
        .iter()
        .map(|function| function.name)
        .chain(MACROS.iter().map(|(name, _)| *name))
        .chain(TYPES.iter().copied())
        .collect();
    for name in &known {
        assert!(listed.iter().any(|other| other == name), "`{name}` is not on the page");
    }
    let is_name = |name: &&String| name.starts_with(|first: char| first.is_ascii_alphabetic());
    for name in listed.iter().filter(is_name) {
        assert!(known.contains(&name.as_str()) || name == "in", "`{name}` is on the page, but there is none");
    }
    // Each number of arguments has an example.
    for function in FUNCTIONS {
        let name = function.name;
        let examples: Vec<String> =
            rows(PAGE).filter(|row| row.len() >= 3 && row[0] == name).map(|row| row[1].clone()).collect();
        for counts in [function.global, function.member] {
            assert!(examples.len() >= counts.len(), "`{name}` has too few examples");
        }
    }
}

#[test]
fn the_bounds_on_the_page_are_those_that_hold() {
    use crate::expression::{budget, parse};
    let grouped = |number: u64| {
        let digits = number.to_string();
        let thousands: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap()).collect();
        thousands.join(",")
    };
    for number in [
        parse::MAX_TEXT as u64,
        parse::MAX_DEPTH as u64,
        parse::MAX_PARTS as u64,
        parse::MAX_LOOPS as u64,
        budget::BUDGET,
    ] {
        assert!(PAGE.contains(&format!("| {} |", grouped(number))), "{number} is not on the page");
    }
}
