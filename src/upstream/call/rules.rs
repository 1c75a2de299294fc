//! What an upstream asks of an exchange: expressions of its section, compiled.

use std::sync::Arc;

use crate::expression::{Expression, Ground};

use crate::upstream::endpoints::balance::hash::stable;

/// The expressions of an upstream.
#[derive(Clone, Default)]
pub struct Rules {
    /// What calls of one kind have in common, for `consistent_hash`.
    pub hash_by: Option<Arc<Expression>>,
    /// Whether a call may be repeated that is not idempotent.
    pub unsafe_: Option<Arc<Expression>>,
}

impl Rules {
    /// The key of a call; none where it cannot be read: it then goes anywhere.
    pub(in crate::upstream) fn key(&self, ground: Option<Ground<'_>>) -> Option<u64> {
        let text = self.hash_by.as_ref()?.text(ground?).ok()?;
        Some(stable(text.as_bytes()))
    }

    /// Whether a call may be repeated by its own word.
    pub(in crate::upstream) fn admits(&self, ground: Option<Ground<'_>>) -> bool {
        let (Some(condition), Some(ground)) = (&self.unsafe_, ground) else { return false };
        condition.holds(ground)
    }
}
