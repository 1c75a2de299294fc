//! Reading claims: JSON without repeated members, and the times a token is good for.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::Fault;

/// Reads a JSON object in which no member, at any depth, stands twice: of two the reader and the upstream might
/// believe different ones. Depth is bounded by the reader.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Unique(Value::Object(members))) => Some(members),
        _ => None,
    }
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

/// When a token is good: seconds since 1970, possibly with a fraction (RFC 7519 section 2, NumericDate).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Times {
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Times {
    /// The times among the claims. `iat` is read for its type alone.
    ///
    /// # Errors
    /// A time that is no number, null among them: a wrong type is not the same as absent.
    pub(super) fn of(claims: &Map<String, Value>) -> Result<Times, Fault> {
        let time = |name| match claims.get(name) {
            None => Ok(None),
            Some(claim) => claim.as_f64().map(Some).ok_or(Fault::TimeType),
        };
        time("iat")?;
        Ok(Times { exp: time("exp")?, nbf: time("nbf")? })
    }

    /// Whether the token is good at `now` (since 1970): not from `exp + leeway` on, and not before `nbf - leeway`.
    ///
    /// # Errors
    /// Which of the two it breaks.
    pub(super) fn check(&self, now: Duration, leeway: Duration) -> Result<(), Fault> {
        let (now, leeway) = (now.as_secs_f64(), leeway.as_secs_f64());
        if self.exp.is_some_and(|exp| now >= exp + leeway) {
            return Err(Fault::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(Fault::NotYet);
        }
        Ok(())
    }
}
