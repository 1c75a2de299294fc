//! The members of an object that has been checked, as they stand.

use std::ops::Range;

use super::scan::text_end;
use super::text::same_name;
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

/// One step to a part of a value.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The member of that name; the last one, where there are several.
    Member(&'a str),
    /// The item at that place, from 0.
    Item(usize),
}

/// Where nothing is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// There is no such member or item.
    Absent,
    /// What it is asked of has no members, or no items.
    NoParts,
}

/// A part of a value that [`super::check`] has passed, as it stands, without the blanks around it.
///
/// # Errors
/// It is not there.
pub fn find<'j, 'p>(json: &'j [u8], parts: impl IntoIterator<Item = Part<'p>>) -> Result<&'j [u8], Missing> {
    let mut value = json.strip_prefix(BOM).unwrap_or(json).trim_ascii();
    for part in parts {
        value = match (value.first(), part) {
            (Some(b'{'), Part::Member(name)) => {
                let found = members(value).unwrap_or_default();
                let named = |member: &&Member| same_name(&value[member.name.clone()], name.as_bytes());
                let member = found.iter().rev().find(named).ok_or(Missing::Absent)?;
                &value[member.value.clone()]
            }
            (Some(b'['), Part::Item(at)) => item(value, at).ok_or(Missing::Absent)?,
            (Some(b'{'), Part::Item(_)) => return Err(Missing::Absent),
            _ => return Err(Missing::NoParts),
        };
    }
    Ok(value)
}

fn item(list: &[u8], wanted: usize) -> Option<&[u8]> {
    let mut rest = list.get(1..)?.trim_ascii_start();
    for _ in 0..wanted {
        let end = Scanner::new(0).feed(rest).ok()??;
        rest = rest[end..].trim_ascii_start().strip_prefix(b",")?.trim_ascii_start();
    }
    let end = Scanner::new(0).feed(rest).ok()??;
    Some(&rest[..end])
}
