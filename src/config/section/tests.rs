use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Key, Section};
use crate::config::{Document, Field, Json, Kind, document_from_text, shape};

const TABLE: &[Key] = &[
    Key::needed("limit", shape::integer, "How many"),
    Key::optional("window", shape::duration, "In which time"),
    Key::optional("requests_per_minute", shape::integer, "How many a minute"),
    Key::later("burst"),
];

fn read(text: &str) -> Document {
    let env = |name: &str| (name == "N").then(|| "7".to_owned());
    document_from_text(Path::new("portcullis.yaml"), text, &env)
}

fn field<'a>(document: &'a Document, name: &'a str) -> Field<'a> {
    let node = document.root.as_ref().and_then(|root| root.get(name)).unwrap();
    Field::new(name, node.span, node, &document.diagnostics)
}

fn findings(document: &Document) -> Vec<String> {
    document
        .diagnostics
        .sorted()
        .into_iter()
        .map(|d| format!("{} ({})", d.what, d.help.unwrap_or_default()))
        .collect()
}

#[test]
fn a_section_tells_every_wrong_key() {
    let document = read("edge: { requests_per_minut: 100, burst: 5, window: 60s }\n");
    let section = Section::open(field(&document, "edge"), TABLE).unwrap();
    assert_eq!(section.get("window").and_then(|f| f.duration()), Some(Duration::from_secs(60)));
    let told = findings(&document).join("\n");
    assert!(
        told.contains("unknown key `requests_per_minut` in `edge` (did you mean `requests_per_minute`?)"),
        "{told}"
    );
    assert!(told.contains("`burst` is part of the language but not supported"), "{told}");
    assert!(!told.contains("needs the key"), "a key for later may stand in its place: {told}");

    let document = read("edge: { window: 60s }\n");
    Section::open(field(&document, "edge"), TABLE).unwrap();
    assert_eq!(findings(&document), ["`edge` needs the key `limit` ()"]);
}

#[test]
fn numbers_and_booleans_are_strict() {
    let document = read("a: \"${N}\"\nb: \"7\"\nc: 007\nd: true\ne: 'true'\nf: 0x10\ng: 11\nh: 1e3\n");
    assert_eq!(field(&document, "a").integer(0..=10), Some(7));
    assert_eq!(field(&document, "d").boolean(), Some(true));
    for name in ["b", "c", "f", "g", "h"] {
        assert_eq!(field(&document, name).integer(0..=10), None, "{name}");
    }
    assert_eq!(field(&document, "e").boolean(), None);
    assert_eq!(findings(&document).len(), 6);
}

#[test]
fn text_is_no_number() {
    let document = read("a: 1.10\nb: true\nc: \"1.10\"\nd: yes\ne: 2026-01-01\n");
    assert!(field(&document, "a").header_value().is_none());
    assert!(field(&document, "b").header_value().is_none());
    assert_eq!(field(&document, "c").header_value().unwrap().as_str(), "1.10");
    assert_eq!(field(&document, "d").text().unwrap().as_str(), "yes");
    assert_eq!(field(&document, "e").text().unwrap().as_str(), "2026-01-01");
    assert_eq!(findings(&document)[0], "`a` must be text, not a number (quote it: \"1.10\")");
}

#[test]
fn cel_is_read_as_written() {
    let document = read("a: 'x == \"${N}\"'\nb: true\nc: 1 < 2\nd:\n");
    let text = field(&document, "a").cel().unwrap();
    assert_eq!(text.as_str(), "x == \"${N}\"");
    assert_eq!((text.part(5..11).column, text.part(5..11).length), (10, 6));
    assert_eq!(field(&document, "b").cel().unwrap().as_str(), "true");
    assert!(field(&document, "d").cel().is_none());
    assert_eq!(findings(&document).len(), 1);
}

#[test]
fn json_keeps_digits_and_order() {
    let document = read(
        "a: { z: 1.10, a: [null, , true, 1e400, \"q\\\"\\u0001${N}\"], e: }\n".replace(", ,", ",").as_str(),
    );
    let mut out = String::new();
    field(&document, "a").json().unwrap().write(&mut out);
    assert_eq!(out, "{\"z\":1.10,\"a\":[null,true,1e400,\"q\\\"\\u00017\"],\"e\":null}");
    let document = read("a: [0x1F, .inf, 007, +1, .5]\n");
    assert_eq!(field(&document, "a").json(), None::<Json>);
    assert_eq!(findings(&document).len(), 5);
}

#[test]
fn what_a_reference_holds_is_not_told() {
    let document = read("a: \"${N}\"\n");
    assert!(field(&document, "a").duration().is_none());
    let told = format!("{:?} {:?}", findings(&document), document.root);
    assert!(!told.contains('7'), "{told}");
}

#[test]
fn kinds_are_found_documented_and_built() {
    struct Limit(u64);
    type Build = for<'f> fn(Field<'f>, &u64) -> Option<Arc<Limit>>;
    const KINDS: &[Kind<Build>] = &[Kind {
        name: "limit",
        summary: "So many",
        schema: || shape::object(TABLE),
        build: |field, factor| {
            let section = Section::open(field, TABLE)?;
            section.get("limit")?.integer(1..=100).map(|limit| Arc::new(Limit(limit * factor)))
        },
    }];
    let document = read("a: { limit: 5 }\nb: { limit: 500 }\n");
    let kind = Kind::find(KINDS, "limit").unwrap();
    assert_eq!((kind.build)(field(&document, "a"), &10).unwrap().0, 50);
    assert!((kind.build)(field(&document, "b"), &10).is_none());
    assert_eq!(findings(&document), ["`limit` is out of bounds (it is between 1 and 100)"]);
    let schemas = Kind::schemas(KINDS);
    assert_eq!(schemas[0].1["description"], "So many");
    assert!(schemas[0].1["properties"].get("burst").is_none());
}
