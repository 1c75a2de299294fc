//! Where a thing stands: files, and places in them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Names one file of a [`Files`] set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A place in a file: line and column count from 1, column and length in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters it covers; 0 marks a point.
    pub length: u32,
}

/// A value and the place where it was written. Equal where the values are.
#[derive(Clone, Copy, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Spanned<T>) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T> Spanned<T> {
    /// Ties a value to its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// One configuration file as it was read.
struct File {
    path: PathBuf,
    text: String,
}

/// The configuration files of one load, kept for the source lines of diagnostics and for relative paths.
#[derive(Default)]
pub struct Files {
    list: Vec<File>,
}

impl fmt::Debug for Files {
    /// Shows paths alone: a configuration file may hold a secret in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|file| &file.path)).finish()
    }
}

impl Files {
    /// Adds a file and gives its name.
    pub fn add(&mut self, path: PathBuf, text: String) -> FileId {
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(File { path, text });
        FileId(id)
    }

    /// Whether no file was read.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The path of a file as the operator named it.
    pub fn path(&self, id: FileId) -> &Path {
        self.list.get(id.0 as usize).map_or(Path::new(""), |file| &file.path)
    }

    /// The whole text of a file.
    pub fn text(&self, id: FileId) -> &str {
        self.list.get(id.0 as usize).map_or("", |file| &file.text)
    }

    /// The source line that a span stands on, without its line break.
    pub fn line(&self, span: Span) -> Option<&str> {
        let index = (span.line as usize).checked_sub(1)?;
        self.text(span.file).split('\n').nth(index).map(|line| line.strip_suffix('\r').unwrap_or(line))
    }

    /// A path as written in a file, made relative to the folder of that file.
    pub fn resolve(&self, id: FileId, written: &str) -> PathBuf {
        beside(self.path(id), written)
    }
}

/// `written`, starting at the folder of `file` unless it is absolute.
pub(super) fn beside(file: &Path, written: &str) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.join(written),
        _ => PathBuf::from(written),
    }
}
