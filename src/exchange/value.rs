//! JSON as a tree whose numbers keep their text: what claims are, and what expressions read of bodies.

use std::fmt;

use indexmap::IndexMap;

use crate::runtime::hash::Seed;

use super::number::{JsonNumber, number_length};

/// How deep lists and objects may be nested.
const MAX_DEPTH: usize = 127;

/// The members of an object, in the order in which they came. Two are equal where they hold the same, in any order.
pub type Members = IndexMap<String, JsonValue, Seed>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(JsonNumber<'static>),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<JsonValue>),
    /// An object; boxed, so that it makes no other value larger.
    Object(Box<Members>),
}

impl JsonValue {
    /// Reads a JSON text (RFC 8259); of a member that stands twice the last value counts, at the place of the first. `None` where it is no JSON, or is
    /// nested deeper than 127.
    pub fn parse(text: &str) -> Option<JsonValue> {
        Reader { text, at: 0, unique: false }.whole()
    }

    /// As [`JsonValue::parse`], but a member that stands twice in one object, at any depth, is refused.
    pub fn parse_unique(text: &str) -> Option<JsonValue> {
        Reader { text, at: 0, unique: true }.whole()
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            JsonValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Members> {
        match self {
            JsonValue::Object(members) => Some(&**members),
            _ => None,
        }
    }

    /// The nearest finite double, if it is a number: see [`JsonNumber::approximate`].
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            JsonValue::Number(number) => number.approximate(),
            _ => None,
        }
    }

    /// JSON text without blanks, members in the order of their names: of values that are equal but for numbers written
    /// otherwise there is one such text.
    pub fn sorted(&self) -> String {
        Sorted(self).to_string()
    }

    fn write(&self, sorted: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonValue::Null => out.write_str("null"),
            JsonValue::Bool(truth) => write!(out, "{truth}"),
            JsonValue::Number(number) => write!(out, "{number}"),
            JsonValue::String(text) => write_quoted(text, out),
            JsonValue::Array(items) => {
                out.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.write_str(",")?;
                    }
                    item.write(sorted, out)?;
                }
                out.write_str("]")
            }
            JsonValue::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if sorted {
                    members.sort_unstable_by_key(|(name, _)| *name);
                }
                out.write_str("{")?;
                for (at, (name, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        out.write_str(",")?;
                    }
                    write_quoted(name, out)?;
                    out.write_str(":")?;
                    value.write(sorted, out)?;
                }
                out.write_str("}")
            }
        }
    }
}

struct Sorted<'v>(&'v JsonValue);

impl fmt::Display for Sorted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(true, f)
    }
}

fn write_quoted(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

impl fmt::Display for JsonValue {
    /// JSON text without blanks, members and numbers as they came.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(false, f)
    }
}

impl From<serde_json::Value> for JsonValue {
    fn from(value: serde_json::Value) -> JsonValue {
        match value {
            serde_json::Value::Null => JsonValue::Null,
            serde_json::Value::Bool(truth) => JsonValue::Bool(truth),
            serde_json::Value::Number(number) => {
                JsonValue::Number(JsonNumber::of(&number.to_string()).into_owned())
            }
            serde_json::Value::String(text) => JsonValue::String(text),
            serde_json::Value::Array(items) => {
                JsonValue::Array(items.into_iter().map(JsonValue::from).collect())
            }
            serde_json::Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, JsonValue::from(value)));
                JsonValue::Object(Box::new(members.collect()))
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    unique: bool,
}

impl<'t> Reader<'t> {
    fn whole(mut self) -> Option<JsonValue> {
        let value = self.value(0)?;
        self.blanks();
        (self.at == self.text.len()).then_some(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over this byte, if it is the next one after blanks.
    fn takes(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: JsonValue) -> Option<JsonValue> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn value(&mut self, depth: usize) -> Option<JsonValue> {
        self.blanks();
        match self.peek()? {
            b'n' => self.word("null", JsonValue::Null),
            b't' => self.word("true", JsonValue::Bool(true)),
            b'f' => self.word("false", JsonValue::Bool(false)),
            b'"' => self.string().map(JsonValue::String),
            b'[' | b'{' if depth == MAX_DEPTH => None,
            b'[' => self.array(depth + 1),
            b'{' => self.object(depth + 1),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<JsonValue> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Some(JsonValue::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes(b']') {
                return Some(JsonValue::Array(items));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<JsonValue> {
        self.at += 1;
        let mut members = Members::default();
        if self.takes(b'}') {
            return Some(JsonValue::Object(Box::new(members)));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return None;
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return None;
            }
            let value = self.value(depth)?;
            if members.insert(name, value).is_some() && self.unique {
                return None;
            }
            if self.takes(b'}') {
                return Some(JsonValue::Object(Box::new(members)));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..=0x1F => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        match escaped {
            true => serde_json::from_str(&self.text[start..self.at]).ok(),
            false => Some(self.text[start + 1..self.at - 1].to_owned()),
        }
    }

    fn number(&mut self) -> Option<JsonValue> {
        let start = self.at;
        self.at += number_length(&self.text.as_bytes()[start..])?;
        Some(JsonValue::Number(JsonNumber::of(&self.text[start..self.at]).into_owned()))
    }
}

#[cfg(test)]
mod tests;
