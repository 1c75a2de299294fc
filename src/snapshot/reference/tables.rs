//! Schemas as tables of keys: a section for every map with keys of its own.

use crate::runtime::hash::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// What stands on the page, in order.
enum Part {
    Chapter(String),
    Section { title: String, summary: String, schema: Value },
}

/// Tables under construction. A map of keys that stands in several places has one table, and links to it.
#[derive(Default)]
pub(super) struct Tables {
    parts: Vec<Part>,
    /// The title of the section of a map of keys, by its schema as text.
    titles: HashMap<String, String>,
}

impl Tables {
    /// Begins a chapter.
    pub(super) fn chapter(&mut self, title: &str, text: &str) {
        self.parts.push(Part::Chapter(format!("\n## {title}\n\n{text}\n")));
    }

    /// Adds a section for a schema, and one for every map of keys in it.
    pub(super) fn add(&mut self, title: &str, summary: &str, schema: &Value) {
        let below = if title.starts_with('`') { title.trim_matches('`') } else { "" };
        let below = if title.contains(" `") { title.split('`').nth(1).unwrap_or_default() } else { below };
        self.titles.entry(key(schema)).or_insert_with(|| title.to_owned());
        let (title, summary) = (title.to_owned(), summary.to_owned());
        self.parts.push(Part::Section { title, summary, schema: schema.clone() });
        self.keys_of(below, schema);
    }

    /// Walks to the maps of keys below a schema; those in lists and alternatives belong to the section itself.
    fn keys_of(&mut self, path: &str, schema: &Value) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in ordered(properties, schema) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.nested(&path, property);
            }
            return;
        }
        for form in forms(schema) {
            self.keys_of(path, form);
        }
    }

    fn nested(&mut self, path: &str, schema: &Value) {
        if schema["properties"].is_object() {
            if !self.titles.contains_key(&key(schema)) {
                self.add(&format!("`{path}`"), "", schema);
            }
            return;
        }
        if schema["additionalProperties"].is_object() {
            self.nested(&format!("{path}.NAME"), &schema["additionalProperties"]);
        }
        for form in forms(schema) {
            self.nested(path, form);
        }
    }

    /// The page.
    pub(super) fn render(&self) -> String {
        let mut page = String::new();
        for part in &self.parts {
            match part {
                Part::Chapter(text) => page.push_str(text),
                Part::Section { title, summary, schema } => self.section(&mut page, title, summary, schema),
            }
        }
        page
    }

    fn section(&self, page: &mut String, title: &str, summary: &str, schema: &Value) {
        let mark = if title.contains('`') { "###" } else { "##" };
        // Writing into a String does not fail.
        let _ = write!(page, "\n{mark} {title}\n");
        if !summary.is_empty() {
            let _ = write!(page, "\n{}.\n", summary.trim_end_matches('.'));
        }
        let Some((properties, owner)) = properties(schema) else {
            let _ = write!(page, "\nIts value: {}.\n", self.form(schema));
            return;
        };
        if !std::ptr::eq(owner, schema) && !only_lists(schema) {
            let _ = write!(page, "\nIts value: {}.\n", self.form(schema));
            if self.title(owner) != Some(title) && self.title(owner).is_some() {
                return;
            }
        }
        page.push_str("\n| Key | Value | Meaning |\n| --- | --- | --- |\n");
        for (name, property) in ordered(properties, owner) {
            let needed = if is_needed(owner, name) { " (needed)" } else { "" };
            let meaning = property["description"].as_str().unwrap_or_default();
            let _ = writeln!(page, "| `{name}`{needed} | {} | {meaning} |", self.form(property));
        }
    }

    fn title(&self, schema: &Value) -> Option<&str> {
        self.titles.get(&key(schema)).map(String::as_str)
    }

    /// What a value looks like, in words.
    fn form(&self, schema: &Value) -> String {
        if let Some(title) = schema["title"].as_str() {
            return title.to_owned();
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return definition(name);
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<String> =
                words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
            return words.join(", ");
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let mut words: Vec<String> = any.iter().map(|form| self.form(form)).collect();
            words.dedup();
            return words.join(" or ");
        }
        if schema["properties"].is_object() {
            return match self.title(schema) {
                Some(title) => format!("[map](#{})", anchor(title)),
                None => "map".to_owned(),
            };
        }
        match schema["type"].as_str() {
            Some("object") => format!("map of names to {}", self.form(&schema["additionalProperties"])),
            Some("array") => format!("list of {}", self.form(&schema["items"])),
            Some("string") => "text".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            _ => "any value".to_owned(),
        }
    }
}

/// The forms that a value may have, and what a list holds.
fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    let any = schema["anyOf"].as_array().into_iter().flatten();
    any.chain(schema["items"].is_object().then_some(&schema["items"]))
}

/// The keys of a map, or of the one map among the forms of a value; and the schema that they stand in.
fn properties(schema: &Value) -> Option<(&Map<String, Value>, &Value)> {
    match schema["properties"].as_object() {
        Some(properties) => Some((properties, schema)),
        None => forms(schema).find_map(properties),
    }
}

/// Whether all forms are the same map, alone or in a list.
fn only_lists(schema: &Value) -> bool {
    forms(schema).all(|form| form["properties"].is_object() || form["type"] == "array")
}

/// A schema without what tells its place.
fn key(schema: &Value) -> String {
    let mut schema = schema.clone();
    if let Value::Object(object) = &mut schema {
        object.remove("description");
    }
    schema.to_string()
}

fn is_needed(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|needed| needed.iter().any(|needed| needed == name))
}

/// Keys that must be there first.
fn ordered<'s>(properties: &'s Map<String, Value>, schema: &Value) -> Vec<(&'s String, &'s Value)> {
    let mut list: Vec<_> = properties.iter().collect();
    list.sort_by_key(|(name, _)| !is_needed(schema, name));
    list
}

/// A link to a definition.
fn definition(name: &str) -> String {
    match name {
        "policies" => "[policies](#policies)".to_owned(),
        "routes" => "[routes](#routes)".to_owned(),
        "auth" => "[authenticator](#authname)".to_owned(),
        "rate_limit" => "[rate limit](#rate_limitsname)".to_owned(),
        action => format!("[{action}](#action-{action})"),
    }
}

/// The anchor that a heading gets from the usual renderers of Markdown.
fn anchor(title: &str) -> String {
    let letters =
        title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    letters.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}
