//! Functions of texts that are not the interpreter's own: `matches` with a pattern that was compiled at load, and those
//! of the strings extension whose own versions take time or memory out of proportion to what they are given.

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, LIST_TYPE, MAP_TYPE};
use cel::common::value::{CowVal, Val as CelVal};
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;

use super::budget::TOO_COSTLY;
use super::map;
use super::numbers::{Carried, loses_digits};
use super::stock::{HIDDEN, Outcome, dynamic, interpreter_value, no_overload};

/// The longest text that one call of `replace` or `join` makes, in bytes.
const LONGEST: usize = 4 << 20;

/// A compiled pattern as a value.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Regex);

interpreter_value!(Pattern, HIDDEN);

/// Members that are called as functions with `x` in front.
pub(super) const STAND_INS: &[(&str, &str)] = &[
    ("matches", "@matches"),
    ("indexOf", "@indexOf"),
    ("lastIndexOf", "@lastIndexOf"),
    ("replace", "@replace"),
    ("join", "@join"),
];

/// Adds the functions to an environment.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("@matches", "@matches", dynamic(2), matches)?;
    env.add_overload("@indexOf", "@indexOf", dynamic(2), index_of)?;
    env.add_overload("@indexOf", "@indexOf_from", dynamic(3), index_of)?;
    env.add_overload("@lastIndexOf", "@lastIndexOf", dynamic(2), last_index_of)?;
    env.add_overload("@lastIndexOf", "@lastIndexOf_from", dynamic(3), last_index_of)?;
    env.add_overload("@replace", "@replace", dynamic(3), replace)?;
    env.add_overload("@replace", "@replace_some", dynamic(4), replace)?;
    env.add_overload("@join", "@join", dynamic(1), join)?;
    env.add_overload("@join", "@join_with", dynamic(2), join)?;
    env.add_overload("@exact", "@exact", dynamic(1), exact)?;
    env.add_overload("@exact", "@exact_for", dynamic(2), exact)
}

fn failed<T>(function: &str, message: &str) -> Result<T, ExecutionError> {
    Err(ExecutionError::function_error(function, message))
}

fn text<'a>(function: &str, args: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a str, ExecutionError> {
    let text = args.get(at).and_then(|arg| arg.downcast_ref::<CelString>());
    text.map(|text| text.inner()).ok_or_else(|| no_overload(function, args))
}

/// The whole number at this place, if there is one.
fn int(function: &str, args: &[CowVal<'_, '_>], at: usize) -> Result<Option<i64>, ExecutionError> {
    let Some(arg) = args.get(at) else { return Ok(None) };
    let int = arg.downcast_ref::<CelInt>().ok_or_else(|| no_overload(function, args))?;
    Ok(Some(*int.inner()))
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let Some(Pattern(pattern)) = args[1].downcast_ref::<Pattern>() else {
        return Err(no_overload("matches", &args));
    };
    let Some(text) = args[0].downcast_ref::<CelString>() else {
        let types = vec![args[0].get_type().name().to_owned(), "string".to_owned()];
        return Err(ExecutionError::no_such_overload("matches", types));
    };
    Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner()))))
}

fn count(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// The byte at which the character with this number begins; the end of the text counts as one.
fn byte_at(text: &str, character: i64) -> Option<usize> {
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.nth(usize::try_from(character).ok()?)
}

fn found<'b, 'v>(at: Option<&str>) -> Outcome<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(at.map_or(-1, count))))
}

/// `text.indexOf(part)` and `text.indexOf(part, from)`, in characters.
fn index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (whole, part) = (text("indexOf", &args, 0)?, text("indexOf", &args, 1)?);
    let Some(from) = int("indexOf", &args, 2)? else {
        return found(whole.find(part).map(|at| &whole[..at]));
    };
    match byte_at(whole, from) {
        Some(start) => found(whole[start..].find(part).map(|at| &whole[..start + at])),
        None => failed("indexOf", "index out of range"),
    }
}

/// `text.lastIndexOf(part)` and `text.lastIndexOf(part, from)`, in characters.
fn last_index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (whole, part) = (text("lastIndexOf", &args, 0)?, text("lastIndexOf", &args, 1)?);
    let Some(from) = int("lastIndexOf", &args, 2)? else {
        return found(whole.rfind(part).map(|at| &whole[..at]));
    };
    match byte_at(whole, from) {
        Some(start) => {
            // What begins at `from` or before it ends within its own length from there.
            let end = byte_at(&whole[start..], count(part)).map_or(whole.len(), |length| start + length);
            found(whole[..end].rfind(part).map(|at| &whole[..at]))
        }
        None => failed("lastIndexOf", "index out of range"),
    }
}

/// `text.replace(from, to)` and `text.replace(from, to, count)`; a negative count is all.
fn replace<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let (whole, from, to) =
        (text("replace", &args, 0)?, text("replace", &args, 1)?, text("replace", &args, 2)?);
    let most = int("replace", &args, 3)?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let times = whole.matches(from).take(most).count();
    let length = times.saturating_mul(to.len()).saturating_add(whole.len());
    if length - times * from.len() > LONGEST {
        return failed("replace", TOO_COSTLY);
    }
    Ok(CowVal::owned(CelString::from(whole.replacen(from, to, times))))
}

/// `list.join()` and `list.join(between)`.
fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let between = if args.len() > 1 { text("join", &args, 1)? } else { "" };
    let Some(list) = args[0].downcast_ref::<CelList>() else { return Err(no_overload("join", &args)) };
    let mut joined = String::new();
    for (at, item) in list.inner().iter().enumerate() {
        let Some(item) = item.downcast_ref::<CelString>() else {
            return failed("join", "an item is no text");
        };
        if at > 0 {
            joined.push_str(between);
        }
        joined.push_str(item.inner());
        if joined.len() > LONGEST {
            return failed("join", TOO_COSTLY);
        }
    }
    Ok(CowVal::owned(CelString::from(joined)))
}

/// What `format` is given in place of its list: numbers of JSON, which it does not know. `%s` writes their own digits,
/// where the text of the format is known; everything else gets the double, if that is the same number.
fn exact<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let Some(list) = args[0].downcast_ref::<CelList>() else { return Ok(args.swap_remove(0)) };
    if !list.inner().iter().any(|item| carries(item.as_ref())) {
        return Ok(args.swap_remove(0));
    }
    let clauses = match args.len() {
        1 => String::new(),
        _ => clauses(text("format", &args, 1)?),
    };
    let clauses = clauses.chars().map(Some).chain(std::iter::repeat(None));
    let items: Result<Vec<_>, _> = list
        .inner()
        .iter()
        .zip(clauses)
        .map(|(item, clause)| plain(item.as_ref(), clause == Some('s')))
        .collect();
    Ok(CowVal::owned(CelList::from(items?)))
}

/// The letter of each clause.
fn clauses(format: &str) -> String {
    let mut letters = String::new();
    let mut rest = format;
    while let Some((_, clause)) = rest.split_once('%') {
        let clause = clause.trim_start_matches(|byte: char| byte == '.' || byte.is_ascii_digit());
        let mut after = clause.chars();
        match after.next() {
            Some('%') | None => {}
            Some(letter) => letters.push(letter),
        }
        rest = after.as_str();
    }
    letters
}

fn carries(value: &(dyn CelVal + '_)) -> bool {
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().any(|item| carries(item.as_ref()));
    }
    let found = map::each(value, |_, value| if carries(value) { Err(()) } else { Ok(()) });
    found.is_err() || value.downcast_ref::<Carried>().is_some()
}

fn plain<'v>(value: &(dyn CelVal + 'v), digits: bool) -> Result<Box<dyn CelVal + 'v>, ExecutionError> {
    if let Some(Carried(decimal)) = value.downcast_ref::<Carried>() {
        if digits {
            return Ok(Box::new(CelString::from(decimal.text().to_owned())));
        }
        return match decimal.double() {
            Some(double) => Ok(Box::new(CelDouble::from(double))),
            None => loses_digits("format").map(CowVal::into_owned),
        };
    }
    let kind = value.get_type();
    // A list or a map is written by `%s` alone, whole.
    if *kind == LIST_TYPE
        && let Some(list) = value.downcast_ref::<CelList>()
    {
        let items: Result<Vec<_>, _> = list.inner().iter().map(|item| plain(item.as_ref(), digits)).collect();
        return Ok(Box::new(CelList::from(items?)));
    }
    if *kind == MAP_TYPE {
        let mut parts: Vec<Box<dyn CelVal + 'v>> = Vec::new();
        map::each(value, |key, value| {
            parts.push(plain(key, digits)?);
            parts.push(plain(value, digits)?);
            Ok::<(), ExecutionError>(())
        })?;
        return map::made(vec![CowVal::owned(CelList::from(parts))]).map(CowVal::into_owned);
    }
    Ok(value.clone_as_boxed())
}
