//! The faults that the simulation has to find: each patch of `tests/simulation/mutants` applies to the source as it is.

use std::collections::HashMap;
use std::path::Path;

use crate::none;
use crate::source::{files, root};

/// One change of a patch.
struct Hunk<'a> {
    file: &'a str,
    /// The lines that it replaces, with those around them, and what stands there afterwards.
    old: Vec<&'a str>,
    new: Vec<&'a str>,
}

/// The changes of a patch in the unified format.
fn hunks(patch: &str) -> Vec<Hunk<'_>> {
    let mut hunks: Vec<Hunk<'_>> = Vec::new();
    let mut file = "";
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = path;
        } else if line.starts_with("@@ ") {
            hunks.push(Hunk { file, old: Vec::new(), new: Vec::new() });
        } else if let Some(hunk) = hunks.last_mut().filter(|hunk| hunk.file == file) {
            match line.split_at_checked(1) {
                Some((" ", text)) => {
                    hunk.old.push(text);
                    hunk.new.push(text);
                }
                Some(("-", text)) if !line.starts_with("--- ") => hunk.old.push(text),
                Some(("+", text)) => hunk.new.push(text),
                None => {
                    hunk.old.push("");
                    hunk.new.push("");
                }
                _ => {}
            }
        }
    }
    hunks
}

/// What of a patch does not apply to these files, changed as far as it does.
fn misfits(patch: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let hunks = hunks(patch);
    let mut wrong = Vec::new();
    if hunks.is_empty() {
        wrong.push("changes nothing".to_owned());
    }
    let mut changed: HashMap<&str, String> = HashMap::new();
    for (number, Hunk { file, old, new }) in hunks.iter().enumerate() {
        let text = changed.entry(file).or_insert_with(|| format!("\n{}", read(file)));
        let (old, new) = (format!("\n{}\n", old.join("\n")), format!("\n{}\n", new.join("\n")));
        match text.matches(&old).count() {
            _ if old == new => wrong.push(format!("hunk {} changes nothing", number + 1)),
            1 => *text = text.replace(&old, &new),
            count => {
                wrong.push(format!("the old lines of hunk {} stand {count} times in {file}", number + 1))
            }
        }
    }
    wrong
}

#[test]
fn every_fault_for_the_simulation_still_applies() {
    let text = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let patches = files("tests/simulation/mutants", "patch");
    assert!(patches.len() > 1, "there are faults to be found");
    let mut wrong = Vec::new();
    for patch in &patches {
        let found = misfits(&text(patch), |file| text(&root().join(file)));
        wrong.extend(found.into_iter().map(|why| format!("{}: {why}", patch.display())));
    }
    none("tests/simulation/mutants", &wrong);
}

#[test]
fn a_fault_that_does_not_apply_any_more_is_seen() {
    let patch = "--- a/x.rs\n+++ b/x.rs\n@@ -1,3 +1,3 @@ fn x\n one\n-two\n+2\n three\n";
    let with = |text: &'static str| misfits(patch, |_| text.to_owned()).len();
    assert_eq!(with("one\ntwo\nthree\n"), 0);
    assert_eq!(with("zero\none\ntwo\nthree\nfour\n"), 0);
    assert_eq!(with("one\n2\nthree\n"), 1);
    assert_eq!(with("one\ntwo\nthree\n\none\ntwo\nthree\n"), 1);
    assert_eq!(misfits("", |_| String::new()).len(), 1);
}
