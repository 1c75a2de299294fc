//! The source files as the rules of the house need them: without comments and texts, tests apart from the rest.

use std::path::{Path, PathBuf};

/// One Rust file.
pub(crate) struct Source {
    /// Its path below the root of the repository, with `/`.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// The code that ships: comments, texts and tests blanked, line for line.
    pub(crate) production: String,
    /// The code of tests, likewise; all of it in a file of tests.
    pub(crate) tests: String,
}

impl Source {
    fn read(root: &Path, file: &Path) -> Source {
        let path = file.strip_prefix(root).expect("it lies below the root").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).expect("a source file can be read");
        let code = without_comments_and_texts(&text);
        let (production, tests) = if is_test_file(&path) { (blank(&code), code) } else { split_tests(&code) };
        Source { path, text, production, tests }
    }

    /// The room it belongs to: the first folder or file below `src`.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split(['/', '.']).next()?;
        (!matches!(room, "lib" | "main")).then_some(room)
    }

    /// How many lines that ship it has, comments among them.
    pub(crate) fn production_lines(&self) -> usize {
        if is_test_file(&self.path) {
            return 0;
        }
        // An inline module of tests stands at the end of its file.
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..end].lines().count()
    }

    /// Where a word stands in a code, as `path:line`.
    pub(crate) fn places(&self, code: &str, word: &str) -> Vec<String> {
        code.lines()
            .enumerate()
            .filter(|(_, line)| line.contains(word))
            .map(|(at, _)| format!("{}:{}: {word}", self.path, at + 1))
            .collect()
    }
}

/// Whether a whole file is of tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("benches/")
        || path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"))
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, in the order of their paths.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    files(folder, "rs").iter().map(|file| Source::read(root(), file)).collect()
}

/// Every file below a folder whose name ends so.
pub(crate) fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The same number of lines, all empty.
fn blank(code: &str) -> String {
    code.chars().filter(|letter| *letter == '\n').collect()
}

/// Takes what stands below `#[cfg(test)]` apart from the rest.
fn split_tests(code: &str) -> (String, String) {
    let (mut production, mut tests) = (String::new(), String::new());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, item) = rest.split_at(at);
        let length = item_length(item);
        production.push_str(before);
        production.push_str(&blank(&item[..length]));
        tests.push_str(&blank(before));
        tests.push_str(&item[..length]);
        rest = &item[length..];
    }
    production.push_str(rest);
    tests.push_str(&blank(rest));
    (production, tests)
}

/// How long an item is: to its `;`, or to the brace that closes its first one.
fn item_length(item: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in item.bytes().enumerate() {
        match byte {
            b';' if depth == 0 => return at + 1,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    item.len()
}

/// Replaces comments and what texts hold by blanks, so that what is left is code; lines stay where they are.
pub(crate) fn without_comments_and_texts(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let length = skipped(&letters, at);
        if length == 0 {
            out.push(letters[at]);
            at += 1;
            continue;
        }
        out.extend(letters[at..at + length].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
        at += length;
    }
    out
}

/// How long the comment or text is that begins here; 0 where none does.
fn skipped(letters: &[char], at: usize) -> usize {
    let next = |step: usize| letters.get(at + step).copied().unwrap_or('\0');
    let inside_word = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match (letters[at], next(1)) {
        ('/', '/') => letters[at..].iter().take_while(|letter| **letter != '\n').count(),
        ('/', '*') => until(letters, at + 2, &['*', '/']) - at,
        ('"', _) => quoted(letters, at) - at,
        ('b', '"') if !inside_word => quoted(letters, at + 1) - at,
        ('r', '"' | '#') if !inside_word => raw(letters, at + 1).map_or(0, |end| end - at),
        ('b', 'r') if !inside_word => raw(letters, at + 2).map_or(0, |end| end - at),
        // A letter, not a lifetime.
        ('\'', '\\') => until(letters, at + 3, &['\'']) - at,
        ('\'', _) if next(2) == '\'' => 3,
        _ => 0,
    }
}

fn until(letters: &[char], from: usize, end: &[char]) -> usize {
    let from = from.min(letters.len());
    let found = letters[from..].windows(end.len()).position(|window| window == end);
    found.map_or(letters.len(), |step| from + step + end.len())
}

fn quoted(letters: &[char], open: usize) -> usize {
    let mut at = open + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

/// A raw text from its first `#` or quote; not everything that begins with `r#` is one.
fn raw(letters: &[char], from: usize) -> Option<usize> {
    let marks = letters[from..].iter().take_while(|letter| **letter == '#').count();
    if letters.get(from + marks) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', marks));
    Some(until(letters, from + marks + 1, &end))
}
