//! The configuration as one of its listeners sees it, and where things stand in it.

use crate::config::{Config, Listener, Route, RouteBody, Span};
use crate::snapshot::Rule;

/// A configuration as one of its listeners sees it.
pub(super) struct Written<'a> {
    pub(super) config: &'a Config,
    pub(super) listener: &'a Listener,
}

impl<'a> Written<'a> {
    /// Every route, the listener's own first, and whether it is its own.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&'a Route, bool)> {
        let own = self.listener.routes.iter().map(|route| (route, true));
        own.chain(self.config.routes.iter().map(|route| (route, false)))
    }

    /// The route and the alternative that a rule is made of.
    pub(super) fn of(&self, rule: &Rule) -> Option<(&'a Route, &'a RouteBody, bool)> {
        let at = rule.at?;
        self.routes().find_map(|(route, own)| {
            let body = route.alternatives.iter().find(|body| body.at == at)?;
            Some((route, body, own))
        })
    }
}

/// A place as `FILE:LINE`.
pub(super) fn place(config: &Config, span: Span) -> String {
    format!("{}:{}", config.files.path(span.file).display(), span.line)
}
