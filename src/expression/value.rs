//! Values while an expression is evaluated: borrowed from the exchange wherever they can be.

use std::borrow::Cow;

use crate::exchange::number::{Decimal, Magnitude};
use crate::exchange::{JsonNumber, JsonValue as Json, Members};

use super::error::Why;
use super::facts::Pairs;
use super::numbers::double_text;

/// A value.
#[derive(Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// A double that is written in the expression, or was calculated.
    Double(f64),
    /// A number of JSON that is no integer of 64 bits, with its text.
    Decimal(Decimal<'a>),
    Text(Cow<'a, str>),
    /// A JSON list or object.
    Json(&'a Json),
    /// The scopes.
    Texts(&'a [String]),
    /// Headers, query, cookies or parameters.
    Pairs(Pairs<'a>),
    /// A list or a map that the interpreter made.
    Made(Json),
    /// Bytes, in base64, as JSON has them.
    Bytes(String),
}

impl<'a> Val<'a> {
    /// A JSON value: see [`JsonNumber`] for what a number is.
    pub(super) fn of_json(json: &'a Json) -> Val<'a> {
        match json {
            Json::Null => Val::Null,
            Json::Bool(truth) => Val::Bool(*truth),
            Json::Number(JsonNumber::Int(int)) => Val::Int(*int),
            Json::Number(JsonNumber::Uint(uint)) => Val::Uint(*uint),
            Json::Number(JsonNumber::Decimal(decimal)) => Val::Decimal(decimal.borrowed()),
            Json::String(text) => Val::Text(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Val::Json(json),
        }
    }

    /// A number of JSON.
    pub(super) fn of_number(number: JsonNumber<'a>) -> Val<'a> {
        match number {
            JsonNumber::Int(int) => Val::Int(int),
            JsonNumber::Uint(uint) => Val::Uint(uint),
            JsonNumber::Decimal(decimal) => Val::Decimal(decimal),
        }
    }

    /// Equality as CEL has it: numbers by their exact value whatever their type, other types never equal to one another.
    /// Asked of scalars and JSON alone; the rest is the interpreter's.
    pub(super) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => a == b,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Null, Val::Null) => true,
            (Val::Json(a), Val::Json(b)) => json_equals(a, b),
            _ => match (self.magnitude(), other.magnitude()) {
                (Some(a), Some(b)) => a.equals(b),
                _ => false,
            },
        }
    }

    fn magnitude(&self) -> Option<Magnitude<'_>> {
        Some(match self {
            Val::Int(int) => Magnitude::Int(*int),
            Val::Uint(uint) => Magnitude::Uint(*uint),
            Val::Double(double) => Magnitude::Double(*double),
            Val::Decimal(decimal) => decimal.magnitude(),
            _ => return None,
        })
    }

    /// The nearest double, which is infinite for a number of JSON beyond all doubles; `None` for what is no number.
    pub(super) fn as_double(&self) -> Option<f64> {
        match self {
            Val::Int(int) => Some(*int as f64),
            Val::Uint(uint) => Some(*uint as f64),
            Val::Double(double) => Some(*double),
            Val::Decimal(decimal) => decimal.text().parse().ok(),
            _ => None,
        }
    }

    /// The value as text: a number of JSON in its own digits, what was calculated as CEL's `string()` writes it.
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, Why> {
        Ok(match self {
            Val::Text(text) => text,
            Val::Bool(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Val::Int(int) => itoa::Buffer::new().format(int).to_owned().into(),
            Val::Uint(uint) => itoa::Buffer::new().format(uint).to_owned().into(),
            Val::Double(double) => double_text(double).into(),
            Val::Decimal(decimal) => decimal.into_text(),
            Val::Null => return Err(Why::Absent),
            Val::Json(_) | Val::Texts(_) | Val::Pairs(_) | Val::Made(_) | Val::Bytes(_) => {
                return Err(Why::NotText);
            }
        })
    }

    /// The value as JSON.
    pub(super) fn into_json(self) -> Result<Json, Why> {
        Ok(match self {
            Val::Null => Json::Null,
            Val::Bool(truth) => Json::Bool(truth),
            Val::Int(int) => Json::Number(JsonNumber::Int(int)),
            Val::Uint(uint) => Json::Number(uint_number(uint)),
            Val::Double(double) => Json::Number(JsonNumber::of_double(double).ok_or(Why::NotJson)?),
            Val::Decimal(decimal) => Json::Number(JsonNumber::Decimal(decimal.into_owned())),
            Val::Text(text) => Json::String(text.into_owned()),
            Val::Json(json) => json.clone(),
            Val::Texts(texts) => Json::Array(texts.iter().map(|text| Json::String(text.clone())).collect()),
            Val::Pairs(pairs) => {
                let mut members = Members::default();
                for (name, value) in pairs {
                    members.entry(name.into_owned()).or_insert_with(|| Json::String(value.into_owned()));
                }
                Json::Object(Box::new(members))
            }
            Val::Made(value) => value,
            Val::Bytes(text) => Json::String(text),
        })
    }
}

/// A `uint` as JSON: its type is lost there, its value is not.
fn uint_number(uint: u64) -> JsonNumber<'static> {
    i64::try_from(uint).map_or(JsonNumber::Uint(uint), JsonNumber::Int)
}

fn json_equals(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_equals(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| json_equals(value, other)))
        }
        (Json::Array(_) | Json::Object(_), _) | (_, Json::Array(_) | Json::Object(_)) => false,
        _ => Val::of_json(a).equals(&Val::of_json(b)),
    }
}
