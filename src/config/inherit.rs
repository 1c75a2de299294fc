//! The one rule of inheritance: for each kind the nearest of route, listener, file wins whole.

use super::diagnostic::Diagnostics;
use super::document::{Node, Value};
use super::field::Field;
use super::policies::{INHERITING, Policies, Policy};

/// Where a policy was written, from the outside in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// At the top of the file.
    File,
    /// In a listener.
    Listener,
    /// In a route.
    Route,
}

/// One body that is in force, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The policy that it was written in.
    pub policy: &'a Policy,
    /// The body: the whole of the policy, or one item of its list where the kind takes `inherit`.
    pub body: &'a Node,
    /// Where it was written.
    pub origin: Origin,
    /// Which item of its list it is, from 0.
    pub index: usize,
}

impl<'a> Part<'a> {
    /// The body as a value to be read, called by its kind.
    pub fn field(&self, out: &'a Diagnostics) -> Field<'a> {
        Field::new(&self.policy.kind.value, self.policy.kind.span, self.body, out)
    }
}

/// A kind that is in force for a route.
#[derive(Clone, Debug)]
pub struct InForce<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The place that decided.
    pub origin: Origin,
    /// Its bodies in the order of the list, what was inherited in the place of `inherit`. Kinds that take no
    /// `inherit` have exactly one.
    pub parts: Vec<Part<'a>>,
}

/// The policies in force where these three places meet; a kind that `none` removed is not among them. In the
/// order of the nearest place, then of the outer ones.
pub fn in_force<'a>(file: &'a Policies, listener: &'a Policies, route: &'a Policies) -> Vec<InForce<'a>> {
    let places = [(Origin::Route, route), (Origin::Listener, listener), (Origin::File, file)];
    let mut kinds: Vec<&str> = Vec::new();
    for policy in places.iter().flat_map(|(_, policies)| policies.iter()) {
        if !kinds.contains(&&*policy.kind.value) {
            kinds.push(&policy.kind.value);
        }
    }
    kinds.into_iter().filter_map(|kind| resolve(kind, &places)).collect()
}

fn resolve<'a>(kind: &'a str, places: &[(Origin, &'a Policies)]) -> Option<InForce<'a>> {
    let (index, origin, policy) = places
        .iter()
        .enumerate()
        .find_map(|(index, (origin, policies))| policies.get(kind).map(|policy| (index, *origin, policy)))?;
    if policy.body.word() == Some("none") {
        return None;
    }
    let mut parts = Vec::new();
    if !INHERITING.contains(&kind) {
        parts.push(Part { policy, body: &policy.body, origin, index: 0 });
        return Some(InForce { kind, origin, parts });
    }
    for (item, body) in items(&policy.body).iter().enumerate() {
        if body.word() == Some("inherit") {
            parts.extend(resolve(kind, &places[index + 1..]).into_iter().flat_map(|outer| outer.parts));
        } else {
            parts.push(Part { policy, body, origin, index: item });
        }
    }
    (!parts.is_empty()).then_some(InForce { kind, origin, parts })
}

/// The outer policy that `policy` replaces without a word, where it does: neither `none` nor `inherit`.
pub(super) fn replaced<'a>(policy: &Policy, outer: &[&'a Policies]) -> Option<&'a Policy> {
    let kind = &*policy.kind.value;
    let keeps = policy.body.word() == Some("none")
        || items(&policy.body).iter().any(|body| body.word() == Some("inherit"));
    if keeps || !INHERITING.contains(&kind) {
        return None;
    }
    let nearest = outer.iter().find_map(|policies| policies.get(kind))?;
    (nearest.body.word() != Some("none")).then_some(nearest)
}

fn items(body: &Node) -> &[Node] {
    match &body.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(body),
    }
}

#[cfg(test)]
mod tests;
