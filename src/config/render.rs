//! Diagnostics as an operator reads them, and as a script does.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::span::{Files, Span};

/// The longest piece of a source line that is shown, in characters.
const WINDOW: usize = 120;

impl Diagnostics {
    /// All findings as text for a terminal or a file, in the order of the files; empty where there are none.
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint { colour };
        let mut out = String::new();
        for diagnostic in self.sorted() {
            one(&mut out, &diagnostic, self.files(), &paint);
            out.push('\n');
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        if errors + warnings > 0 {
            let _ = writeln!(out, "{}, {}", plural(errors, "error"), plural(warnings, "warning"));
        }
        out
    }

    /// All findings as JSON: `{ errors, warnings, diagnostics: [{ severity, message, help, file, line, ... }] }`.
    pub fn to_json(&self) -> Value {
        let list: Vec<Value> = self.sorted().iter().map(|d| object(d, self.files())).collect();
        json!({
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "diagnostics": list,
        })
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Wraps text in colour, if colour was asked for.
struct Paint {
    colour: bool,
}

impl Paint {
    fn put(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn one(out: &mut String, diagnostic: &Diagnostic, files: &Files, paint: &Paint) {
    let (word, code) = match diagnostic.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
    };
    let at = diagnostic.span.map_or(String::new(), |span| format!("{}: ", place(files, span)));
    let what = paint.put("1", &escaped(&diagnostic.what));
    let _ = writeln!(out, "{at}{}: {what}", paint.put(code, word));
    if let Some(span) = diagnostic.span {
        source(out, files, span, '^', paint, code);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "      = {}: {}", paint.put("1;32", "help"), escaped(help));
    }
    for note in &diagnostic.notes {
        let text = escaped(&note.text);
        let _ = writeln!(out, "      = {}: {}: {text}", paint.put("1", "note"), place(files, note.span));
        source(out, files, note.span, '-', paint, "1;34");
    }
}

fn place(files: &Files, span: Span) -> String {
    format!("{}:{}:{}", escaped(&files.path(span.file).display().to_string()), span.line, span.column)
}

/// A source line with the passwords in it hidden, each letter by a star, so that every place stays where it is.
fn masked(line: &str) -> Vec<char> {
    let mut letters: Vec<char> = line.chars().collect();
    let text: Vec<char> = letters.clone();
    let mut hide = |from: usize, ends: &dyn Fn(char) -> bool, wanted: Option<char>| {
        let end = text[from..].iter().position(|letter| ends(*letter)).map_or(text.len(), |end| from + end);
        if wanted.is_none() || text.get(end).copied() == wanted {
            letters[from..end]
                .iter_mut()
                .filter(|letter| !matches!(letter, ' ' | '"' | '\''))
                .for_each(|l| *l = '*');
        }
    };
    let starts = |word: &str| {
        let word: Vec<char> = word.chars().collect();
        let found = text.windows(word.len()).enumerate().filter(|(_, part)| **part == *word);
        found.map(|(at, _)| at + word.len()).collect::<Vec<_>>()
    };
    // What stands before the `@` of a URL, and what a password is.
    starts("://")
        .into_iter()
        .for_each(|at| hide(at, &|c| matches!(c, '@' | '"' | '\'' | ' ' | ','), Some('@')));
    starts("password:").into_iter().for_each(|at| hide(at, &|c| matches!(c, ',' | '}'), None));
    letters
}

/// The source line, and below it the mark under what is meant.
fn source(out: &mut String, files: &Files, span: Span, mark: char, paint: &Paint, code: &str) {
    let Some(line) = files.line(span) else { return };
    let letters = masked(line);
    let start = (span.column as usize).saturating_sub(1).min(letters.len());
    let end = (start + span.length as usize).min(letters.len());
    // A long line (a file of JSON in one line) is cut to a window that begins a little before the place.
    let from = if letters.len() > WINDOW { start.saturating_sub(WINDOW / 3) } else { 0 };
    let to = (from + WINDOW).min(letters.len());
    let end = end.clamp(start, to.max(start));
    let piece = |range: &[char]| escaped(&range.iter().collect::<String>().replace('\t', "    "));
    let lead = if from > 0 { "..." } else { "" };
    let tail = if to < letters.len() { "..." } else { "" };
    let before = piece(&letters[from..start]);
    let marked = piece(&letters[start..end]);
    let after = piece(&letters[end..to.max(end)]);
    let _ = writeln!(out, " {:>4} | {lead}{before}{marked}{after}{tail}", span.line);
    let pad = " ".repeat(lead.len() + before.chars().count());
    let marks = mark.to_string().repeat(marked.chars().count().max(1));
    let _ = writeln!(out, "      | {pad}{}", paint.put(code, &marks));
}

/// Text without what could move the cursor, ring, recolour or reorder a line of a terminal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn object(diagnostic: &Diagnostic, files: &Files) -> Value {
    let mut object = json!({ "severity": diagnostic.severity.word(), "message": diagnostic.what });
    if let Some(help) = &diagnostic.help {
        object["help"] = json!(help);
    }
    if let Some(span) = diagnostic.span {
        locate(&mut object, files, span);
    }
    let notes: Vec<Value> = diagnostic
        .notes
        .iter()
        .map(|note| {
            let mut object = json!({ "message": note.text });
            locate(&mut object, files, note.span);
            object
        })
        .collect();
    object["notes"] = Value::Array(notes);
    object
}

fn locate(object: &mut Value, files: &Files, span: Span) {
    object["file"] = json!(files.path(span.file).display().to_string());
    object["line"] = json!(span.line);
    object["column"] = json!(span.column);
    object["length"] = json!(span.length);
}
