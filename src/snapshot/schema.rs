//! The JSON Schema of the configuration with every kind in its place: what `portcullis schema` prints.

use serde_json::Value;

use crate::action;
use crate::config::{self, Holes, Kind};
use crate::policy::{self, authenticate, limit};

/// The schema of a configuration file.
pub fn schema() -> Value {
    let mut actions = Kind::schemas(action::kinds::KINDS);
    let mut body = |name: &str| {
        let at = actions.iter().position(|(kind, _)| *kind == name);
        at.map_or_else(Value::default, |at| actions.swap_remove(at).1)
    };
    config::schema(Holes {
        policies: Kind::schemas(policy::kinds::KINDS),
        auth: authenticate::schema(),
        rate_limit: limit::schema(),
        aggregate: body("aggregate"),
        redirect: body("redirect"),
        respond: body("respond"),
    })
}
