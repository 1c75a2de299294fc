//! Limits that meet on one route and ask for header fields which no client could read together.

use std::any::Any;
use std::sync::Arc;

use super::headers::Conflict;
use super::plan::Limits;
use super::rate_limit::RateLimit;
use crate::config::Span;
use crate::policy::Policy;

/// Two limits that no route can have both of: see [`Conflict`].
pub struct Clash {
    /// Where the styles of the earlier one are written.
    pub first: Span,
    /// The same of the later one.
    pub second: Span,
    /// What they do not agree about; `mine` is of the later one.
    pub conflict: Conflict,
}

/// The first two limits among a rule's policies whose header styles cannot stand on one answer.
pub fn clash(policies: &[Arc<dyn Policy>]) -> Option<Clash> {
    let limits: Vec<&RateLimit> = policies
        .iter()
        .filter_map(|policy| (&**policy as &dyn Any).downcast_ref::<Limits>())
        .flat_map(|some| some.all().iter().map(|limit| &**limit))
        .collect();
    limits.iter().enumerate().find_map(|(at, second)| {
        limits[..at].iter().find_map(|first| {
            let conflict = second.0.styles?.conflict(first.0.styles?)?;
            Some(Clash { first: first.0.told_at?, second: second.0.told_at?, conflict })
        })
    })
}
