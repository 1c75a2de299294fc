//! Which file imports which: paths are followed through folders and re-exports to the file that has the item.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// A module: a file with what it declares.
struct Module<'s> {
    source: &'s Source,
    children: BTreeSet<String>,
    /// Names that it passes on, and the paths that they stand for.
    passed_on: BTreeMap<String, Vec<String>>,
    /// Paths that its own code uses, as full segments from the root of the crate.
    used: Vec<Vec<String>>,
}

/// Every module of the library by its path.
pub(crate) struct Modules<'s>(BTreeMap<Vec<String>, Module<'s>>);

impl<'s> Modules<'s> {
    /// Reads the modules of `src`.
    pub(crate) fn read(sources: &'s [Source]) -> Modules<'s> {
        let mut modules = BTreeMap::new();
        for source in sources {
            let Some(name) = module_path(&source.path) else { continue };
            modules.insert(name.clone(), module(source, &name));
        }
        Modules(modules)
    }

    /// Every path that begins at a room and is used in another, as (file, room, path).
    pub(crate) fn between_rooms(&self) -> Vec<(&'s str, &'s str, String)> {
        let mut found = Vec::new();
        for module in self.0.values() {
            let Some(room) = module.source.room() else { continue };
            for path in &module.used {
                if path.first().is_some_and(|other| other != room) {
                    found.push((module.source.path.as_str(), room, path.join("::")));
                }
            }
        }
        found
    }

    /// Circles of files inside a room: each as the files in it.
    pub(crate) fn circles(&self) -> Vec<String> {
        let mut imports: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
        for (name, module) in &self.0 {
            let targets = module.used.iter().filter_map(|path| self.resolve(path, 0));
            let inside =
                targets.filter(|target| target.first() == name.first() && *target != name.as_slice());
            imports.insert(name, inside.collect());
        }
        let mut circles = BTreeSet::new();
        for name in imports.keys() {
            if let Some(way) = way_back(&imports, name) {
                let mut files: Vec<&str> =
                    way.iter().map(|step| self.0[*step].source.path.as_str()).collect();
                files.sort_unstable();
                circles.insert(files.join(" <-> "));
            }
        }
        circles.into_iter().collect()
    }

    /// The module that has what a path names; `None` for what is not ours.
    fn resolve(&self, path: &[String], depth: usize) -> Option<&[String]> {
        let mut here: &[String] = &[];
        for (at, segment) in path.iter().enumerate() {
            let below = &path[..=at];
            if here.len() == at && self.0.contains_key(below) {
                here = self.0.get_key_value(below)?.0;
                continue;
            }
            let module = self.0.get(here)?;
            if let Some(other) = module.passed_on.get(segment).filter(|_| depth < 8) {
                let mut onward = other.clone();
                onward.extend_from_slice(&path[at + 1..]);
                return self.resolve(&onward, depth + 1);
            }
            break;
        }
        (!here.is_empty()).then_some(here)
    }
}

/// The shortest way from a module back to itself.
fn way_back<'m>(
    imports: &BTreeMap<&'m [String], BTreeSet<&'m [String]>>,
    start: &'m [String],
) -> Option<Vec<&'m [String]>> {
    let mut ways: Vec<Vec<&[String]>> = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        for next in imports.get(way[way.len() - 1]).into_iter().flatten() {
            if *next == start {
                return Some(way);
            }
            if seen.insert(*next) {
                let mut longer = way.clone();
                longer.push(next);
                ways.push(longer);
            }
        }
    }
    None
}

/// `src/a/b/mod.rs` and `src/a/b.rs` are `a::b`; the root and tests are none.
fn module_path(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if matches!(inside, "lib" | "main") || crate::source::is_test_file(path) {
        return None;
    }
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    Some(inside.split('/').map(str::to_owned).collect())
}

fn module<'s>(source: &'s Source, name: &[String]) -> Module<'s> {
    let words = words(&source.production);
    let mut module =
        Module { source, children: BTreeSet::new(), passed_on: BTreeMap::new(), used: Vec::new() };
    for window in words.windows(3) {
        if window[0] == "mod" && window[2] == ";" {
            module.children.insert(window[1].to_owned());
        }
    }
    let mut at = 0;
    while at < words.len() {
        let begins = at == 0 || !matches!(words[at - 1], "::" | "." | "in");
        let known = matches!(words[at], "crate" | "super" | "self") || module.children.contains(words[at]);
        if !(begins && known && words.get(at + 1) == Some(&"::")) {
            at += 1;
            continue;
        }
        let passes_on = at >= 2 && words[at - 1] == "use" && matches!(words[at - 2], "pub" | ")");
        let mut paths = Vec::new();
        at = tree(&words, at, &[], &mut paths);
        for path in paths {
            let full = absolute(&path, name);
            match path.last() {
                Some(last) if passes_on => drop(module.passed_on.insert(last.clone(), full)),
                _ => module.used.push(full),
            }
        }
    }
    // `use super::child;` and `use crate::room::child;` name a module without `::` behind it: covered by `tree`.
    module
}

/// Reads a path or a tree of paths (`a::{b, c::d as e}`) and gives where it ends.
fn tree(words: &[&str], mut at: usize, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match words.get(at) {
            Some(&"{") => {
                at += 1;
                while words.get(at).is_some_and(|word| *word != "}") {
                    at = if words[at] == "," { at + 1 } else { tree(words, at, &path, paths).max(at + 1) };
                }
                return at + 1;
            }
            Some(word) if is_word(word) => {
                if *word != "self" || path.is_empty() {
                    path.push((*word).to_owned());
                }
                at += 1;
            }
            _ => break,
        }
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if words.get(at) == Some(&"as") {
        at += 2;
    }
    paths.push(path);
    at
}

/// A path from the root of the crate.
fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("super") => {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            let mut full = module[..module.len().saturating_sub(ups)].to_vec();
            full.extend_from_slice(&path[ups..]);
            full
        }
        Some("self") => module.iter().chain(&path[1..]).cloned().collect(),
        _ => module.iter().chain(path).cloned().collect(),
    }
}

fn is_word(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_')
}

/// The words and marks of a code.
fn words(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = if inside(first) {
            rest.find(|letter| !inside(letter)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}
