//! The parts of a configuration by name, so that a reload can say what it changed.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use super::document::Node;

/// Sections whose entries are parts of their own.
const DIVIDED: [&str; 5] = ["listeners", "upstreams", "auth", "rate_limits", "routes"];

/// The names that a line lists of each kind of change.
const LISTED: usize = 5;

/// The parts of a configuration, each with a number made of everything that it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline(BTreeMap<String, u64>);

impl Outline {
    /// The outline of a whole configuration.
    pub(super) fn of(root: &Node) -> Outline {
        let mut parts = BTreeMap::new();
        divide("", root, &DIVIDED, &mut parts);
        Outline(parts)
    }

    /// What differs from the configuration before.
    pub fn changes_since(&self, before: &Outline) -> Changes {
        let mut changes = Changes::default();
        for (name, print) in &self.0 {
            match before.0.get(name) {
                None => changes.added.push(name.clone()),
                Some(old) if old != print => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        changes.removed.extend(before.0.keys().filter(|name| !self.0.contains_key(*name)).cloned());
        changes
    }
}

/// Notes every entry of a map; those of the keys in `divided` are noted one level deeper, and the routes of a listener
/// one more.
fn divide(path: &str, node: &Node, divided: &[&str], parts: &mut BTreeMap<String, u64>) {
    for entry in node.entries() {
        let key = entry.key.value.as_str();
        let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match key {
            _ if !divided.contains(&key) || entry.value.entries().is_empty() => {
                let mut hash = DefaultHasher::new();
                entry.value.feed(&mut hash);
                parts.insert(name, hash.finish());
            }
            "listeners" => {
                for listener in entry.value.entries() {
                    divide(&format!("{name}.{}", listener.key.value), &listener.value, &["routes"], parts);
                }
            }
            _ => divide(&name, &entry.value, &[], parts),
        }
    }
}

/// What differs between two configurations, as the paths of their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Parts that only the new one has.
    pub added: Vec<String>,
    /// Parts that mean something else.
    pub changed: Vec<String>,
    /// Parts that only the old one has.
    pub removed: Vec<String>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let mut first = true;
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            let listed = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, "{}{kind} {listed}", if first { "" } else { "; " })?;
            if names.len() > LISTED {
                write!(f, " and {} more", names.len() - LISTED)?;
            }
            first = false;
        }
        if first { f.write_str("nothing changed in meaning") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tree_from_text;
    use super::*;

    fn outline(text: &str) -> Outline {
        Outline::of(&tree_from_text(Path::new("x.yaml"), text).root.expect("it is YAML"))
    }

    #[test]
    fn what_changed_is_named() {
        let before = outline(
            "listen: 127.0.0.1:80\nupstreams: { a: { url: 'http://a' }, b: { url: 'http://b' } }\nroutes: { /x: { upstream: a }, /y: { upstream: b } }",
        );
        let after = outline(
            "# a remark\nlisten: 127.0.0.1:80\nroutes: { /z: { upstream: a }, /x: { timeout: 1s, upstream: a } }\nupstreams: { a: { url: 'http://a' } }\noverload: { max_in_flight: 5 }",
        );
        let changes = after.changes_since(&before);
        assert_eq!(
            changes.to_string(),
            "added overload, routes./z; changed routes./x; removed routes./y, upstreams.b"
        );
        assert_eq!(before.changes_since(&before).to_string(), "nothing changed in meaning");
    }

    #[test]
    fn the_routes_of_a_listener_are_parts_of_their_own() {
        let text = |route: &str, body: &str| {
            outline(&format!(
                "listeners: {{ mobile: {{ listen: 127.0.0.1:1, limits: {{ body: {body} }}, routes: {{ {route}: {{ upstream: a }} }} }} }}"
            ))
        };
        let changes = text("/b", "2MiB").changes_since(&text("/a", "1MiB"));
        assert_eq!(
            changes.to_string(),
            "added listeners.mobile.routes./b; changed listeners.mobile.limits; removed listeners.mobile.routes./a"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: String = (0..8).map(|number| format!("/{number}: {{ upstream: a }}, ")).collect();
        let changes = outline(&format!("routes: {{ {names} }}")).changes_since(&Outline::default());
        assert!(changes.to_string().ends_with("routes./4 and 3 more"), "{changes}");
    }
}
