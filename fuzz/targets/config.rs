//! Any text as a configuration: every finding has a place in it, there is a snapshot or an error and never both, and
//! written anew as JSON the tree means the same.
#![no_main]

#[path = "support/parser.rs"]
mod parser;

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::{Corpus, fuzz_target};
use portcullis::config::{
    Diagnostics, Files, Loaded, Node, ScalarType, Span, Value, load_text, tree_from_text, write_string,
};
use portcullis::snapshot::compile::{Environment, compile, vocabulary};

/// What no message may show.
const HIDDEN: &str = "hush-hush-hush-hush-hush-hush-hush-hush";

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(HIDDEN.to_owned()),
        "PORT" => Some("8080".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn place(files: &Files, span: Span) {
    let text = files.text(span.file);
    let line = span.line.checked_sub(1).and_then(|line| text.split('\n').nth(line as usize));
    let Some(line) = line else { panic!("{span:?} is below the text") };
    assert!(
        span.column >= 1 && span.column as usize <= line.chars().count() + 1,
        "{span:?} is beside its line"
    );
    let start = line.as_ptr() as usize - text.as_ptr() as usize;
    let left = text[start..].chars().count();
    assert!((span.column - 1 + span.length) as usize <= left, "{span:?} ends below the text");
}

fn told(text: &str, found: &Diagnostics) -> String {
    let files = found.files();
    for finding in found.sorted() {
        finding
            .span
            .into_iter()
            .chain(finding.notes.iter().map(|note| note.span))
            .for_each(|span| place(files, span));
        assert!(!finding.what.is_empty());
    }
    let plain = found.render(false);
    assert!(!plain.chars().any(|letter| letter.is_control() && letter != '\n'), "{plain}");
    assert_eq!(plain.is_empty(), found.is_empty());
    let json = found.to_json().to_string();
    assert!(text.contains("hush") || !(plain.contains("hush") || json.contains("hush")), "{plain}");
    plain
}

/// Loads and compiles, as `check` does: everything that is said of it.
fn check(text: &str) -> String {
    let Loaded { config, diagnostics, unreadable, .. } =
        load_text(Path::new("portcullis.yaml"), text, &env, vocabulary());
    assert!(!unreadable);
    match config {
        Some(config) => {
            let made = compile(&Arc::new(config), None, &Environment::new(1), &diagnostics);
            assert_eq!(made.is_none(), diagnostics.has_errors(), "an error and no snapshot, or none");
        }
        None => assert!(diagnostics.has_errors(), "nothing came of it, and nothing was said"),
    }
    told(text, &diagnostics)
}

/// Writes a tree as JSON, which is YAML; false where a key is longer than YAML takes in one line.
fn write(node: &Node, out: &mut String) -> bool {
    match &node.value {
        Value::Scalar(scalar) if scalar.resolve_type() == ScalarType::Text => write_string(scalar.raw(), out),
        Value::Scalar(_) if node.is_null() => out.push_str("null"),
        Value::Scalar(scalar) => out.push_str(scalar.raw()),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                if !write(item, out) {
                    return false;
                }
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (at, entry) in entries.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                let start = out.len();
                write_string(&entry.key.value, out);
                if out.len() - start > 1000 {
                    return false;
                }
                out.push_str(": ");
                if !write(&entry.value, out) {
                    return false;
                }
            }
            out.push('}');
        }
    }
    true
}

fn read_again(text: &str) {
    let first = tree_from_text(Path::new("a.yaml"), text);
    let Some(root) = first.root.filter(|_| !first.diagnostics.has_errors()) else { return };
    let mut json = String::new();
    if !write(&root, &mut json) {
        return;
    }
    let second = tree_from_text(Path::new("b.yaml"), &json);
    let again = second.root.unwrap_or_else(|| panic!("{json}: {}", second.diagnostics.render(false)));
    assert!(root.same(&again) && again.same(&root), "{json}");
}

fuzz_target!(init: parser::spare(), |bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    // No file of this machine is read.
    if text.contains("file:") {
        return Corpus::Reject;
    }
    let told = check(text);
    assert_eq!(check(text), told, "the same is said of it again");
    read_again(text);
    Corpus::Keep
});
