use std::path::Path;

use proptest::prelude::*;

use super::{Document, document_from_text};

fn read(text: &str) -> Document {
    document_from_text(Path::new("portcullis.yaml"), text, &|_| None)
}

fn findings(text: &str) -> String {
    read(text).diagnostics.render(false)
}

#[test]
fn nodes_keep_their_places_in_characters() {
    let document = read(
        "# caf\u{e9}\n\u{e9}t\u{e9}: { \"k\u{e9}y\" : \"v\u{e4}lue\"  }\nlist:\n  - one\n  - |\n    two\n",
    );
    let root = document.root.unwrap();
    let place = |span: super::Span| (span.line, span.column, span.length);
    assert_eq!(place(root.entries()[0].key.span), (2, 1, 3));
    let inner = &root.entries()[0].value.entries()[0];
    assert_eq!((place(inner.key.span), place(inner.value.span)), ((2, 8, 5), (2, 16, 7)));
    assert_eq!(place(root.get("list").unwrap().items()[0].span), (4, 5, 3));
}

#[test]
fn a_fault_at_the_end_of_a_text_has_its_place_in_it() {
    let reported = findings("listen: x\nroutes:\n  /a:\n    upstream: u\n    p");
    assert!(reported.starts_with("portcullis.yaml:5:6: error: this is not YAML"), "{reported}");
    assert!(reported.contains("    5 |     p\n"), "{reported}");
}

#[test]
fn a_lone_carriage_return_begins_no_line() {
    let document = read("# a\rlisten: x\r\nroutes: y\n");
    let place = |span: super::Span| (span.line, span.column, span.length);
    let root = document.root.unwrap();
    assert_eq!(place(root.entries()[0].key.span), (1, 5, 6));
    assert_eq!(place(root.entries()[1].key.span), (2, 1, 6));
}

#[test]
fn a_byte_order_mark_may_open_a_file() {
    let document = read("\u{feff}listen: x\n");
    assert_eq!(document.root.unwrap().entries()[0].key.value, "listen");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("a: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert!(findings(&deep).contains("nested more than 64 deep"), "{}", findings(&deep));
    let deeper = format!("a: {}", "[{a: ".repeat(50_000));
    assert!(read(&deeper).diagnostics.has_errors());
    let deep: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(findings(&deep).contains("nested more than 64 deep"));
    let fine = format!("a: {}{}\n", "[".repeat(60), "]".repeat(60));
    assert!(read(&fine).diagnostics.is_empty());
}

#[test]
fn aliases_stand_for_what_they_name_within_bounds() {
    let document = read("a: &x { b: 1 }\nc: *x\n");
    let root = document.root.unwrap();
    assert!(root.get("c").unwrap().same(root.get("a").unwrap()));

    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let line = format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        laughs.push_str(&line);
    }
    assert!(findings(&laughs).contains("more than 200000 values"), "{}", findings(&laughs));

    let mut tower = String::from("a0: &a0 [x]\n");
    for level in 1..100 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(findings(&tower).contains("nested more than 64 deep"));
    assert!(findings("a: &a [*a]\n").contains("inside what it names"));
    assert!(findings("a: *nobody\n").contains("not YAML"));
}

#[test]
fn keys_are_text_and_stand_once() {
    assert!(findings("? [a]\n: b\n").contains("a key must be text"));
    assert!(findings("{ : b }\n").contains("a key is missing"));
    assert!(findings("a: 1\n'a': 2\n").contains("the key `a` is written twice"));
    assert!(findings("a: { b: {{X}} }\n").contains("a key must be text"));
}

#[test]
fn a_reference_that_fails_is_underlined_alone() {
    let document = read("a: \"x${NOPE}y\"\n");
    let node = document.root.as_ref().unwrap().get("a").unwrap();
    let field = crate::config::Field::new("a", node.span, node, &document.diagnostics);
    assert!(field.text().is_none());
    let span = document.diagnostics.sorted()[0].span.unwrap();
    assert_eq!((span.column, span.length), (6, 7));
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    // A pipe that nobody writes to would hold the load up for ever; a device may have no end.
    let document = read("a: \"${file:/dev/zero}\"\n");
    let node = document.root.as_ref().unwrap().get("a").unwrap();
    let field = crate::config::Field::new("a", node.span, node, &document.diagnostics);
    assert!(field.text().is_none());
    assert!(document.diagnostics.sorted()[0].what.contains("is no regular file"));
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[a-c:\\-\\[\\]{},&*!|>'\"#%@`?\\\\ \n\t$~é.0-9]{0,80}") {
        let document = read(&text);
        prop_assert!(document.root.is_some() || document.diagnostics.has_errors());
        let _ = document.diagnostics.render(true);
    }

    #[test]
    fn no_bytes_break_a_whole_load(text in "(listen: |routes: |/a|: |\\{|\\}|upstream|match|\"\\$\\{X\\}\"|policies|auth|- |\n|  |none|1s|\\[|\\]|, ){0,40}") {
        let vocabulary = crate::config::Vocabulary { policies: &["auth"], later: &[] };
        let loaded = crate::config::load_text(Path::new("x"), &text, &|_| None, vocabulary);
        prop_assert!(loaded.config.is_some() || loaded.diagnostics.has_errors());
        let _ = loaded.diagnostics.render(false);
    }
}
