//! References in quoted and block values: `${NAME}`, `${NAME:-default}`, `${file:PATH}`, and `$${` for a plain `${`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::document::{BadReference, Node, Scalar, Style, Value};
use super::span::{Span, beside};
use super::text::{Text, quoted};

/// Reads one environment variable; `None` where it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The largest file that `${file:...}` reads.
const MAX_SECRET: u64 = 1 << 20;

/// Resolves the references of one file.
pub(super) struct Expander<'a> {
    /// Where variables come from.
    pub(super) env: Environment<'a>,
    /// The file that is read, for relative paths.
    pub(super) file: &'a Path,
    /// Grows by every file that a reference names, there or not.
    pub(super) watch: &'a mut Vec<PathBuf>,
}

impl Expander<'_> {
    /// Resolves every reference below `node`. What fails is kept in the node for whoever reads it: a value
    /// that is CEL is read as written, and there `${` means nothing.
    pub(super) fn walk(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar(scalar) if scalar.raw().contains("${") => {
                scalar.resolved = Some(self.scalar(scalar, span));
            }
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| self.walk(&mut entry.value)),
        }
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span) -> Result<Text, BadReference> {
        let raw = scalar.raw();
        if scalar.style() == Style::Plain {
            return Err(BadReference {
                what: "a reference stands only in a quoted value".to_owned(),
                help: format!("quote it: \"{raw}\""),
                span,
            });
        }
        let written = scalar.written(span);
        let mut text = Text::empty(span);
        let mut at = 0;
        while let Some(found) = raw[at..].find("${") {
            let start = at + found;
            if raw[at..start].ends_with('$') {
                text.push_written(&raw[at..start - 1]);
                text.push_literal("${", false);
                at = start + 2;
                continue;
            }
            text.push_written(&raw[at..start]);
            let end = raw[start..].find('}').map_or(raw.len(), |end| start + end + 1);
            let problem = |(what, help): (String, String), range: Range<usize>| BadReference {
                what,
                help,
                span: written.part(range),
            };
            let Some(inner) = raw[start + 2..end].strip_suffix('}') else {
                let what = ("a reference without its closing `}`".to_owned(), ESCAPE.to_owned());
                return Err(problem(what, start..end));
            };
            let value = self.reference(inner).map_err(|what| problem(what, start..end))?;
            text.push_literal(&value, true);
            at = end;
        }
        text.push_written(&raw[at..]);
        Ok(text)
    }

    fn reference(&mut self, inner: &str) -> Result<String, (String, String)> {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.secret_file(path);
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return Err((
                format!("{} names no environment variable", quoted(&format!("${{{inner}}}"))),
                ESCAPE.to_owned(),
            ));
        }
        match ((self.env)(name), default) {
            // As in a shell, `:-` also stands in for an empty variable.
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err((
                format!("the environment variable `{name}` is not set"),
                format!("set it, or write a default: `${{{name}:-...}}`"),
            )),
        }
    }

    fn secret_file(&mut self, written: &str) -> Result<String, (String, String)> {
        if written.is_empty() {
            return Err(("this reference names no file".to_owned(), "write `${file:/path}`".to_owned()));
        }
        let path = beside(self.file, written);
        self.watch.push(path.clone());
        let mut text = read_text(&path, MAX_SECRET).map_err(|why| {
            (format!("the file {} {why}", quoted(&path.display().to_string())), HELP_FILE.to_owned())
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

const ESCAPE: &str = "write `${NAME}`, `${NAME:-default}` or `${file:/path}`; `$${` is a plain `${`";
const HELP_FILE: &str = "a relative path starts at the folder of this configuration file";

/// Reads a bounded file of UTF-8 text; the error completes the sentence "the file X ...".
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    use std::io::Read;
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read: permission denied".to_owned(),
        _ => format!("could not be read: {error}"),
    };
    // A pipe would be waited for without end, and could not be read again for a reload.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(format!("is larger than {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        format!("is not UTF-8 (line {line})")
    })
}
