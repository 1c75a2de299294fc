//! Which routes match a path, and why all but one of them do not answer.

use crate::runtime::hash::HashSet;

use http::Method;

use crate::exchange::Exchange;
use crate::route::{Found, Layer, Methods, Pattern, TableBuilder};
use crate::snapshot::ListenerPlan;

use super::written::{Written, place};
use crate::config::Route;

/// A route whose pattern matches the path.
pub struct Considered {
    /// Its key as written.
    pub name: String,
    /// Where it is written.
    pub at: String,
    /// Whether it is the listener's own.
    pub own: bool,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a route whose pattern matches the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the one, if one of its alternatives holds.
    Decides,
    /// The listener has a route of its own for the pattern.
    Hidden,
    /// A more specific pattern decides.
    LessSpecific,
    /// The pattern decides, but this route does not take the method.
    Method,
    /// Another route of the same pattern names the method.
    NotNamed,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Decides => "decides",
            Verdict::Hidden => "hidden by the listener's own route of this pattern",
            Verdict::LessSpecific => "less specific",
            Verdict::Method => "does not take the method",
            Verdict::NotNamed => "another route of this pattern names the method",
        }
    }
}

/// The routes that match the path, the one that decides first, and how many do not.
pub(super) fn considered(
    written: &Written<'_>,
    plan: &ListenerPlan,
    exchange: &Exchange,
    method: &Method,
) -> (Vec<Considered>, usize) {
    let path = exchange.request.target.path();
    let (pattern, decides) = match plan.table.find(path, method) {
        Found::Matched(found) => {
            let rule = found.rule.first().and_then(|first| plan.rules.get(first.rule as usize));
            (Some(found.pattern), rule.and_then(|rule| written.of(rule)).map(|(route, ..)| route))
        }
        Found::MethodNotAllowed { pattern, .. } => (Some(pattern), None),
        Found::NotFound => (None, None),
    };
    let shape = |text: &str| {
        written
            .routes()
            .find(|(route, _)| *route.key.pattern.text == *text)
            .map(|(route, _)| route.key.pattern.shape())
    };
    let deciding = pattern.and_then(|text| shape(text));
    let own: HashSet<String> =
        written.listener.routes.iter().map(|route| route.key.pattern.shape()).collect();
    let (mut list, mut others) = (Vec::new(), 0);
    for (route, is_own) in written.routes() {
        let Some(takes) = matches(route, path, method) else {
            others += 1;
            continue;
        };
        let mine = route.key.pattern.shape();
        let verdict = if decides.is_some_and(|decides| std::ptr::eq(decides, route)) {
            Verdict::Decides
        } else if !is_own && own.contains(&mine) {
            Verdict::Hidden
        } else if deciding.as_ref() != Some(&mine) {
            Verdict::LessSpecific
        } else if takes {
            Verdict::NotNamed
        } else {
            Verdict::Method
        };
        let at = place(written.config, route.name.span);
        list.push(Considered { name: route.name.value.to_string(), at, own: is_own, verdict });
    }
    list.sort_by_key(|considered| considered.verdict != Verdict::Decides);
    (list, others)
}

/// Whether a route, were it alone, would match the path and take the method; `None` where it does not match.
fn matches(route: &Route, path: &str, method: &Method) -> Option<bool> {
    let pattern = Pattern::parse(&route.key.pattern.text).ok()?;
    let methods = match route.methods().as_slice() {
        [] => Methods::Any,
        methods => Methods::parse(&methods.join(",")).ok()?,
    };
    let mut table = TableBuilder::new();
    table.insert(Layer::Shared, methods, &pattern, ()).ok()?;
    match table.build().find(path, method) {
        Found::Matched(_) => Some(true),
        Found::MethodNotAllowed { .. } => Some(false),
        Found::NotFound => None,
    }
}
