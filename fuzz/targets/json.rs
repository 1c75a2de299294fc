//! Any bytes as JSON: judged as serde_json judges it, and a selection comes to the same however the bytes are cut.
//! The first byte chooses the rules, the second how the bytes are cut.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis::json::{
    BOM, Invalid, MAX_DEPTH, Missing, Part, Path, Rules, Selection, Selector, check, find, members,
    push_quoted, same_name, unescaped,
};
use serde::de::IgnoredAny;
use serde_json::Value;

/// How many rules there are before those of `everything`.
const CHOICES: usize = 8;

fn rules(choice: usize) -> Rules {
    let paths = |texts: &[&str]| texts.iter().map(|text| Path::parse(text).expect("it is a path")).collect();
    let named = |path: &str, name: &str| (Path::parse(path).expect("it is a path"), name.to_owned());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match choice {
        0 => Rules { keep: paths(&["a", "b"]), ..Rules::default() },
        1 => Rules { omit: paths(&["a", "b"]), ..Rules::default() },
        2 => Rules { keep: paths(&["a.b", "[].c", "d[].e"]), omit: paths(&["a.b.c"]), ..Rules::default() },
        3 => Rules { omit: paths(&["a.b", "[].c", "d[]"]), ..Rules::default() },
        4 => Rules { rename: vec![named("a", "b"), named("c.d", "\"")], ..Rules::default() },
        5 => Rules { unwrap: names(&["a"]), wrap: Some("b".into()), ..Rules::default() },
        6 => Rules { unwrap: names(&["a", "b"]), keep: paths(&["[].a"]), ..Rules::default() },
        7 => Rules { wrap: Some("é\"".into()), ..Rules::default() },
        _ => Rules::default(),
    }
}

static SELECTIONS: LazyLock<Vec<Arc<Selection>>> = LazyLock::new(|| {
    (0..=CHOICES)
        .map(|choice| Arc::new(Selection::new(&rules(choice)).expect("they stand together")))
        .collect()
});

/// What is left of bytes that come in pieces as long as `steps` says, over and over.
fn select(choice: usize, bytes: &[u8], steps: &[usize]) -> Result<Vec<u8>, Invalid> {
    let mut selector = Selector::new(Arc::clone(&SELECTIONS[choice]));
    let (mut out, mut rest) = (Vec::new(), bytes);
    for step in steps.iter().cycle() {
        let (piece, after) = rest.split_at((*step).min(rest.len()));
        selector.feed(piece, &mut out)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    selector.finish(&mut out)?;
    Ok(out)
}

fn too_deep(bytes: &[u8]) -> bool {
    bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_DEPTH
}

/// The names of an object's members; none of another value's.
fn names(json: &[u8]) -> Vec<Vec<u8>> {
    let found = members(json).unwrap_or_default();
    found.into_iter().map(|member| unescaped(&json[member.name]).into_owned()).collect()
}

/// Whether the verdict is serde_json's.
fn judge(json: &[u8]) -> bool {
    let verdict = check(json);
    if verdict == Err(Invalid::TooDeep) {
        assert!(too_deep(json));
        return false;
    }
    let text = std::str::from_utf8(json).ok();
    let known = text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    assert_eq!(verdict.is_ok(), known, "{verdict:?}");
    known
}

/// Parts are found where serde_json finds them, where it makes a tree of the value at all.
fn parts(json: &[u8]) {
    assert_eq!(find(json, []).map(<[u8]>::to_vec), Ok(json.trim_ascii().to_vec()));
    let Ok(tree) = serde_json::from_slice::<Value>(json) else { return };
    let parsed = |part: &[u8]| serde_json::from_slice::<Value>(part).expect("a part is a value");
    match &tree {
        Value::Object(map) => {
            let found = members(json).expect("it is an object");
            assert!(found.len() >= map.len());
            for member in found {
                check(&json[member.value]).expect("a member is a value");
                let raw = &json[member.name];
                let name = String::from_utf8(unescaped(raw).into_owned()).expect("a name is text");
                let part = find(json, [Part::Member(&name)]).expect("it is there");
                assert_eq!(Some(&parsed(part)), map.get(&name));
                let mut quoted = Vec::new();
                push_quoted(&name, &mut quoted);
                assert_eq!(serde_json::from_slice::<String>(&quoted).ok(), Some(name.clone()));
                assert!(same_name(raw, name.as_bytes()));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().take(8).enumerate() {
                assert_eq!(&parsed(find(json, [Part::Item(at)]).expect("it is there")), item);
            }
            assert_eq!(find(json, [Part::Item(items.len())]), Err(Missing::Absent));
        }
        _ => assert_eq!(find(json, [Part::Item(0)]), Err(Missing::NoParts)),
    }
}

/// What a selection leaves is what its rules say, as far as that shows from outside.
fn kept(choice: usize, json: &[u8], out: &[u8]) {
    check(out).expect("what is left is JSON");
    let (before, after) = (names(json), names(out));
    let object = json.trim_ascii_start().first() == Some(&b'{');
    match choice {
        0 => assert!(after.iter().all(|name| name == b"a" || name == b"b")),
        1 if object => {
            let rest: Vec<_> = before.into_iter().filter(|name| name != b"a" && name != b"b").collect();
            assert_eq!(after, rest);
        }
        4 => {
            assert!(after.iter().all(|name| name != b"a"));
            assert!(after.iter().filter(|name| *name == b"b").count() <= 1);
        }
        5 => assert_eq!(after, [b"b"]),
        7 => {
            assert_eq!(after, ["é\"".as_bytes()]);
            assert_eq!(find(out, [Part::Member("é\"")]), Ok(json.trim_ascii()));
        }
        CHOICES => assert_eq!(out, json.trim_ascii()),
        _ => assert!(out.len() <= json.len().max(4)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, cut, bytes @ ..] = bytes else { return };
    let (choice, cut) = (usize::from(*choice) % (CHOICES + 1), usize::from(*cut));
    let json = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let good = judge(json);
    if good {
        parts(json);
    }
    let whole = select(choice, bytes, &[bytes.len().max(1)]);
    assert!(whole.is_ok() == good || whole == Err(Invalid::TooDeep), "{whole:?}");
    for steps in [&[1][..], &[cut % 16 + 1], &[cut % 5 + 1, cut / 5 % 7 + 1, cut / 35 + 1]] {
        let pieces = select(choice, bytes, steps);
        assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?}, in pieces {pieces:?}");
        if let (Ok(whole), Ok(pieces)) = (&whole, pieces) {
            assert_eq!(*whole, pieces);
        }
    }
    if let Ok(out) = whole {
        kept(choice, json, &out);
    }
});
