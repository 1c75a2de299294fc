//! Maps with known keys. One table per section says which keys there are; readers and schema use the same table.

use super::diagnostic::Diagnostic;
use super::diagnostic::Diagnostics;
use super::document::{Entry, Value};
use super::field::{Field, not_yet};
use super::span::Span;
use super::suggest::nearest;
use super::text::quoted;

/// A JSON Schema (draft 2020-12).
pub type Schema = serde_json::Value;

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The section is wrong without it.
    Needed,
    /// It may be left out.
    Optional,
    /// A key of the language that this version does not build: an error of its own.
    Later,
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// Whether it must be there.
    pub presence: Presence,
    /// What its value looks like.
    pub schema: fn() -> Schema,
}

impl Key {
    /// A key that must be there.
    pub const fn needed(name: &'static str, schema: fn() -> Schema, summary: &'static str) -> Self {
        Self { name, summary, presence: Presence::Needed, schema }
    }

    /// A key that may be left out.
    pub const fn optional(name: &'static str, schema: fn() -> Schema, summary: &'static str) -> Self {
        Self { name, summary, presence: Presence::Optional, schema }
    }

    /// A key of the language that this version does not build.
    pub const fn later(name: &'static str) -> Self {
        Self { name, summary: "", presence: Presence::Later, schema: || Schema::Bool(false) }
    }
}

/// A map read by its table of keys.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    name: &'a str,
    label: Span,
    entries: &'a [Entry],
    table: &'static [Key],
    out: &'a Diagnostics,
}

/// Policies that are easily written beside `policies` in place of inside.
const POLICIES: &[&str] = &["cors", "rate_limit", "auth", "authorize", "cache", "shape"];

impl<'a> Section<'a> {
    /// Opens a map. Unknown keys, keys for later and missing keys are reported at once; only a value that is
    /// no map gives `None`.
    pub fn open(field: Field<'a>, table: &'static [Key]) -> Option<Self> {
        let Value::Map(entries) = &field.node().value else {
            field.mismatch("a map");
            return None;
        };
        let section = Self { name: field.name(), label: field.label(), entries, table, out: field.out() };
        for entry in entries {
            section.judge(entry);
        }
        // A key for later may stand in the place of one that is needed: that it is refused says enough.
        let has_later = table.iter().any(|key| key.presence == Presence::Later && section.has(key.name));
        for key in table.iter().filter(|key| key.presence == Presence::Needed && !section.has(key.name)) {
            if !has_later {
                section.missing(key.name);
            }
        }
        Some(section)
    }

    fn judge(&self, entry: &Entry) {
        let name = entry.key.value.as_str();
        match self.table.iter().find(|key| key.name == name) {
            Some(key) if key.presence == Presence::Later => self.out.add(not_yet(entry.key.span, name)),
            Some(_) => {}
            None => {
                let place =
                    if self.name.is_empty() { String::new() } else { format!(" in {}", quoted(self.name)) };
                let what = format!("unknown key {}{place}", quoted(name));
                let known =
                    self.table.iter().filter(|key| key.presence != Presence::Later).map(|key| key.name);
                let list: Vec<String> = known.clone().map(quoted).collect();
                let diagnostic = Diagnostic::error(entry.key.span, what);
                let near = nearest(name, self.table.iter().map(|key| key.name));
                let policies = self.table.iter().any(|key| key.name == "policies");
                if policies && near.is_none() && POLICIES.contains(&name) {
                    let mend = format!("it is a policy: write `policies: {{ {name}: ... }}`");
                    return self.out.add(diagnostic.help(mend));
                }
                self.out.add(diagnostic.help(format!("its keys are {}", list.join(", "))).did_you_mean(near));
            }
        }
    }

    fn missing(&self, key: &str) {
        let what = format!("{} needs the key {}", quoted(self.name), quoted(key));
        self.out.add(Diagnostic::error(self.label, what));
    }

    /// What the section is called: its key.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Where its key stands.
    pub fn label(&self) -> Span {
        self.label
    }

    /// Where findings go.
    pub fn out(&self) -> &'a Diagnostics {
        self.out
    }

    /// Whether a key is written, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.value == key)
    }

    /// The value of a key of the table, where it is written.
    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        debug_assert!(
            self.table.iter().any(|known| known.name == key),
            "{key} is not in the table of {}",
            self.name
        );
        let entry = self.entries.iter().find(|entry| entry.key.value == key)?;
        Some(Field::new(&entry.key.value, entry.key.span, &entry.value, self.out))
    }

    /// Reads a key, or takes the default where it is absent or wrong (what is wrong was reported).
    pub fn read<T>(&self, key: &str, default: T, read: impl FnOnce(Field<'a>) -> Option<T>) -> T {
        self.get(key).and_then(read).unwrap_or(default)
    }

    /// The one of several keys that is written; none or two are reported.
    pub fn exactly_one(&self, keys: &[&str]) -> Option<Field<'a>> {
        let present: Vec<Field<'a>> = keys.iter().filter_map(|key| self.get(key)).collect();
        match present.as_slice() {
            [only] => Some(*only),
            [] => {
                let list: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
                let what = format!("{} needs one of {}", quoted(self.name), list.join(", "));
                self.out.add(Diagnostic::error(self.label, what));
                None
            }
            [first, second, ..] => {
                let what = format!(
                    "{} has both {} and {}",
                    quoted(self.name),
                    quoted(first.name()),
                    quoted(second.name())
                );
                let diagnostic = Diagnostic::error(second.label(), what).help("keep one of them");
                self.out.add(diagnostic.note(first.label(), "the other one"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
