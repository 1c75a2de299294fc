//! What guards a rule, as it is written: for those who ask where a policy comes from.

use crate::config::{Node, Origin, Part, Span, Value};
use crate::policy::Phase;

/// A policy of a rule, or one item of its list, as it is written.
#[derive(Clone, Debug)]
pub struct Guard {
    /// When it runs.
    pub phase: Phase,
    /// Its kind.
    pub kind: &'static str,
    /// What stands there, where it is a name, some names or a condition; none of what references bring in.
    pub says: Option<String>,
    /// Whose it is.
    pub origin: Origin,
    /// Where it is written.
    pub at: Span,
}

impl Guard {
    /// The guard that a part of the configuration writes.
    pub(super) fn new(kind: &'static str, phase: Phase, part: &Part<'_>) -> Guard {
        Guard { phase, kind, says: says(part.body), origin: part.origin, at: part.body.span }
    }
}

fn says(body: &Node) -> Option<String> {
    match &body.value {
        Value::List(items) => {
            items.iter().map(Node::word).collect::<Option<Vec<_>>>().map(|words| words.join(", "))
        }
        Value::Map(_) => body.get("require").and_then(Node::word).map(str::to_owned),
        Value::Scalar(_) => body.word().map(str::to_owned),
    }
}
