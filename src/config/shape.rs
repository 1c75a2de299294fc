//! Building blocks of JSON Schemas, for tables of keys.

use serde_json::{Map, Value, json};

use super::section::{Key, Presence, Schema};

/// Any text.
pub fn text() -> Schema {
    json!({ "type": "string" })
}

/// A CEL expression.
pub fn cel() -> Schema {
    json!({ "title": "CEL", "type": ["string", "boolean", "number"] })
}

/// A path of a file.
pub fn path() -> Schema {
    json!({ "title": "path of a file", "type": "string" })
}

/// `true` or `false`, or a reference to it.
pub fn boolean() -> Schema {
    json!({ "title": "`true` or `false`", "anyOf": [{ "type": "boolean" }, reference()] })
}

/// A whole number, or a reference to one.
pub fn integer() -> Schema {
    json!({ "title": "whole number", "anyOf": [{ "type": "integer", "minimum": 0 }, reference()] })
}

/// Text that holds a reference such as `${NAME}`.
pub fn reference() -> Schema {
    json!({ "title": "reference", "type": "string", "pattern": "\\$\\{" })
}

/// A duration.
pub fn duration() -> Schema {
    json!({ "title": "duration", "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$|\\$\\{", "examples": ["250ms", "5s", "1m"] })
}

/// A size in bytes.
pub fn size() -> Schema {
    json!({ "title": "size", "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$|\\$\\{", "examples": ["64KiB", "10MiB"] })
}

/// A percentage.
pub fn percentage() -> Schema {
    json!({ "title": "percentage", "type": "string", "pattern": "^[0-9.]+%$|\\$\\{", "examples": ["20%"] })
}

/// An IP address and a port.
pub fn socket_address() -> Schema {
    json!({ "title": "IP and port", "type": "string", "examples": ["127.0.0.1:8080", "[::]:80"] })
}

/// The URL of a service.
pub fn url() -> Schema {
    json!({ "title": "URL", "type": "string", "pattern": "^https?://|\\$\\{", "examples": ["http://users-service:3001"] })
}

/// A list of texts.
pub fn texts() -> Schema {
    list(text())
}

/// A list of these.
pub fn list(items: Schema) -> Schema {
    json!({ "type": "array", "items": items })
}

/// A map from free names to these.
pub fn map(values: Schema) -> Schema {
    json!({ "type": "object", "additionalProperties": values })
}

/// One of some words.
pub fn choice(words: &[&str]) -> Schema {
    json!({ "enum": words })
}

/// One of several forms.
pub fn any(forms: Vec<Schema>) -> Schema {
    json!({ "anyOf": forms })
}

/// A definition by its name, below `$defs` of the whole schema.
pub fn defined(name: &str) -> Schema {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// A section by its table of keys. Keys for later are left out: this version refuses them.
pub fn object(table: &[Key]) -> Schema {
    let mut properties = Map::new();
    let mut needed = Vec::new();
    for key in table.iter().filter(|key| key.presence != Presence::Later) {
        let mut schema = (key.schema)();
        if let Value::Object(object) = &mut schema {
            object.insert("description".to_owned(), Value::from(key.summary));
        }
        properties.insert(key.name.to_owned(), schema);
        if key.presence == Presence::Needed {
            needed.push(key.name);
        }
    }
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !needed.is_empty() {
        object["required"] = json!(needed);
    }
    object
}
