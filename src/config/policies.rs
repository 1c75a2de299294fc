//! Policies as written: which kinds, each with its body for the kind to read.

use super::diagnostic::Diagnostic;
use super::document::Node;
use super::field::{Field, not_yet};
use super::names::Name;
use super::span::Spanned;
use super::suggest::nearest;
use super::text::quoted;

/// Kinds whose body may be a list in which `inherit` stands for what it replaces.
pub const INHERITING: [&str; 4] = ["ip", "rate_limit", "authorize", "headers"];

/// Which policy kinds there are, as the room of policies tells.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// Kinds that this version builds.
    pub policies: &'a [&'a str],
    /// Kinds of the language that it does not build.
    pub later: &'a [&'a str],
}

/// The policies of one place, in the order written.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    list: Vec<Policy>,
}

/// One policy as written.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its kind.
    pub kind: Name,
    /// Its body; `none` removes an outer one.
    pub body: Node,
}

impl Policy {
    /// The body as a value to be read.
    pub fn field<'a>(&'a self, out: &'a super::diagnostic::Diagnostics) -> Field<'a> {
        Field::new(&self.kind.value, self.kind.span, &self.body, out)
    }
}

impl Policies {
    /// The policy of a kind.
    pub fn get(&self, kind: &str) -> Option<&Policy> {
        self.list.iter().find(|policy| &*policy.kind.value == kind)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Policy> {
        self.list.iter()
    }

    /// Reads a map of policies; `outermost` where there is nothing to inherit.
    pub(super) fn read(field: Field<'_>, vocabulary: Vocabulary<'_>, outermost: bool) -> Option<Self> {
        let mut list = Vec::new();
        for (key, value) in field.entries()? {
            if vocabulary.later.contains(&key.value) {
                field.out().add(not_yet(key.span, key.value));
            } else if !vocabulary.policies.contains(&key.value) {
                let what = format!("unknown policy {}", quoted(key.value));
                let known: Vec<String> = vocabulary.policies.iter().map(|kind| quoted(kind)).collect();
                let all = vocabulary.policies.iter().chain(vocabulary.later).copied();
                let diagnostic = Diagnostic::error(key.span, what);
                let diagnostic = diagnostic.help(format!("the policies are {}", known.join(", ")));
                field.out().add(diagnostic.did_you_mean(nearest(key.value, all)));
            } else if value.node().is_null() {
                let what = format!("{} has no value", quoted(key.value));
                let help = format!("write `{}: none` to remove it", key.value);
                field.out().add(Diagnostic::error(key.span, what).help(help));
            } else {
                judge_list(&value, outermost);
                list.push(Policy {
                    kind: Spanned::new(key.value.into(), key.span),
                    body: value.node().clone(),
                });
            }
        }
        Some(Self { list })
    }
}

/// Checks the keywords inside a body; the rest of it is the kind's own.
fn judge_list(field: &Field<'_>, outermost: bool) {
    let inherits = INHERITING.contains(&field.name());
    if !inherits && field.name() != "auth" {
        return;
    }
    let items = field.one_or_many();
    let mut inherits = items.iter().filter(|item| inherits && item.is_word("inherit"));
    if let Some(first) = inherits.next() {
        if outermost {
            first.error(
                "there is nothing to inherit here",
                "`inherit` stands in the policies of a listener or route",
            );
        }
        if let Some(second) = inherits.next() {
            second.error("`inherit` stands twice", "write it once");
        }
    }
    if field.is_list() {
        if items.is_empty() {
            field.error("an empty list", format!("write `{}: none` to remove it", field.name()));
        }
        for item in items.iter().filter(|item| item.is_word("none")) {
            item.error("`none` stands alone, not in a list", format!("write `{}: none`", field.name()));
        }
    }
}
