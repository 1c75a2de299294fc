//! Reads `authorize` from the configuration.

use std::sync::Arc;

use crate::config::{Field, Key, Kind, Schema, Section, shape};
use crate::exchange::Exchange;
use crate::expression::{Expression, load};
use crate::policy::{Build, Env, Policy};

use super::{Authorize, Condition, Rule};

/// The policy `authorize`.
pub const KIND: Kind<Build> = Kind {
    name: "authorize",
    summary: "A CEL condition that must be true, or a list of `{ require, reason }`, all true",
    schema,
    build,
};

const RULE: &[Key] = &[
    Key::needed("require", shape::cel, "A CEL condition that must be true"),
    Key::optional("reason", shape::text, "What the client is told where it is not"),
];

fn schema() -> Schema {
    shape::any(vec![shape::cel(), shape::object(RULE)])
}

/// Builds one condition; a list makes one policy of each of its items.
fn build(field: Field<'_>, env: &Env<'_>) -> Option<Arc<dyn Policy>> {
    let (condition, reason) = if field.is_map() {
        let section = Section::open(field, RULE)?;
        let reason = section.get("reason").and_then(|reason| reason.filled()).map(|text| text.into_string());
        (section.get("require")?, reason)
    } else {
        (field, None)
    };
    let expression = load::expression(&condition.cel()?, env.scope, condition.out())?;
    Some(Arc::new(Authorize::new(vec![Rule { require: Box::new(Holds(expression)), reason }])))
}

/// A compiled condition.
struct Holds(Expression);

impl Condition for Holds {
    fn holds(&self, exchange: &Exchange) -> Result<bool, String> {
        self.0.bool(exchange).map_err(|error| error.to_string())
    }

    fn reads_identity(&self) -> bool {
        self.0.needs_identity()
    }
}
