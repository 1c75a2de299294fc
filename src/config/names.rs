//! Names that the operator gives: of upstreams, authenticators, rate limits, listeners.

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::span::Spanned;
use super::text::quoted;

/// A name and where it stands.
pub type Name = Spanned<Arc<str>>;

/// Words with a meaning of their own where names stand.
const RESERVED: [&str; 2] = ["none", "inherit"];
const LONGEST: usize = 128;

/// Reads a map of names. A name that cannot be one is reported and left out.
pub(super) fn named<'a>(field: Field<'a>) -> Vec<(Name, Field<'a>)> {
    let mut list = Vec::new();
    for (key, value) in field.entries().unwrap_or_default() {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = key.value.bytes().next().is_some_and(letter);
        let good = first && key.value.bytes().all(|b| letter(b) || b == b'-' || b == b'.');
        let problem = if RESERVED.contains(&key.value) {
            Diagnostic::error(key.span, format!("{} is a keyword, not a name", quoted(key.value)))
                .help("choose another name")
        } else if !good || key.value.len() > LONGEST {
            Diagnostic::error(key.span, format!("{} is not a name", quoted(key.value)))
                .help(format!("a name is of letters, digits, `_`, `-` and `.`, at most {LONGEST} of them"))
        } else {
            list.push((Spanned::new(Arc::from(key.value), key.span), value));
            continue;
        };
        field.out().add(problem);
    }
    list
}
