//! Reading claims: JSON without repeated members, and the times a token is good for.

use std::time::Duration;

use crate::exchange::{JsonValue as Value, Members};

use super::fault::Fault;

/// Reads a JSON object in which no member, at any depth, stands twice: of two the reader and the upstream might
/// believe different ones. Depth is bounded by the reader.
pub(super) fn object(text: &str) -> Option<Members> {
    match Value::parse_unique(text) {
        Some(Value::Object(members)) => Some(*members),
        _ => None,
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
    pub(super) fn of(claims: &Members) -> Result<Times, Fault> {
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
