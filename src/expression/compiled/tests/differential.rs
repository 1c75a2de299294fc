//! What a second runtime makes of a thousand expressions (`tests/vectors/cel.txt`; `./dev differential` asks it anew),
//! and where we have decided otherwise (`docs/decisions/0021-what-cel-means-here.md`).

use super::*;

/// What an expression comes to, as a line of the vectors has it.
pub(super) fn came_to(text: &str) -> String {
    let exchange = Builder::get("/").build();
    match compile(text).value(&exchange) {
        Ok(value) => value.to_string(),
        Err(_) => "error".to_owned(),
    }
}

/// Whether two results mean the same: members in any order, doubles however they are written.
pub(super) fn same(ours: &str, theirs: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match (read(ours), read(theirs)) {
        (Some(ours), Some(theirs)) => alike(&ours, &theirs),
        _ => ours == theirs,
    }
}

fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn a_second_runtime_comes_to_the_same() {
    let path = std::env::var("PORTCULLIS_CEL_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/cel.txt").to_owned());
    let file = std::fs::read_to_string(path).unwrap();
    let (mut count, mut errors, mut wrong) = (0, 0, Vec::new());
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (text, theirs) = line.split_once('\t').unwrap();
        let ours = came_to(text);
        count += 1;
        errors += usize::from(theirs == "error");
        if !same(&ours, theirs) {
            wrong.push(format!("{text}\n    ours   {ours}\n    theirs {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 1000, "{count} expressions");
    assert!(errors * 4 < count, "{errors} of {count} are errors");
}

/// The rows of a table of a page whose cells begin with code, without the marks.
pub(super) fn rows(page: &str) -> impl Iterator<Item = Vec<String>> {
    page.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let line = line.replace("\\|", "\u{0}");
        let cells = line.trim_matches('|').split(" | ").map(str::trim);
        cells.map(|cell| cell.trim_matches('`').replace('\u{0}', "|")).collect()
    })
}

#[test]
fn what_differs_is_listed_and_comes_to_what_is_written() {
    let page = include_str!("../../../../docs/decisions/0021-what-cel-means-here.md");
    let mut count = 0;
    for row in rows(page) {
        let [text, ours, theirs, ..] = row.as_slice() else { panic!("a row with few cells: {row:?}") };
        let got = if compiles(text) { came_to(text) } else { "refused".to_owned() };
        assert!(same(&got, ours), "{text} is {got}, not {ours}");
        assert!(!same(ours, theirs), "{text} does not differ");
        count += 1;
    }
    assert!(count >= 10, "{count} rows");
}

fn compiles(text: &str) -> bool {
    Expression::compile(text, &scope()).is_ok()
}
