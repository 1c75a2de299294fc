//! The members of an object that has been checked, as they stand.

use std::ops::Range;

use super::scan::text_end;
use super::{BOM, Scanner, is_blank};

/// A member: where its name (without quotes) and its value stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The name, escapes as sent.
    pub name: Range<usize>,
    /// The value, without the blanks around it.
    pub value: Range<usize>,
}

/// The members of an object in their order; `None` where the bytes, which [`super::check`] must have passed, are
/// another value.
pub fn members(json: &[u8]) -> Option<Vec<Member>> {
    let skip = |mut at: usize| {
        while json.get(at).copied().is_some_and(is_blank) {
            at += 1;
        }
        at
    };
    let start = if json.starts_with(BOM) { BOM.len() } else { 0 };
    let mut at = skip(start);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip(at + 1);
    let mut found = Vec::new();
    while json.get(at) == Some(&b'"') {
        let name = at + 1;
        let mut end = text_end(json, name);
        while json.get(end) == Some(&b'\\') {
            end = text_end(json, end + 2);
        }
        let value = skip(skip(end + 1) + 1);
        let length = Scanner::new(0).feed(json.get(value..)?).ok()??;
        found.push(Member { name: name..end, value: value..value + length });
        at = skip(value + length);
        if json.get(at) == Some(&b',') {
            at = skip(at + 1);
        }
    }
    Some(found)
}
