//! Values while an expression is evaluated: borrowed from the exchange wherever they can be.

use std::borrow::Cow;
use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val as CelVal;
use serde_json::Value as Json;

use super::error::Why;
use super::facts::Pairs;

/// A value.
#[derive(Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    /// A JSON list or object.
    Json(&'a Json),
    /// The scopes.
    Texts(&'a [String]),
    /// Headers, query, cookies or parameters.
    Pairs(Pairs<'a>),
    /// A list, a map or bytes that the interpreter made.
    Made(cel::Value),
}

impl<'a> Val<'a> {
    /// A JSON value: a number is an `int` where it fits, else a `uint`, else a `double`.
    pub(super) fn of_json(json: &'a Json) -> Val<'a> {
        match json {
            Json::Null => Val::Null,
            Json::Bool(truth) => Val::Bool(*truth),
            Json::Number(number) => Val::of_number(number),
            Json::String(text) => Val::Text(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Val::Json(json),
        }
    }

    fn of_number(number: &serde_json::Number) -> Val<'a> {
        match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Val::Int(int),
            (None, Some(uint)) => Val::Uint(uint),
            (None, None) => Val::Double(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// A JSON value that is neither a list nor an object.
    pub(super) fn of_scalar(json: Json) -> Val<'a> {
        match json {
            Json::String(text) => Val::Text(Cow::Owned(text)),
            Json::Null => Val::Null,
            Json::Bool(truth) => Val::Bool(truth),
            Json::Number(number) => Val::of_number(&number),
            // Nobody asks it of a container.
            Json::Array(_) | Json::Object(_) => Val::Null,
        }
    }

    /// What the interpreter gave.
    pub(super) fn of_cel(value: cel::Value) -> Val<'a> {
        match value {
            cel::Value::Null => Val::Null,
            cel::Value::Bool(truth) => Val::Bool(truth),
            cel::Value::Int(int) => Val::Int(int),
            cel::Value::UInt(uint) => Val::Uint(uint),
            cel::Value::Float(double) => Val::Double(double),
            cel::Value::String(text) => Val::Text(Cow::Owned(std::sync::Arc::unwrap_or_clone(text))),
            other => Val::Made(other),
        }
    }

    /// Equality as CEL has it: numbers by value whatever their type, other types never equal to one another.
    /// Asked of scalars and JSON alone; the rest is the interpreter's.
    pub(super) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => a == b,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Null, Val::Null) => true,
            (Val::Int(a), Val::Int(b)) => a == b,
            (Val::Uint(a), Val::Uint(b)) => a == b,
            (Val::Double(a), Val::Double(b)) => a == b,
            (Val::Int(a), Val::Uint(b)) | (Val::Uint(b), Val::Int(a)) => {
                u64::try_from(*a).is_ok_and(|a| a == *b)
            }
            (Val::Int(a), Val::Double(b)) | (Val::Double(b), Val::Int(a)) => (*a as f64) == *b,
            (Val::Uint(a), Val::Double(b)) | (Val::Double(b), Val::Uint(a)) => (*a as f64) == *b,
            (Val::Json(a), Val::Json(b)) => json_equals(a, b),
            _ => false,
        }
    }

    /// The value as text: numbers and booleans as CEL's `string()` writes them.
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, Why> {
        Ok(match self {
            Val::Text(text) => text,
            Val::Bool(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Val::Int(int) => itoa::Buffer::new().format(int).to_owned().into(),
            Val::Uint(uint) => itoa::Buffer::new().format(uint).to_owned().into(),
            Val::Double(double) => double.to_string().into(),
            Val::Null => return Err(Why::Absent),
            Val::Json(_) | Val::Texts(_) | Val::Pairs(_) | Val::Made(_) => return Err(Why::NotText),
        })
    }

    /// The value as JSON.
    pub(super) fn into_json(self) -> Result<Json, Why> {
        Ok(match self {
            Val::Null => Json::Null,
            Val::Bool(truth) => Json::Bool(truth),
            Val::Int(int) => int.into(),
            Val::Uint(uint) => uint.into(),
            Val::Double(double) => Json::Number(serde_json::Number::from_f64(double).ok_or(Why::NotJson)?),
            Val::Text(text) => Json::String(text.into_owned()),
            Val::Json(json) => json.clone(),
            Val::Texts(texts) => texts.iter().map(|text| Json::from(text.as_str())).collect(),
            Val::Pairs(pairs) => {
                let mut members = serde_json::Map::new();
                for (name, value) in pairs {
                    members.entry(name.into_owned()).or_insert_with(|| value.into_owned().into());
                }
                Json::Object(members)
            }
            Val::Made(value) => value.json().map_err(|_| Why::NotJson)?,
        })
    }

    /// The value as the interpreter wants it; texts stay borrowed.
    pub(super) fn into_cel(self) -> Box<dyn CelVal + 'a> {
        match self {
            Val::Null => Box::new(CelNull),
            Val::Bool(truth) => Box::new(CelBool::from(truth)),
            Val::Int(int) => Box::new(CelInt::from(int)),
            Val::Uint(uint) => Box::new(CelUInt::from(uint)),
            Val::Double(double) => Box::new(CelDouble::from(double)),
            Val::Text(text) => Box::new(CelString::from(text)),
            Val::Json(Json::Array(items)) => {
                let items: Vec<Box<dyn CelVal + 'a>> =
                    items.iter().map(|item| Val::of_json(item).into_cel()).collect();
                Box::new(CelList::from(items))
            }
            Val::Json(Json::Object(members)) => {
                let members: HashMap<CelMapKey<'a>, Box<dyn CelVal + 'a>> = members
                    .iter()
                    .map(|(name, value)| (CelMapKey::from(name.as_str()), Val::of_json(value).into_cel()))
                    .collect();
                Box::new(CelMap::from(members))
            }
            Val::Json(scalar) => Val::of_json(scalar).into_cel(),
            Val::Texts(texts) => {
                let texts: Vec<Box<dyn CelVal + 'a>> = texts
                    .iter()
                    .map(|text| Box::new(CelString::from(text.as_str())) as Box<dyn CelVal + 'a>)
                    .collect();
                Box::new(CelList::from(texts))
            }
            Val::Pairs(pairs) => {
                let mut map: HashMap<CelMapKey<'a>, Box<dyn CelVal + 'a>> = HashMap::new();
                for (name, value) in pairs {
                    let key = match name {
                        Cow::Borrowed(name) => CelMapKey::from(name),
                        Cow::Owned(name) => CelMapKey::from(name),
                    };
                    map.entry(key).or_insert_with(|| Box::new(CelString::from(value)));
                }
                Box::new(CelMap::from(map))
            }
            // Only the interpreter makes these, and it is not asked twice.
            Val::Made(_) => Box::new(CelNull),
        }
    }
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
