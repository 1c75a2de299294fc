//! The words of a limit that need more than a table: tiers, expressions, and what belongs to Redis alone.

use crate::config::{Diagnostic, Field, Key as ConfigKey, Section, shape};
use crate::expression::{Expression, Scope, load};
use crate::store::{Lease, Place, WhenStoreFails};

const TIER: &[ConfigKey] = &[
    ConfigKey::needed("limit", shape::integer, "Permits per window"),
    ConfigKey::optional("when", shape::cel, "Whom it is for; the last of the tiers has none"),
];

/// The shape of one tier.
pub(super) fn tier_schema() -> crate::config::Schema {
    shape::object(TIER)
}

/// The permits per window, for those whose condition holds and for all others.
pub(super) fn tiers(field: Field<'_>, scope: &Scope) -> Option<Vec<(Option<Expression>, u64)>> {
    let one = |field: Field<'_>| {
        let limit = field.integer(0..=u64::from(u32::MAX))?;
        if limit == 0 {
            let warning = Diagnostic::warning(field.span(), "a limit of 0 admits nothing");
            field.out().add(warning.help("write a larger number, or refuse with `authorize: \"false\"`"));
        }
        Some(limit)
    };
    if !field.is_list() {
        return Some(vec![(None, one(field)?)]);
    }
    let list = field.list()?;
    let last = list.len().checked_sub(1);
    if last.is_none() {
        field.error("no tier is written", "write `limit: 100`, or a list that ends with `{ limit: 100 }`");
    }
    let mut tiers = Vec::new();
    for (at, tier) in list.into_iter().enumerate() {
        let section = Section::open(tier, TIER)?;
        let limit = section.get("limit").and_then(one);
        let when = section.get("when");
        match (when, Some(at) == last) {
            (Some(when), true) => when.error(
                "the last tier has a condition: nobody would limit the others",
                "add a tier without `when` behind it",
            ),
            (None, false) => tier.error(
                "a tier without `when` takes all: those behind it are never asked",
                "give it a `when`, or move it to the end",
            ),
            _ => {}
        }
        tiers.push((when.map(|when| condition(when, scope)), limit));
    }
    last?;
    tiers
        .into_iter()
        .map(|(when, limit)| match when {
            Some(when) => Some((Some(when?), limit?)),
            None => Some((None, limit?)),
        })
        .collect()
}

/// A CEL expression of a limit.
pub(super) fn condition(field: Field<'_>, scope: &Scope) -> Option<Expression> {
    load::expression(&field.cel()?, scope, field.out())
}

/// An expression that may be absent: whether it could be read, and what it is.
pub(super) fn optional(section: &Section<'_>, key: &str, scope: &Scope) -> Option<Option<Expression>> {
    match section.get(key) {
        None => Some(None),
        Some(field) => Some(Some(condition(field, scope)?)),
    }
}

/// Where a limit counts, and what belongs to that.
pub(super) fn place(section: &Section<'_>, redis: bool) -> Option<(Place, WhenStoreFails, Lease)> {
    let store = section.get("store");
    let place = match store {
        None => Place::Memory,
        Some(store) => store.choice(&[("memory", Place::Memory), ("redis", Place::Redis)], &[])?,
    };
    if let (Place::Redis, Some(store), false) = (place, store, redis) {
        store.error("no Redis is configured", "add `redis: { url: \"redis://127.0.0.1:6379\" }` to the file");
        return None;
    }
    for key in ["when_store_fails", "lease"] {
        if let (Place::Memory, Some(field)) = (place, section.get(key)) {
            let what = format!("`{key}` belongs to limits with `store: redis`");
            let problem = Diagnostic::error(field.label(), what);
            field.out().add(problem.help("add `store: redis`, or take it out"));
        }
    }
    let fails =
        [("local", WhenStoreFails::Local), ("allow", WhenStoreFails::Allow), ("deny", WhenStoreFails::Deny)];
    let fails = section.read("when_store_fails", WhenStoreFails::default(), |f| f.choice(&fails, &[]));
    let lease = section.read("lease", Lease::default(), lease);
    Some((place, fails, lease))
}

fn lease(field: Field<'_>) -> Option<Lease> {
    if field.is_word("none") {
        return Some(Lease::None);
    }
    let share = (field.percentage()? * 100.0 * 1e6).round() / 1e6;
    if !(1.0..=50.0).contains(&share) || share.fract() != 0.0 {
        field.error("a lease is a whole share from 1% to 50% of the limit", "write `5%`, or `none`");
        return None;
    }
    Some(Lease::Share(share as u8))
}
