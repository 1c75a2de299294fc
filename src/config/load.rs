//! Files and folders into one document, references resolved.

use crate::runtime::hash::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Entry, Node, Value};
use super::expand::{Environment, Expander, read_text};
use super::parse::parse;
use super::span::{Files, Span};
use super::text::quoted;

/// The largest configuration file.
const MAX_FILE: u64 = 4 << 20;
/// Maps of names that several files may fill together; a name stands in one of them.
const NAMED: [&str; 4] = ["upstreams", "auth", "rate_limits", "listeners"];
/// Maps that several files may fill together, whose keys are compared by their meaning later.
const JOINED: [&str; 1] = ["routes"];

/// What was read: one tree out of one file or of a folder of them.
#[derive(Debug)]
pub struct Document {
    /// The top of the tree, a map; `None` where nothing could be read.
    pub root: Option<Node>,
    /// What was wrong so far; readers add to it.
    pub diagnostics: Diagnostics,
    /// Every path whose change changes the configuration: files, the folder, files of secrets (there or not).
    pub watch: Vec<PathBuf>,
    /// Whether the path that was asked for could not be read at all: the environment is wrong, not the text.
    pub unreadable: bool,
}

/// Reads a file, or a folder whose `*.yaml` and `*.yml` files are one configuration.
pub fn document(path: &Path, env: Environment<'_>) -> Document {
    let mut loader =
        Loader { env, files: Files::default(), problems: Vec::new(), watch: vec![path.to_owned()] };
    if path.is_dir() {
        match folder(path) {
            Ok(list) => {
                let roots: Vec<Node> = list.iter().filter_map(|file| loader.read(file)).collect();
                let root = loader.merge(roots);
                if root.is_none() && loader.problems.is_empty() {
                    let what = format!("the folder {} holds no configuration", shown(path));
                    let problem = Diagnostic::placeless(what);
                    loader.problems.push(problem.help("it needs a file that ends in `.yaml` or `.yml`"));
                }
                loader.finish(root, false)
            }
            Err(error) => {
                let what = format!("the folder {} could not be read: {error}", shown(path));
                loader.problems.push(Diagnostic::placeless(what));
                loader.finish(None, true)
            }
        }
    } else {
        let root = loader.read(path);
        // A file that opens but holds no text is a wrong text, not a wrong environment.
        let unreadable = loader.files.is_empty() && std::fs::File::open(path).is_err();
        loader.finish_file(root, path, unreadable)
    }
}

/// Reads a text as if it stood in the file `path`.
pub fn document_from_text(path: &Path, text: &str, env: Environment<'_>) -> Document {
    let mut loader = Loader { env, files: Files::default(), problems: Vec::new(), watch: Vec::new() };
    let root = loader.text(path, text.to_owned());
    loader.finish_file(root, path, false)
}

/// Reads a text of any shape that is no configuration: references in it mean nothing.
pub fn tree_from_text(path: &Path, text: &str) -> Document {
    let mut loader =
        Loader { env: &|_| None, files: Files::default(), problems: Vec::new(), watch: Vec::new() };
    let root = loader.parsed(path, text.to_owned());
    loader.finish(root, false)
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let wanted = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if wanted && !hidden && file.is_file() {
            list.push(file);
        }
    }
    list.sort();
    Ok(list)
}

struct Loader<'a> {
    env: Environment<'a>,
    files: Files,
    problems: Vec<Diagnostic>,
    watch: Vec<PathBuf>,
}

/// How a configuration that does not exist can be given.
const MISSING: &str =
    "give the path of a file or folder (`-c PATH`); `portcullis demo --save FILE` writes an example";

impl Loader<'_> {
    fn read(&mut self, path: &Path) -> Option<Node> {
        if self.watch.first().is_none_or(|first| first != path) {
            self.watch.push(path.to_owned());
        }
        match read_text(path, MAX_FILE) {
            Ok(text) => self.text(path, text),
            Err(why) => {
                let problem = Diagnostic::placeless(format!("the file {} {why}", shown(path)));
                self.problems.push(match path.try_exists() {
                    Ok(false) => problem.help(MISSING),
                    _ => problem,
                });
                None
            }
        }
    }

    fn parsed(&mut self, path: &Path, text: String) -> Option<Node> {
        // YAML 1.2 (section 5.2) lets a byte order mark open a file.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let file = self.files.add(path.to_owned(), text);
        parse(file, self.files.text(file), &mut self.problems)
    }

    fn text(&mut self, path: &Path, text: String) -> Option<Node> {
        let mut root = self.parsed(path, text)?;
        if !matches!(root.value, Value::Map(_)) {
            let what = format!("a configuration is a map of keys, this is {}", root.described());
            self.problems.push(Diagnostic::error(root.span, what));
            return None;
        }
        Expander { env: self.env, file: path, watch: &mut self.watch }.walk(&mut root);
        Some(root)
    }

    /// Joins the maps of several files into one.
    fn merge(&mut self, roots: Vec<Node>) -> Option<Node> {
        let mut all = roots.into_iter();
        let mut first = all.next()?;
        let Value::Map(entries) = &mut first.value else { return None };
        let mut at: HashMap<String, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.key.value.clone(), index)).collect();
        for root in all {
            let Value::Map(more) = root.value else { continue };
            for entry in more {
                match at.get(&entry.key.value) {
                    Some(&index) => self.join(&mut entries[index], entry),
                    None => {
                        at.insert(entry.key.value.clone(), entries.len());
                        entries.push(entry);
                    }
                }
            }
        }
        Some(first)
    }

    fn join(&mut self, into: &mut Entry, from: Entry) {
        let key = from.key.value.as_str();
        let (named, joined) = (NAMED.contains(&key), JOINED.contains(&key));
        match (&mut into.value.value, from.value.value) {
            (Value::Map(into), Value::Map(from)) if joined => into.extend(from),
            (Value::Map(into), Value::Map(from)) if named => {
                let seen: HashMap<String, Span> =
                    into.iter().map(|entry| (entry.key.value.clone(), entry.key.span)).collect();
                for entry in from {
                    match seen.get(&entry.key.value) {
                        Some(&first) => {
                            let what = format!("{} stands in two files", quoted(&entry.key.value));
                            let problem = Diagnostic::error(entry.key.span, what);
                            self.problems.push(problem.note(first, "first written here"));
                        }
                        None => into.push(entry),
                    }
                }
            }
            _ => {
                let what = format!("{} stands in two files", quoted(key));
                let problem =
                    Diagnostic::error(from.key.span, what).note(into.key.span, "first written here");
                self.problems.push(
                    problem.help("the files of a folder are one configuration: keep it in one of them"),
                );
            }
        }
    }

    fn finish_file(mut self, root: Option<Node>, path: &Path, unreadable: bool) -> Document {
        if root.is_none() && self.problems.is_empty() {
            let problem = Diagnostic::placeless(format!("the file {} is empty", shown(path)));
            self.problems.push(problem.help("a gateway needs at least `listen` and `routes`"));
        }
        self.finish(root, unreadable)
    }

    fn finish(self, root: Option<Node>, unreadable: bool) -> Document {
        let diagnostics = Diagnostics::new(Arc::new(self.files));
        self.problems.into_iter().for_each(|problem| diagnostics.add(problem));
        Document { root, diagnostics, watch: self.watch, unreadable }
    }
}

#[cfg(test)]
mod tests;
