//! Unit tests of the room.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn verdicts(text: &[u8]) -> bool {
    let whole = check(text);
    let mut pieces = (Scanner::new(0), Utf8::default());
    let in_pieces = (|| {
        let mut ended = false;
        for byte in text.chunks(1) {
            pieces.1.feed(byte)?;
            if ended || matches!(pieces.0.feed(byte)?, Some(0)) {
                ended = true;
                if !is_blank(byte[0]) {
                    return Err(Invalid::Trailing);
                }
            }
        }
        pieces.1.finish()?;
        pieces.0.finish()
    })();
    assert_eq!(whole.is_ok(), in_pieces.is_ok(), "{:?}", String::from_utf8_lossy(text));
    whole.is_ok()
}

#[test]
fn what_is_json_and_what_is_not() {
    for good in [
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "-0.10e+5",
        "1E400",
        "12345678901234567890",
        "\"\"",
        "\"\\u12aF\\n\"",
        "[]",
        "{}",
        "[1,2]",
        "{\"a\":{},\"a\":[[]]}",
        "\"\\uD800\"",
        "\"é😀\"",
        "\t[\r\n1 , 2 ]",
        "{ \"a\" : 1 }",
    ] {
        assert!(verdicts(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        " ",
        "nul",
        "nulll",
        "tru e",
        "00",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "[",
        "[1,",
        "[1,]",
        "[,1]",
        "]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "[] []",
        "// x\n1",
        "\u{a0}1",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "\u{feff}1",
    ] {
        assert!(!verdicts(bad.as_bytes()), "{bad}");
    }
    for bad in
        [b"\"\xff\"".as_slice(), b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xe2\x82\"", b"[\"\xf0\x9f\x98\"]"]
    {
        assert!(!verdicts(bad));
    }
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(verdicts(nested(MAX_DEPTH).as_bytes()));
    assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(Invalid::TooDeep));
    let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    assert!(verdicts(objects(MAX_DEPTH).as_bytes()));
    assert!(!verdicts(objects(MAX_DEPTH + 1).as_bytes()));
    assert_eq!(check("[".repeat(1_000_000).as_bytes()), Err(Invalid::TooDeep));
}

#[test]
fn members_are_found_where_they_stand() {
    let json = b" { \"a\" : 1 , \"b\\\"\":[2, 3]} ";
    let found: Vec<(&[u8], &[u8])> =
        members(json).unwrap().into_iter().map(|member| (&json[member.name], &json[member.value])).collect();
    assert_eq!(found, [(b"a".as_slice(), b"1".as_slice()), (b"b\\\"", b"[2, 3]")]);
    assert_eq!(members(b"{}"), Some(Vec::new()));
    assert_eq!(members(b"\xef\xbb\xbf{\"a\":1}").map(|found| found.len()), Some(1));
    assert_eq!(members(b"[1]"), None);
}

#[test]
fn parts_are_found_as_they_stand() {
    let json = br#" {"a":[1.10, {"b":{}}, "x"],"c":1,"c":2,"\u0064":null} "#;
    let found =
        |parts: &[Part<'_>]| find(json, parts.iter().copied()).map(|part| std::str::from_utf8(part).unwrap());
    assert_eq!(found(&[Part::Member("a"), Part::Item(0)]), Ok("1.10"));
    assert_eq!(found(&[Part::Member("a"), Part::Item(1), Part::Member("b")]), Ok("{}"));
    assert_eq!(found(&[Part::Member("c")]), Ok("2"));
    assert_eq!(found(&[Part::Member("d")]), Ok("null"));
    assert_eq!(found(&[]), Ok(std::str::from_utf8(json).unwrap().trim()));
    assert_eq!(found(&[Part::Member("e")]), Err(Missing::Absent));
    assert_eq!(found(&[Part::Member("a"), Part::Item(3)]), Err(Missing::Absent));
    assert_eq!(found(&[Part::Member("c"), Part::Member("x")]), Err(Missing::NoParts));
    assert_eq!(find(b"[]", [Part::Item(0)]), Err(Missing::Absent));
}

#[test]
fn an_escape_is_not_the_name_that_is_written_like_it() {
    let json = br#"{"\\u0061":1,"\u0061":2,"\u0061b":3}"#;
    let found = |name| find(json, [Part::Member(name)]).map(|part| std::str::from_utf8(part).unwrap());
    assert_eq!(found(r"\u0061"), Ok("1"));
    assert_eq!(found("a"), Ok("2"));
    assert_eq!(found(r"\u0061b"), Err(Missing::Absent));
    assert_eq!(found("ab"), Ok("3"));
}

#[test]
fn names_are_read_as_they_are_meant() {
    assert_eq!(&*unescaped(br#"a\u00e9\ud83d\ude00\n\"\/"#), "aé😀\n\"/".as_bytes());
    assert_eq!(&*unescaped(br"\ud800x\udc00"), "\u{fffd}x\u{fffd}".as_bytes());
    let mut out = Vec::new();
    push_quoted("a\"\\\u{1}é", &mut out);
    assert_eq!(out, r#""a\"\\\u0001é""#.as_bytes());
}

#[test]
fn paths_are_read_and_written_alike() {
    for text in ["a", "a.b", "orders[].id", "[].id", "m[][].a", "a[\"x.y\"].b", "é"] {
        assert_eq!(Path::parse(text).unwrap().to_string(), text);
    }
    for bad in ["", ".a", "a.", "a..b", "a[", "a[1]", "a[\"x", "a]b", "a[]b", "a\"b"] {
        assert!(Path::parse(bad).is_err(), "{bad}");
    }
}

/// Selects with the value in pieces of this size.
fn select(rules: &Rules, json: &[u8], size: usize) -> Result<String, Invalid> {
    let mut selector = Selector::new(Arc::new(Selection::new(rules).unwrap()));
    let mut out = Vec::new();
    for piece in json.chunks(size) {
        selector.feed(piece, &mut out)?;
    }
    selector.finish(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().map(|text| Path::parse(text).unwrap()).collect()
}

#[test]
fn a_selection_is_the_same_in_pieces_of_every_size() {
    let json = r#" {"a":{"b":1.10,"c":[{"d":"x\"","e":2},null,3,[{"d":1}]]},"\u0066":{"g":"é"},"h":[ 1 ]} "#;
    let rules = Rules {
        keep: paths(&["a.b", "a.c[].d", "f", "h"]),
        omit: paths(&["f.x"]),
        rename: vec![(Path::parse("a.b").unwrap(), "z".into())],
        ..Rules::default()
    };
    let expected = r#"{"a":{"z":1.10,"c":[{"d":"x\""},null,[]]},"\u0066":{"g":"é"},"h":[ 1 ]}"#;
    for size in 1..json.len() {
        assert_eq!(select(&rules, json.as_bytes(), size).unwrap(), expected, "{size}");
    }
}

#[test]
fn a_mark_at_the_front_goes_and_elsewhere_is_an_error() {
    let all = Rules::default();
    for size in 1..5 {
        assert_eq!(select(&all, b"\xef\xbb\xbf[1]", size).unwrap(), "[1]");
        assert!(select(&all, b"\xef\xbb[1]", size).is_err());
        assert!(select(&all, b"[1]\xef\xbb\xbf", size).is_err());
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-c\"\\\\é]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map("[a-c]{1,2}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_path() -> impl Strategy<Value = Path> {
    let text = proptest::collection::vec(("[a-c]{1,2}", 0..2usize), 1..4).prop_map(|steps| {
        steps
            .iter()
            .map(|(name, items)| format!("{name}{}", "[]".repeat(*items)))
            .collect::<Vec<_>>()
            .join(".")
    });
    text.prop_map(|text| Path::parse(&text).unwrap())
}

/// The naive reading of `keep` and `omit`, over a tree: does any of the paths lead to, through, or past this place?
fn model(
    value: &serde_json::Value,
    keep: &[Vec<Step>],
    omit: &[Vec<Step>],
    kept: bool,
) -> Option<serde_json::Value> {
    use serde_json::Value as J;
    let list = value.is_array();
    let reads_here = |path: &Vec<Step>| path.iter().all(|step| *step == Step::Items);
    if omit.iter().any(|path| path.is_empty() || (!list && reads_here(path))) {
        return None;
    }
    let kept = kept || keep.iter().any(reads_here);
    let below = |paths: &[Vec<Step>], wanted: &Step| -> Vec<Vec<Step>> {
        paths
            .iter()
            .flat_map(|path| {
                // `[]` may be stepped over wherever it stands, as far as the next name.
                let names = path.iter().position(|step| *step != Step::Items).unwrap_or(path.len());
                let starts = if *wanted == Step::Items { 0..=0 } else { names..=names };
                starts
                    .filter(|at| path.get(*at) == Some(wanted))
                    .map(|at| path[at + 1..].to_vec())
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    match value {
        J::Object(members) if kept || !keep.is_empty() => Some(J::Object(
            members
                .iter()
                .filter_map(|(name, value)| {
                    let step = Step::Name(name.as_str().into());
                    let (keep, omit) = (below(keep, &step), below(omit, &step));
                    (kept || !keep.is_empty())
                        .then(|| model(value, &keep, &omit, kept).map(|value| (name.clone(), value)))
                        .flatten()
                })
                .collect(),
        )),
        J::Array(items) if kept || !keep.is_empty() => {
            let (keep, omit) = (below(keep, &Step::Items), below(omit, &Step::Items));
            Some(J::Array(
                items
                    .iter()
                    .filter(|_| kept || !keep.is_empty())
                    .filter_map(|item| model(item, &keep, &omit, kept))
                    .collect(),
            ))
        }
        J::Null if kept || !keep.is_empty() => Some(J::Null),
        value => kept.then(|| value.clone()),
    }
}

proptest! {
    #[test]
    fn keep_and_omit_are_what_a_naive_reading_of_a_tree_gives(
        value in any_json(),
        keep in proptest::collection::vec(any_path(), 0..3),
        omit in proptest::collection::vec(any_path(), 0..3),
        size in 1..9usize,
    ) {
        let steps = |paths: &[Path]| paths.iter().map(|path| path.steps().to_vec()).collect::<Vec<_>>();
        let expected = model(&value, &steps(&keep), &steps(&omit), keep.is_empty()).unwrap_or(serde_json::Value::Null);
        let rules = Rules { keep, omit, ..Rules::default() };
        let given = select(&rules, value.to_string().as_bytes(), size).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&given).unwrap(), expected);
    }

    #[test]
    fn whatever_comes_is_judged_as_serde_does(text in "[\\[\\]{}:,\"\\\\0-9eE.+truefalsn \\-]{0,24}") {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(verdicts(text.as_bytes()), theirs, "{}", text);
    }

    #[test]
    fn a_selection_fails_where_the_check_does(text in "[\\[\\]{}:,\"\\\\ab0-9e.\\-]{0,24}", size in 1..5usize) {
        let rules = Rules { keep: paths(&["a[].b", "b"]), omit: paths(&["a.a"]), ..Rules::default() };
        prop_assert_eq!(select(&rules, text.as_bytes(), size).is_ok(), check(text.as_bytes()).is_ok());
        prop_assert_eq!(select(&Rules::default(), text.as_bytes(), size).is_ok(), check(text.as_bytes()).is_ok());
    }
}

#[test]
fn every_vector_is_judged_as_it_says() {
    let file = include_str!("../../tests/vectors/json.txt");
    let mut seen = 0;
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, '\t');
        let (verdict, why, text) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or(""));
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("\\x") {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
            rest = &rest[at + 4..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        let json = bytes.strip_prefix(BOM).unwrap_or(&bytes);
        assert_eq!(verdicts(json), verdict == "valid", "{why}: {text}");
        assert_eq!(select(&Rules::default(), &bytes, 3).is_ok(), verdict == "valid", "{why}: {text}");
        seen += 1;
    }
    assert!(seen > 500);
}
