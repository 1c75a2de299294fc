//! The rules of the house, section by section of `ARCHITECTURE.md`: what a reader may count on everywhere.

mod complete;
mod fuzzing;
mod mutants;
mod paths;
mod source;

use std::collections::BTreeSet;

use paths::Modules;
use source::{Source, sources};

/// The rooms by their floor: a room imports only from lower floors, and rooms on one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["runtime"],
    &["exchange", "config", "json"],
    &["coding", "expression", "http1", "net"],
    &["cache", "route", "shaping", "store", "telemetry", "tunnel"],
    &["upstream"],
    &["action", "policy"],
    &["snapshot"],
    &["pipeline"],
    &["listener"],
    &["server"],
    &["admin"],
    &["cli"],
];

/// From here on a room may print, exit and read the environment.
const FLOOR_OF_THE_PROCESS: usize = 9;

/// Lines of production code of a file; 400 is what we aim for.
const PRODUCTION_LINES: usize = 450;

/// Lines of a file of tests.
const TEST_LINES: usize = 800;

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Fails with every breach at once.
fn none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}

#[test]
fn the_table_of_contents_names_the_rooms_in_the_order_of_their_floors() {
    let lib = sources("src").into_iter().find(|source| source.path == "src/lib.rs").expect("the library");
    let listed: Vec<&str> = lib
        .production
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let floors: Vec<usize> =
        listed.iter().map(|room| floor(room).unwrap_or_else(|| panic!("no floor for {room}"))).collect();
    assert!(floors.is_sorted(), "src/lib.rs lists a room before one of a lower floor: {listed:?}");
    let folders: BTreeSet<String> =
        sources("src").iter().filter_map(|source| source.room().map(str::to_owned)).collect();
    for room in &folders {
        assert!(listed.contains(&room.as_str()), "src/lib.rs does not name {room}");
    }
}

#[test]
fn the_architecture_names_the_rooms_and_only_files_that_are_there() {
    let read = |path: &str| std::fs::read_to_string(source::root().join(path)).expect("it can be read");
    let page = read("ARCHITECTURE.md");
    let mut wrong = Vec::new();
    for (floor, room) in FLOORS.iter().enumerate().flat_map(|(at, rooms)| rooms.iter().map(move |r| (at, r)))
    {
        if !page.contains(&format!("| {floor} | `{room}` |")) {
            wrong.push(format!("no row for {room} on floor {floor}"));
        }
    }
    // What is quoted with a folder and an ending is a file; what is linked is one too.
    let quoted =
        page.split('`').skip(1).step_by(2).filter(|text| text.contains('/') && text.ends_with(".rs"));
    for path in quoted.filter(|path| !path.contains("NAME") && !path.contains("FILE")) {
        let places = [path.to_owned(), format!("src/{path}"), format!("src/action/{path}")];
        if !places.iter().any(|place| source::root().join(place).exists()) {
            wrong.push(format!("there is no {path}"));
        }
    }
    for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !source::root().join(link).exists() {
            wrong.push(format!("there is no {link}"));
        }
    }
    none("ARCHITECTURE.md", &wrong);
}

#[test]
fn rooms_import_only_from_lower_floors() {
    let sources = sources("src");
    let mut breaches = Vec::new();
    for (file, room, path) in Modules::read(&sources).between_rooms() {
        let other = path.split("::").next().unwrap_or_default();
        let (Some(mine), Some(theirs)) = (floor(room), floor(other)) else {
            breaches.push(format!("{file}: crate::{path} belongs to no room with a floor"));
            continue;
        };
        if theirs >= mine {
            breaches.push(format!("{file}: {room} (floor {mine}) imports crate::{path} (floor {theirs})"));
        }
    }
    none("a room imports only from lower floors", &breaches);
}

#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    let sources = sources("src");
    none("files that import each other", &Modules::read(&sources).circles());
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut breaches = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for source in sources(folder) {
            let (production, all) = (source.production_lines(), source.text.lines().count());
            if production > PRODUCTION_LINES {
                breaches.push(format!("{}: {production} lines of {PRODUCTION_LINES}", source.path));
            }
            if source::is_test_file(&source.path) && all > TEST_LINES {
                breaches.push(format!("{}: {all} lines of {TEST_LINES}", source.path));
            }
        }
    }
    none("one idea a file", &breaches);
}

/// Where any of these words stands in what `code` takes of the sources that `wanted` picks.
fn found<'w>(
    folders: &[&str],
    words: &[&'w str],
    wanted: impl Fn(&Source, &'w str) -> bool,
    code: impl Fn(&Source) -> &str,
) -> Vec<String> {
    let mut places = Vec::new();
    for source in folders.iter().flat_map(|folder| sources(folder)) {
        for word in words.iter().filter(|word| wanted(&source, word)) {
            places.extend(source.places(code(&source), word));
        }
    }
    places
}

#[test]
fn http2_is_served_in_one_place() {
    let elsewhere = |source: &Source, _: &str| !source.path.starts_with("src/listener/http2/");
    none("HTTP/2 is served there alone", &found(&["src"], &["h2::server"], elsewhere, |s| &s.production));
}

#[test]
fn sockets_are_named_in_one_room() {
    let elsewhere = |source: &Source, _: &str| source.room() != Some("net");
    let words = ["TcpStream", "tokio::net"];
    none("the room `net` alone names sockets", &found(&["src"], &words, elsewhere, |s| &s.production));
}

#[test]
fn time_chance_and_tasks_come_from_one_room() {
    let words = [
        "Instant::now",
        "SystemTime::now",
        ".elapsed()",
        "fastrand",
        "tokio::time",
        "tokio::task",
        "tokio::spawn",
        "thread::spawn",
        "thread::Builder",
        "RandomState",
        "std::collections::HashMap",
        "std::collections::HashSet",
        "collections::{HashMap",
        "collections::{HashSet",
        "thread_local!",
    ];
    let outside = |source: &Source, word: &str| {
        // The table of routes is hashed without a secret, for no client adds to it; the maps of the `cel` crate are
        // those of the standard library.
        let exempt = word.contains("HashMap")
            && matches!(source.path.as_str(), "src/route/hash.rs" | "src/expression/value.rs");
        source.room() != Some("runtime") && !exempt
    };
    none("the room `runtime` alone", &found(&["src"], &words, outside, |s| &s.production));
}

#[test]
fn only_the_process_prints_exits_and_reads_the_environment() {
    let words = ["print!(", "println!(", "process::exit", "std::env", "env::var", "stdout()", "stderr()"];
    let below = |source: &Source, word: &str| {
        // The access log writes where it was told to, and that may be standard output.
        let told = source.path == "src/telemetry/writer.rs" && word == "stdout()";
        source.room().and_then(floor).is_some_and(|floor| floor < FLOOR_OF_THE_PROCESS) && !told
    };
    none("below the floor of the process", &found(&["src"], &words, below, |s| &s.production));
}

#[test]
fn nothing_is_unwrapped_or_left_undone() {
    let words = [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", concat!("#[ig", "nore")];
    none("in code that ships", &found(&["src"], &words, |_, _| true, |s| &s.production));
    let words = ["todo!(", "dbg!(", concat!("#[ig", "nore")];
    none("in tests", &found(&["src", "tests"], &words, |_, _| true, |s| &s.tests));
}

#[test]
fn tests_do_not_sleep() {
    let words = ["thread::sleep", "time::sleep", "sleep(Duration", "sleep_ms"];
    // Whoever waits for a condition looks again and again, with a bound: that stands in one place.
    // Time that is made up passes at once.
    let alone = |source: &Source, _: &str| {
        !source.path.contains("/support/") && source.path != "tests/simulation/time.rs"
    };
    none("tests wait for what happens", &found(&["src", "tests"], &words, alone, |s| &s.tests));
}

#[test]
fn every_file_says_what_it_is() {
    let mute: Vec<String> = sources("src")
        .into_iter()
        .filter(|source| !source::is_test_file(&source.path) && !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    none("files that do not open with `//!`", &mute);
}

#[test]
fn no_file_is_forgotten() {
    let mut breaches = Vec::new();
    for folder in ["src", "tests"] {
        let all = sources(folder);
        for source in &all {
            let path = source.path.as_str();
            let parts: Vec<&str> = path.split('/').collect();
            let of_cargo = matches!(path, "src/lib.rs" | "src/main.rs")
                || (folder == "tests" && (parts.len() == 2 || (parts.len() == 3 && parts[2] == "main.rs")));
            if !of_cargo && !declared(&all, path) {
                breaches.push(path.to_owned());
            }
        }
    }
    none("files that no `mod` names", &breaches);
}

/// Whether the module above a file names it.
fn declared(all: &[Source], path: &str) -> bool {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let Some((folder, name)) = stem.rsplit_once('/') else { return false };
    let above = [
        format!("{folder}.rs"),
        format!("{folder}/mod.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}/lib.rs"),
    ];
    let word = format!("mod {name};");
    all.iter()
        .filter(|source| above.contains(&source.path))
        .any(|source| source.production.contains(&word) || source.tests.contains(&word))
}
