//! The tree of a configuration file: every node keeps its place.

use std::hash::{Hash, Hasher};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::span::{Span, Spanned};
use super::text::Text;

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may be a number, a boolean or null.
    Plain,
    /// In single or double quotes: always text.
    Quoted,
    /// A `|` or `>` block: always text.
    Block,
}

/// Keys below which the order of a map has a meaning: it is the order of an answer's members.
const ORDERED: [&str; 2] = ["aggregate", "shape"];

/// What a scalar is by the core schema of YAML 1.2 (section 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarType {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number in any notation.
    Number,
    /// Everything else.
    Text,
}

impl ScalarType {
    /// With its article, for a message.
    pub fn described(self) -> &'static str {
        match self {
            Self::Null => "no value",
            Self::Boolean(_) => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
        }
    }
}

/// Why a reference could not be resolved, kept until somebody reads the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadReference {
    pub(super) what: String,
    pub(super) help: String,
    pub(super) span: Span,
}

/// A single value.
#[derive(Clone, Debug)]
pub struct Scalar {
    text: String,
    style: Style,
    offset: Option<u32>,
    pub(super) resolved: Option<Result<Text, BadReference>>,
}

impl Scalar {
    /// A scalar as written; `offset` as in [`Text`].
    pub(super) fn new(text: String, style: Style, offset: Option<u32>) -> Self {
        Self { text, style, offset, resolved: None }
    }

    /// The text as YAML gives it, references not resolved.
    pub fn raw(&self) -> &str {
        &self.text
    }

    /// How it was written.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Its text as written, with the place for messages.
    pub(super) fn written(&self, span: Span) -> Text {
        Text::written(self.text.clone(), span, self.offset)
    }

    /// Its text, references resolved; a reference that failed is reported.
    pub(super) fn text(&self, span: Span, out: &Diagnostics) -> Option<Text> {
        match &self.resolved {
            None => Some(self.written(span)),
            Some(Ok(text)) => Some(text.clone()),
            Some(Err(bad)) => {
                out.add(Diagnostic::error(bad.span, bad.what.clone()).help(bad.help.clone()));
                None
            }
        }
    }

    /// Its type and its text, references resolved, with the parts that are no template syntax: the same for every
    /// way to write one value.
    fn meaning(&self) -> (ScalarType, &str, Vec<usize>) {
        match (&self.resolved, self.resolve_type()) {
            (Some(Ok(text)), kind) => (kind, text.as_str(), text.taken_as_is().collect()),
            (_, kind @ (ScalarType::Null | ScalarType::Boolean(_))) => (kind, "", Vec::new()),
            (_, kind) => (kind, &self.text, Vec::new()),
        }
    }

    /// Its type by the core schema.
    pub fn resolve_type(&self) -> ScalarType {
        if self.style != Style::Plain {
            return ScalarType::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => ScalarType::Null,
            "true" | "True" | "TRUE" => ScalarType::Boolean(true),
            "false" | "False" | "FALSE" => ScalarType::Boolean(false),
            text if is_number(text) => ScalarType::Number,
            _ => ScalarType::Text,
        }
    }
}

/// Numbers of the core schema: decimal, `0o`, `0x`, fractions, exponents, `.inf`, `.nan`.
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

/// A key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key; never a reference.
    pub key: Spanned<String>,
    /// The key's text with its place letter by letter, for messages inside it.
    pub(super) key_text: Text,
    /// The value.
    pub value: Node,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written, keys unique.
    Map(Vec<Entry>),
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it was written.
    pub span: Span,
    /// What it holds.
    pub value: Value,
}

impl Node {
    /// What it is, for a message.
    pub fn described(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.resolve_type().described(),
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether it is empty or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.resolve_type() == ScalarType::Null)
    }

    /// Calls `visit` with every text in it that a reference such as `${NAME}` brought in: what must not be shown.
    pub fn referred<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        match &self.value {
            Value::Scalar(scalar) => {
                if let Some(Ok(text)) = &scalar.resolved {
                    text.referred(visit);
                }
            }
            Value::List(items) => items.iter().for_each(|item| item.referred(visit)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.value.referred(visit)),
        }
    }

    /// The text it is, where it is one without a reference: a keyword such as `none` never comes from outside.
    pub fn word(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar)
                if scalar.resolved.is_none() && scalar.resolve_type() == ScalarType::Text =>
            {
                Some(scalar.raw())
            }
            _ => None,
        }
    }

    /// Its entries, where it is a map.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The same, taken out; `None` where it is no map.
    pub(super) fn into_entries(self) -> Option<Vec<Entry>> {
        if let Value::Map(entries) = self.value { Some(entries) } else { None }
    }

    /// Its items, where it is a list.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The value of a key, where it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// Feeds what it means to a hash, wherever it stands and however it is written: nodes that are the
    /// [`same`](Node::same) are fed alike. The order of a map counts only below a key of `ORDERED`.
    pub fn feed(&self, hash: &mut impl Hasher) {
        self.feed_as(false, hash);
    }

    /// As [`Node::feed`], where the order of every map in it has a meaning.
    pub fn feed_ordered(&self, hash: &mut impl Hasher) {
        self.feed_as(true, hash);
    }

    fn feed_as(&self, ordered: bool, hash: &mut impl Hasher) {
        match &self.value {
            Value::Scalar(scalar) => (0_u8, scalar.meaning()).hash(hash),
            Value::List(items) => {
                (1_u8, items.len()).hash(hash);
                items.iter().for_each(|item| item.feed_as(ordered, hash));
            }
            Value::Map(entries) => {
                (2_u8, entries.len()).hash(hash);
                let mut entries: Vec<&Entry> = entries.iter().collect();
                if !ordered {
                    entries.sort_by(|a, b| a.key.value.cmp(&b.key.value));
                }
                for entry in entries {
                    entry.key.value.hash(hash);
                    entry.value.feed_as(ordered || ORDERED.contains(&entry.key.value.as_str()), hash);
                }
            }
        }
    }

    /// Whether two nodes mean the same, wherever they stand and in whatever order maps are written: what a reload
    /// asks before it keeps an object.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => a.meaning() == b.meaning(),
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|entry| other.get(&entry.key.value).is_some_and(|node| entry.value.same(node)))
            }
            _ => false,
        }
    }
}
