//! Merge keys (`<<`, a type of YAML 1.1): a map takes from other maps what it does not say itself.

use crate::runtime::hash::HashSet;

use super::diagnostic::Diagnostic;
use super::document::{Entry, Node, Style, Value};
use super::span::Span;

/// What a map merges.
pub(super) struct Merge {
    /// Where the key stands.
    pub(super) key: Span,
    /// How many keys of the map stand before it.
    pub(super) at: usize,
    /// A map, or a list of maps.
    pub(super) value: Node,
}

/// Whether a key is the merge key; in quotes it is a text like any other.
pub(super) fn is_key(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.style() == Style::Plain && scalar.raw() == "<<")
}

impl Merge {
    /// What is wrong with the value, if anything.
    pub(super) fn problem(&self) -> Option<Diagnostic> {
        let is_map = |node: &Node| matches!(node.value, Value::Map(_));
        let wrong = match &self.value.value {
            Value::Map(_) => return None,
            Value::List(items) => items.iter().find(|item| !is_map(item))?,
            Value::Scalar(_) => &self.value,
        };
        let problem = Diagnostic::error(wrong.span, "the merge key `<<` takes a map, or a list of maps");
        Some(problem.help("name an anchor, as in `<<: *base`; quote `\"<<\"` where it is a name"))
    }

    /// The entries of the map with those that it merges, which stand in the place of the key. What the map says itself wins,
    /// then the first of several maps.
    pub(super) fn added_to(self, mut own: Vec<Entry>) -> Vec<Entry> {
        let behind = own.split_off(self.at.min(own.len()));
        let maps = match self.value.value {
            Value::Map(entries) => vec![entries],
            Value::List(items) => items.into_iter().filter_map(|item| item.into_entries()).collect(),
            Value::Scalar(_) => Vec::new(),
        };
        let mut seen: HashSet<String> =
            own.iter().chain(&behind).map(|entry| entry.key.value.clone()).collect();
        for entry in maps.into_iter().flatten() {
            if seen.insert(entry.key.value.clone()) {
                own.push(entry);
            }
        }
        own.extend(behind);
        own
    }
}
