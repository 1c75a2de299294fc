//! The JSON Schema (draft 2020-12) of a configuration file, from the tables that readers use.

use serde_json::{Map, Value, json};

use super::model::FILE;
use super::policies::INHERITING;
use super::route;
use super::section::Schema;
use super::shape;

/// What other rooms know: the schemas of what they build.
#[derive(Clone, Debug)]
pub struct Holes {
    /// Policy kinds by name.
    pub policies: Vec<(&'static str, Schema)>,
    /// An entry of `auth`.
    pub auth: Schema,
    /// An entry of `rate_limits`.
    pub rate_limit: Schema,
    /// The body of `aggregate`.
    pub aggregate: Schema,
    /// The body of `redirect`.
    pub redirect: Schema,
    /// The body of `respond`.
    pub respond: Schema,
}

/// The schema of a whole file.
pub fn schema(holes: Holes) -> Value {
    let mut file = shape::object(FILE);
    let mut policies = Map::new();
    for (name, schema) in holes.policies {
        let mut forms = vec![shape::choice(&["none"]), schema.clone()];
        if INHERITING.contains(&name) {
            forms.push(shape::list(shape::any(vec![shape::choice(&["inherit"]), schema])));
        }
        policies.insert(name.to_owned(), shape::any(forms));
    }
    file["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    file["title"] = json!("Portcullis configuration");
    file["$defs"] = json!({
        "policies": { "type": "object", "properties": policies, "additionalProperties": false },
        "routes": route::schema(),
        "auth": holes.auth,
        "rate_limit": holes.rate_limit,
        "aggregate": holes.aggregate,
        "redirect": holes.redirect,
        "respond": holes.respond,
    });
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_has_its_definition() {
        let any = || json!({});
        let holes = Holes {
            policies: vec![("auth", json!({ "type": "string" }))],
            auth: any(),
            rate_limit: any(),
            aggregate: any(),
            redirect: any(),
            respond: any(),
        };
        let schema = schema(holes);
        let text = schema.to_string();
        for piece in text.split("#/$defs/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
        let upstream = &schema["properties"]["upstreams"]["additionalProperties"]["properties"];
        assert_eq!(upstream["hedge"]["required"], json!(["after"]));
        assert!(schema["properties"].get("cors").is_none());
        assert_eq!(schema["additionalProperties"], json!(false));
        let auth = &schema["$defs"]["policies"]["properties"]["auth"]["anyOf"];
        assert_eq!(auth.as_array().map(Vec::len), Some(2), "no list: `auth` takes no `inherit`");
    }
}
