//! What is kept of fuzzing: every target with its seeds, built on what the gate is built on.

use std::collections::BTreeSet;

use crate::none;
use crate::source::root;

/// Bytes of all seeds together.
const SEEDS: u64 = 300_000;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The packages of a lock file, each with its version.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    let blocks = read(path);
    blocks
        .split("[[package]]")
        .filter_map(|block| Some((value(block, "name")?, value(block, "version")?)))
        .collect()
}

#[test]
fn the_other_crates_are_built_on_what_the_gateway_is_built_on() {
    let own = locked("Cargo.lock");
    let named = |name: &str| own.iter().any(|(other, _)| other == name);
    for lock in ["fuzz/Cargo.lock", "bench/clients/Cargo.lock"] {
        let apart: Vec<String> = locked(lock)
            .iter()
            .filter(|package| named(&package.0) && !own.contains(package))
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        none(&format!("versions of {lock} that are not those of Cargo.lock"), &apart);
    }
}

#[test]
fn every_fuzz_target_is_listed_and_has_seeds() {
    let manifest = read("fuzz/Cargo.toml");
    let files = |folder: &str| -> Vec<std::path::PathBuf> {
        let list = std::fs::read_dir(root().join(folder)).into_iter().flatten();
        list.map(|entry| entry.expect("it can be read").path()).filter(|path| path.is_file()).collect()
    };
    let (mut wrong, mut bytes) = (Vec::new(), 0);
    let targets = files("fuzz/targets");
    assert!(!targets.is_empty());
    for target in &targets {
        let name = target.file_stem().and_then(|name| name.to_str()).expect("it has a name");
        if !manifest.contains(&format!("path = \"targets/{name}.rs\"")) {
            wrong.push(format!("fuzz/Cargo.toml does not list {name}"));
        }
        let seeds = files(&format!("fuzz/seeds/{name}"));
        if seeds.is_empty() {
            wrong.push(format!("{name} has no seeds"));
        }
        bytes += seeds.iter().map(|seed| std::fs::metadata(seed).expect("it is there").len()).sum::<u64>();
    }
    if bytes > SEEDS {
        wrong.push(format!("{bytes} bytes of seeds, of {SEEDS}"));
    }
    none("fuzz", &wrong);
}
