//! Configuration files against what the operator sees, read and compiled as `portcullis check` does it:
//! `tests/config/invalid/*.yaml` (or a folder) beside its `.txt`, and `tests/config/valid/*.yaml`, which pass without
//! a word. `UPDATE_GOLDENS=1` rewrites the texts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config::{Action, Loaded, Test, Text, load, load_text};
use portcullis::snapshot::compile::{Environment, compile, vocabulary};

/// The environment of every case.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "SECRET" => "pa$$w${x}0rd",
        "JWT_SECRET" | "LONG_SECRET" => "pa$$w${x}0rd, and long enough for a key",
        "UP_PORT" => "18081",
        "HDR" => "a: b\n    evil: true # x",
        "NUM" => "007",
        "YES" => "no",
        "NOT_A_URL" => "topsecret",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn open(path: &Path) -> Loaded {
    compiled(load(path, &env, vocabulary()))
}

/// Compiles what could be read, so that its findings stand beside those of the load.
fn compiled(loaded: Loaded) -> Loaded {
    if let Some(config) = &loaded.config {
        let config = Arc::new(config.clone());
        let snapshot = compile(&config, None, &Environment::new(1), &loaded.diagnostics);
        assert_eq!(snapshot.is_none(), loaded.diagnostics.has_errors(), "an error and no snapshot, or none");
    }
    loaded
}

/// The cases of a folder: YAML files, and folders that are one configuration each.
fn cases(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut list: Vec<PathBuf> = std::fs::read_dir(root.join(folder))
        .expect("the folder of cases is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end != "txt"))
        .collect();
    list.sort();
    assert!(!list.is_empty(), "no cases in {folder}");
    list
}

/// What the operator sees, with paths that do not depend on where the repository lies.
fn seen(loaded: &Loaded) -> String {
    let here = format!("{}/tests/config/", env!("CARGO_MANIFEST_DIR"));
    loaded.diagnostics.render(false).replace(&here, "")
}

#[test]
fn invalid_files_are_refused_with_the_mend() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for case in cases("tests/config/invalid") {
        let loaded = open(&case);
        let text = seen(&loaded);
        assert!(!loaded.diagnostics.is_empty(), "{} is not wrong", case.display());
        let golden = case.with_extension("txt");
        if update {
            std::fs::write(&golden, &text).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written down (UPDATE_GOLDENS=1 rewrites):\n{}", wrong.join("\n"));
}

#[test]
fn valid_files_load_without_a_word() {
    for case in cases("tests/config/valid").into_iter().chain(cases("examples")) {
        let loaded = open(&case);
        assert!(loaded.diagnostics.is_empty(), "{}:\n{}", case.display(), seen(&loaded));
        assert!(loaded.config.is_some_and(|config| !config.listeners.is_empty()), "{}", case.display());
    }
}

#[test]
fn no_finding_shows_what_a_reference_holds() {
    for case in cases("tests/config/invalid") {
        let loaded = open(&case);
        let told = format!("{}{}{:?}", seen(&loaded), loaded.diagnostics.to_json(), loaded.config);
        for secret in ["pa$$w", "topsecret", "evil: true"] {
            assert!(!told.contains(secret), "{} tells {secret}", case.display());
        }
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let loaded = open(Path::new("/nowhere/portcullis.yaml"));
    assert!(loaded.unreadable && loaded.config.is_none());
    assert!(loaded.diagnostics.has_errors());
    assert!(seen(&loaded).contains("`/nowhere/portcullis.yaml` does not exist"), "{}", seen(&loaded));
}

#[test]
fn a_merge_key_means_the_keys_that_it_takes() {
    let upstreams = |yaml: &str| {
        let routes =
            "routes: { /a: { upstream: a }, /b: { upstream: b }, /c: { upstream: c }, /d: { upstream: d } }";
        let loaded = text(&format!("listen: 127.0.0.1:8080\n{routes}\nupstreams:\n{yaml}"));
        assert!(loaded.diagnostics.is_empty(), "{}", seen(&loaded));
        let config = loaded.config.expect("it was read");
        config.upstreams.into_iter().map(|upstream| upstream.settings).collect::<Vec<_>>()
    };
    let merged = upstreams(
        "  a: &a { url: 'http://a.test', timeouts: &slow { connect: 2s, response: 9s }, balance: random }
  b: { <<: *a, url: 'http://b.test' }
  c: &c { url: 'http://c.test', <<: [{ balance: round_robin }, *a], timeouts: { <<: *slow, response: 1s } }
  d: { <<: *c }\n",
    );
    let written = upstreams(
        "  a: { url: 'http://a.test', timeouts: { connect: 2s, response: 9s }, balance: random }
  b: { url: 'http://b.test', timeouts: { connect: 2s, response: 9s }, balance: random }
  c: { url: 'http://c.test', timeouts: { connect: 2s, response: 1s }, balance: round_robin }
  d: { url: 'http://c.test', timeouts: { connect: 2s, response: 1s }, balance: round_robin }\n",
    );
    assert_eq!(merged, written);
}

#[test]
fn what_is_merged_stands_in_the_place_of_the_merge_key() {
    let loaded = text(
        "
listen: 127.0.0.1:8080
upstreams: { u: { url: 'http://u.test' } }
routes:
  /a: { aggregate: { sources: &more { x: { upstream: u, path: /x }, y: { upstream: u, path: /y } } } }
  /b: { aggregate: { sources: { first: { upstream: u, path: / }, <<: *more, y: { upstream: u, path: /z }, last: { upstream: u, path: / } } } }
",
    );
    assert!(loaded.diagnostics.is_empty(), "{}", seen(&loaded));
    let config = loaded.config.expect("it was read");
    let Action::Aggregate(node) = &config.routes[1].alternatives[0].action.value else { panic!() };
    let sources = node.get("sources").expect("they are there").entries();
    let keys: Vec<&str> = sources.iter().map(|entry| entry.key.value.as_str()).collect();
    assert_eq!(keys, ["first", "x", "y", "last"]);
}

/// What a header of a route's `match` must be, and which of its bytes no template may read.
fn header(loaded: &Loaded, name: &str) -> Text {
    let config = loaded.config.as_ref().expect("it was read");
    let condition = config.routes[0].alternatives[0].condition.as_ref().expect("it has a `match`");
    let named =
        condition.headers.iter().find(|named| &*named.name.value == name).expect("the header is asked for");
    match &named.test {
        Test::Equals(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn text(yaml: &str) -> Loaded {
    compiled(load_text(Path::new("portcullis.yaml"), yaml, &env, vocabulary()))
}

#[test]
fn references_are_read_once_and_never_again() {
    let loaded = text(
        r#"
listen: 127.0.0.1:8080
routes:
  /a:
    match: { headers: { secret: "${SECRET}", cost: "cost $5", num: "n=${NUM}", yes: "${YES}", plain: "$${NUM}" } }
    upstream: "http://127.0.0.1:${UP_PORT}"
"#,
    );
    assert!(loaded.diagnostics.is_empty(), "{}", seen(&loaded));
    assert_eq!(header(&loaded, "secret").as_str(), "pa$$w${x}0rd");
    assert_eq!(header(&loaded, "cost").as_str(), "cost $5");
    assert_eq!(header(&loaded, "yes").as_str(), "no");
    let number = header(&loaded, "num");
    assert_eq!(
        (number.as_str(), number.literal_ranges().first(), number.is_expanded()),
        ("n=007", Some(&(2..5)), true)
    );
    let plain = header(&loaded, "plain");
    assert_eq!(
        (plain.as_str(), plain.literal_ranges().first(), plain.is_expanded()),
        ("${NUM}", Some(&(0..2)), false)
    );
}

#[test]
fn a_line_break_in_a_variable_makes_no_new_key() {
    let loaded = text(
        "listen: 127.0.0.1:8080\nroutes:\n  /a: { upstream: \"http://127.0.0.1:1\", match: { headers: { x: \"${HDR}\" } } }\n",
    );
    assert!(seen(&loaded).contains("control character"), "{}", seen(&loaded));
}

#[test]
fn every_file_that_matters_is_watched() {
    let folder = std::env::temp_dir().join(format!("portcullis-config-watch-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("secrets")).unwrap();
    std::fs::write(folder.join("secrets/url"), "http://127.0.0.1:3001\n").unwrap();
    let main = "listen: 127.0.0.1:8080\nroutes:\n  /a: { upstream: \"${file:secrets/url}\" }\n";
    std::fs::write(folder.join("a.yaml"), main).unwrap();
    let loaded = open(&folder);
    assert!(loaded.diagnostics.is_empty(), "{}", seen(&loaded));
    assert_eq!(loaded.watch, [folder.clone(), folder.join("a.yaml"), folder.join("secrets/url")]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn findings_are_data_too() {
    let loaded = text("listen: 127.0.0.1:8080\nroutes:\n  /a: { upstream: usr }\n");
    let json = loaded.diagnostics.to_json();
    assert_eq!((&json["errors"], &json["warnings"]), (&1.into(), &0.into()));
    let first = &json["diagnostics"][0];
    assert_eq!(
        (&first["file"], &first["line"], &first["column"]),
        (&"portcullis.yaml".into(), &3.into(), &19.into())
    );
    assert_eq!(first["severity"], "error");
}

#[test]
fn line_breaks_of_windows_are_line_breaks() {
    let loaded = text(
        "listen: 127.0.0.1:8080\r\nroutes:\r\n  /a: { upstream: \"http://127.0.0.1:1\" }\r\n  /b:\r\n    upstrem: x\r\n",
    );
    let told = seen(&loaded);
    assert!(told.contains("portcullis.yaml:5:5: error: unknown key `upstrem`"), "{told}");
    assert!(told.contains("    5 |     upstrem: x\n"), "{told}");
}

#[test]
fn the_examples_of_the_first_page_are_good() {
    let page = include_str!("../README.md");
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in blocks {
        let loaded = compiled(load_text(Path::new("README.md"), block, &env, vocabulary()));
        assert!(!loaded.diagnostics.has_errors(), "{}", seen(&loaded));
    }
}
