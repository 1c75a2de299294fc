//! From text to the parser's tree, within bounds.

use cel::common::ast::{EntryExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::{IdedExpr, ParseError};

use super::environment::ENV;
use super::error::{CompileError, Span};
use crate::runtime::task;

/// Longest text of one expression, in bytes.
pub(super) const MAX_TEXT: usize = 8 * 1024;

/// Deepest nesting of one expression: operands, arguments, members.
pub(super) const MAX_DEPTH: usize = 64;

/// Most parts of one expression: names, literals, operators, calls; a macro counts as what it stands for.
pub(super) const MAX_PARTS: usize = 2000;

/// Deepest nesting of loops, that is of macros in what another macro evaluates for each item.
pub(super) const MAX_LOOPS: usize = 3;

/// The parser recurses once per operand of a long chain; with this much it gets through the longest text.
const PARSER_STACK: usize = 64 << 20;

/// A parsed expression and where its parts stand.
pub(super) struct Parsed<'t> {
    pub(super) text: &'t str,
    pub(super) tree: IdedExpr,
    info: SourceInfo,
}

/// Parses on a thread of its own, so that no text can exhaust the caller's stack.
pub(super) fn parse(text: &str) -> Result<Parsed<'_>, Vec<CompileError>> {
    let whole = Span { start: 0, end: text.len() as u32 };
    if text.trim().is_empty() {
        return Err(vec![whole.error("the expression is empty", None)]);
    }
    if text.len() > MAX_TEXT {
        let what = format!("the expression is longer than {MAX_TEXT} bytes");
        return Err(vec![Span { start: MAX_TEXT as u32, ..whole }.error(what, None)]);
    }
    let owned = text.to_owned();
    let parsed = task::thread_with_stack("cel-parser", PARSER_STACK, move || {
        let parsed = ENV.parser().parse_with_source_info(&owned);
        let (tree, info) = parsed
            .map_err(|errors| errors.errors.iter().map(|error| told(&owned, error)).collect::<Vec<_>>())?;
        // What is too deep must not leave this thread: even dropping it recurses.
        let mut bounds = Bounds { parts: 0, fault: None };
        bounds.walk(&tree, 1, 0);
        if let Some((id, what)) = bounds.fault {
            return Err(vec![token(&owned, &info, id).error(what, None)]);
        }
        Ok((tree, info))
    });
    let parsed =
        parsed.map_err(|error| vec![whole.error(format!("no thread to parse it: {error}"), None)])?;
    let (tree, info) = parsed
        .join()
        .unwrap_or_else(|_| Err(vec![whole.error("the expression cannot be parsed", None)]))
        .map_err(first)?;
    Ok(Parsed { text, tree, info })
}

/// What follows the first fault is mostly noise of the parser's recovery.
fn first(mut errors: Vec<CompileError>) -> Vec<CompileError> {
    errors.truncate(1);
    errors
}

fn told(text: &str, error: &ParseError) -> CompileError {
    let line_start = match error.pos.0 {
        ..=1 => 0,
        line => text.match_indices('\n').nth(line as usize - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let column = usize::try_from(error.pos.1 - 1).unwrap_or(0);
    let rest = &text[line_start..];
    let offset = line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    let len = text[offset..].chars().next().map_or(0, char::len_utf8);
    let (what, mend) = plain(text, offset, &error.msg);
    CompileError { offset, len, what, mend }
}

/// The parser's message without its lists of tokens.
fn plain(text: &str, offset: usize, message: &str) -> (String, Option<String>) {
    if message.contains("Recursion limit") || message.contains("recovery attempt limit") {
        return ("the expression is nested too deep".into(), None);
    }
    let rest = &text[offset.min(text.len())..];
    if rest.trim().is_empty() {
        return ("the expression ends too early".into(), None);
    }
    if let Some(message) = message.strip_prefix("Syntax error: ") {
        let mend = match rest.as_bytes() {
            [b'=', next, ..] if *next != b'=' => Some("equality is `==`".to_owned()),
            [b'&', ..] if !rest.starts_with("&&") => Some("and is `&&`".to_owned()),
            [b'|', ..] if !rest.starts_with("||") => Some("or is `||`".to_owned()),
            [b'\'' | b'"', ..] if message.contains("token recognition") => {
                Some("a text ends with the quote it began with, and `\\` needs a letter it knows".to_owned())
            }
            _ => ["and", "or", "not"].iter().zip(["&&", "||", "!"]).find_map(|(word, sign)| {
                let follows = rest.strip_prefix(word)?;
                (!follows.starts_with(|letter: char| letter.is_alphanumeric()))
                    .then(|| format!("write `{sign}`"))
            }),
        };
        let word: String = rest.chars().take_while(|letter| !letter.is_whitespace()).take(20).collect();
        return (format!("`{word}` is not expected here"), mend);
    }
    match message {
        "invalid argument to has() macro" => (
            message.replace("macro", "").trim_end().to_owned(),
            Some("ask for a member: `has(identity.id)`".into()),
        ),
        _ => (message.to_owned(), None),
    }
}

/// Every part of an expression, one level down.
pub(super) fn parts(tree: &IdedExpr) -> Vec<&IdedExpr> {
    match &tree.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(loop_) => {
            vec![&loop_.iter_range, &loop_.accu_init, &loop_.loop_cond, &loop_.loop_step, &loop_.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(object) => object.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// The first part, in the order of the text, that is more than an expression may have.
struct Bounds {
    parts: usize,
    fault: Option<(u64, String)>,
}

impl Bounds {
    fn walk(&mut self, part: &IdedExpr, depth: usize, loops: usize) {
        self.parts += 1;
        let inner = loops + usize::from(matches!(part.expr, Expr::Comprehension(_)));
        if self.fault.is_some() {
            return;
        }
        let what = if depth > MAX_DEPTH {
            format!("the expression is nested deeper than {MAX_DEPTH}")
        } else if self.parts > MAX_PARTS {
            format!("the expression has more than {MAX_PARTS} parts")
        } else if inner > MAX_LOOPS {
            format!("loops are nested deeper than {MAX_LOOPS}")
        } else {
            if let Expr::Comprehension(loop_) = &part.expr {
                // The range is evaluated once.
                self.walk(&loop_.iter_range, depth + 1, loops);
                for part in [&loop_.accu_init, &loop_.loop_cond, &loop_.loop_step, &loop_.result] {
                    self.walk(part, depth + 1, inner);
                }
            } else {
                parts(part).into_iter().for_each(|part| self.walk(part, depth + 1, loops));
            }
            return;
        };
        self.fault = Some((part.id, what));
    }
}

/// Where the token of a part stands.
fn token(text: &str, info: &SourceInfo, id: u64) -> Span {
    let (start, stop) = info.offset_for(id).unwrap_or_default();
    let end = (stop as usize + 1).min(text.len());
    Span { start: start.min(end as u32), end: end as u32 }
}

impl Parsed<'_> {
    /// Where the part's own token stands: an operator, a name, a bracket.
    pub(super) fn token(&self, part: &IdedExpr) -> Span {
        token(self.text, &self.info, part.id)
    }

    /// Where a part of a literal text stands; the whole literal where it is written with escapes.
    pub(super) fn inside(&self, literal: &IdedExpr, range: std::ops::Range<usize>) -> Span {
        let token = self.token(literal);
        let text = literal_text(literal).unwrap_or_default();
        match token.of(self.text).find(text) {
            Some(at) if range.end <= text.len() => {
                let start = token.start + at as u32;
                Span { start: start + range.start as u32, end: start + range.end as u32 }
            }
            _ => token,
        }
    }

    /// Where a call's name stands; its token is the bracket after it.
    pub(super) fn name(&self, call: &IdedExpr, name: &str) -> Span {
        let token = self.token(call);
        let before = self.text.get(..token.start as usize).unwrap_or_default().trim_end();
        match before.ends_with(name) {
            true => Span { start: (before.len() - name.len()) as u32, end: before.len() as u32 },
            false => token,
        }
    }

    /// From the first to the last byte of a member path.
    pub(super) fn path(&self, part: &IdedExpr) -> Span {
        let mut root = part;
        loop {
            root = match &root.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(call) if call.func_name == operators::INDEX => &call.args[0],
                _ => break,
            };
        }
        Span { start: self.token(root).start, end: self.path_end(part) as u32 }
    }

    fn path_end(&self, part: &IdedExpr) -> usize {
        let after = |from: usize, sign: char| {
            let rest = self.text.get(from..).unwrap_or_default();
            from + rest.find(sign).map_or(0, |at| at + 1)
        };
        let end = match &part.expr {
            Expr::Select(select) => {
                let dot = after(self.path_end(&select.operand), '.');
                let rest = self.text.get(dot..).unwrap_or_default();
                dot + (rest.len() - rest.trim_start().len()) + select.field.len()
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                after(self.token(&call.args[1]).end as usize, ']')
            }
            _ => self.token(part).end as usize,
        };
        end.min(self.text.len())
    }
}

/// The literal text of a part, if it is one.
pub(super) fn literal_text(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
