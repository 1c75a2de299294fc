//! How anything pluggable is named, documented and built.

use super::section::Schema;

/// One kind of a pluggable thing (a policy, an action, a store). A room lists its kinds in one static slice;
/// schema, reference pages and "did you mean" derive from it. `B` is the function that reads its body and builds it;
/// it gives `None` after what is wrong was reported to the field's collector.
pub struct Kind<B: 'static> {
    /// The word in the configuration.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// What its body looks like.
    pub schema: fn() -> Schema,
    /// Reads its body and builds it.
    pub build: B,
}

impl<B> Kind<B> {
    /// The kind of this name in a slice of kinds.
    pub fn find<'k>(kinds: &'k [Self], name: &str) -> Option<&'k Self> {
        kinds.iter().find(|kind| kind.name == name)
    }

    /// Name and schema of every kind of a slice, as the schema of the whole file wants them.
    pub fn schemas(kinds: &[Self]) -> Vec<(&'static str, Schema)> {
        kinds
            .iter()
            .map(|kind| {
                let mut schema = (kind.schema)();
                if let Schema::Object(object) = &mut schema {
                    object.entry("description").or_insert_with(|| Schema::from(kind.summary));
                }
                (kind.name, schema)
            })
            .collect()
    }
}
