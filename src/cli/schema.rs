//! `schema`: the JSON Schema of the configuration, from the tables that its readers use.

use serde_json::Value;

use crate::action;
use crate::config::{self, Holes, Kind};
use crate::policy::{self, authenticate, limit};

use super::{Failure, output};

pub(super) fn schema() -> Result<(), Failure> {
    output::print(&format!("{:#}\n", whole()));
    Ok(())
}

fn whole() -> Value {
    let actions = Kind::schemas(action::kinds::KINDS);
    let body = |name: &str| {
        let found = actions.iter().find(|(kind, _)| *kind == name);
        found.map_or_else(Default::default, |(_, schema)| schema.clone())
    };
    let holes = Holes {
        policies: Kind::schemas(policy::kinds::KINDS),
        auth: authenticate::schema(),
        rate_limit: limit::schema(),
        aggregate: body("aggregate"),
        redirect: body("redirect"),
        respond: body("respond"),
    };
    config::schema(holes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key with its description, anywhere in a schema.
    fn keys(schema: &Value, found: &mut Vec<(String, String)>) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::Object(properties)) = object.get("properties") {
                    for (key, value) in properties {
                        if let Some(description) = value["description"].as_str() {
                            found.push((key.clone(), description.to_owned()));
                        }
                    }
                }
                object.values().for_each(|value| keys(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_guide_tells_of_every_key_what_the_readers_say() {
        let guide = include_str!("../../docs/configuration.md");
        let mut found = Vec::new();
        keys(&whole(), &mut found);
        assert!(found.len() > 60, "{found:?}");
        for (key, description) in found {
            let row = format!("| `{key}` | {description}");
            assert!(guide.contains(&row), "docs/configuration.md lacks: {row}");
        }
    }
}
