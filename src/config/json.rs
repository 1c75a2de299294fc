//! JSON data written in the configuration: digits and order kept, strings ready for templates.

use std::fmt::Write as _;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Node, Scalar, ScalarType, Value};
use super::text::{Text, quoted};

/// A JSON value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`, or an empty value.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number by its digits, as JSON (RFC 8259 section 6) writes it.
    Number(String),
    /// A string, references resolved.
    Text(Text),
    /// An array.
    List(Vec<Json>),
    /// An object, in the order written.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Reads a node as JSON data; what JSON cannot say is reported.
    pub(super) fn read(node: &Node, out: &Diagnostics) -> Option<Self> {
        match &node.value {
            Value::Scalar(scalar) => scalar_value(node, scalar, out),
            Value::List(items) => {
                // Every item is read before the first failure counts, so that all are reported.
                let list: Vec<Option<Self>> = items.iter().map(|item| Self::read(item, out)).collect();
                list.into_iter().collect::<Option<_>>().map(Self::List)
            }
            Value::Map(entries) => {
                let member = |entry: &super::document::Entry| {
                    Self::read(&entry.value, out).map(|value| (entry.key.value.clone(), value))
                };
                let list: Vec<Option<(String, Self)>> = entries.iter().map(member).collect();
                list.into_iter().collect::<Option<_>>().map(Self::Map)
            }
        }
    }

    /// Adds the JSON text of the value to `out`, without blanks.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => write_string(text.as_str(), out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Adds a JSON string literal to `out` (RFC 8259 section 7).
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn scalar_value(node: &Node, scalar: &Scalar, out: &Diagnostics) -> Option<Json> {
    match scalar.resolve_type() {
        ScalarType::Null => Some(Json::Null),
        ScalarType::Boolean(value) => Some(Json::Boolean(value)),
        ScalarType::Number if is_json_number(scalar.raw()) => Some(Json::Number(scalar.raw().to_owned())),
        ScalarType::Number => {
            let what = format!("{} is a number that JSON cannot write", quoted(scalar.raw()));
            out.add(
                Diagnostic::error(node.span, what).help("quote it to make it text, or write plain digits"),
            );
            None
        }
        ScalarType::Text => scalar.text(node.span, out).map(Json::Text),
    }
}

fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}
