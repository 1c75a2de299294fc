//! Texts with values in braces: `/{userId}`, `https://{request.host}/x?from={request.path}`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::exchange::headers::valid_value;

use super::compiled::Expression;
use super::encode::{self, HOLE, PATH_HOLE, Spot, spots};
use super::error::{CompileError, EvalError, Span};
use super::functions::did_you_mean;
use super::ground::Ground;
use super::origin::Origin;
use super::scope::{Reference, Scope};

/// What a template makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A path with an optional query, or a whole URL: values are percent-encoded for where they stand in it, so that
    /// none adds a segment, a query, a fragment or a host.
    PathOrUrl,
    /// Text: values stand as they are.
    Text,
    /// A header's value: as text, but control bytes are an error.
    Header,
}

/// A piece of a template's text.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The text.
    pub text: &'a str,
    /// Taken as it is, braces and all: what an environment reference expanded to.
    pub literal: bool,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Hole(Expression, Spot),
}

/// A template, compiled and checked at load.
#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    place: Place,
    /// Whether it names a host itself, so that it may begin with `//`.
    absolute: bool,
}

impl Template {
    /// Compiles a template. `{name}` is the path parameter of that name, `{rest}` what `*` matched, anything else in
    /// braces a CEL expression; `{{` and `}}` are literal braces.
    ///
    /// # Errors
    /// Everything that is wrong with it; offsets are bytes of `text`.
    pub fn compile(text: &str, scope: &Scope, place: Place) -> Result<Template, Vec<CompileError>> {
        Template::compile_segments(&[Segment { text, literal: false }], scope, place)
    }

    /// As [`Template::compile`], for a text some pieces of which are literal.
    ///
    /// # Errors
    /// As [`Template::compile`]; offsets are bytes of all the pieces put together.
    pub fn compile_segments(
        segments: &[Segment<'_>],
        scope: &Scope,
        place: Place,
    ) -> Result<Template, Vec<CompileError>> {
        let mut reader = Reader { scope, pieces: Vec::new(), errors: Vec::new(), offset: 0 };
        for segment in segments {
            match segment.literal {
                true => reader.literal(segment.text),
                false => reader.read(segment.text),
            }
            reader.offset += segment.text.len();
        }
        let Reader { pieces, mut errors, offset, .. } = reader;
        let whole = Span { start: 0, end: offset as u32 };
        let control = |piece: &Piece| matches!(piece, Piece::Text(text) if !valid_value(text.as_bytes()));
        if place != Place::Text && pieces.iter().any(control) {
            errors.push(whole.error("control bytes cannot stand here", None));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut template = Template { pieces, place, absolute: false };
        if place == Place::PathOrUrl {
            template.find_spots(whole)?;
        }
        Ok(template)
    }

    fn find_spots(&mut self, whole: Span) -> Result<(), Vec<CompileError>> {
        let skeleton: String = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Hole(value, _) if value.is_path() => PATH_HOLE.to_string(),
                Piece::Hole(..) => HOLE.to_string(),
            })
            .collect();
        let (absolute, found) = spots(&skeleton);
        self.absolute = absolute;
        let mut found = found.into_iter();
        for at in 0..self.pieces.len() {
            // What follows a value in the host decides whose host it is.
            let inside = matches!(self.pieces.get(at + 1), Some(Piece::Text(text)) if text.starts_with('.'));
            let Piece::Hole(expression, spot) = &mut self.pieces[at] else { continue };
            *spot = found.next().unwrap_or(Spot::Query);
            let (what, mend) = match spot {
                Spot::Scheme if !expression.is_scheme() => {
                    ("only `{request.scheme}` can stand for the scheme", None)
                }
                Spot::Host if expression.is_path() => ("a path cannot stand in the host", None),
                Spot::Host if !inside && !expression.is_host() => {
                    ("a value cannot end the host", Some("let a literal `.domain` follow it".to_owned()))
                }
                _ => continue,
            };
            return Err(vec![whole.error(what, mend)]);
        }
        Ok(())
    }

    /// From where errors of its rendering are told to come; asked for only where something has to be read.
    pub(super) fn set_origin(&mut self, origin: impl FnOnce() -> Option<Arc<Origin>>) {
        if self.literal().is_some() {
            return;
        }
        let Some(origin) = origin() else { return };
        for piece in &mut self.pieces {
            if let Piece::Hole(expression, _) = piece {
                expression.set_origin(Arc::clone(&origin));
            }
        }
    }

    /// The text, where nothing has to be read.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression, where the template is one `{...}` and nothing else.
    pub fn single(&self) -> Option<&Expression> {
        match self.pieces.as_slice() {
            [Piece::Hole(expression, _)] => Some(expression),
            _ => None,
        }
    }

    /// What its expressions read.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.expressions().flat_map(Expression::references)
    }

    /// Whether it reads `identity`.
    pub fn needs_identity(&self) -> bool {
        self.expressions().any(Expression::needs_identity)
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(expression, _) => Some(expression),
            Piece::Text(_) => None,
        })
    }

    /// Fills the template.
    ///
    /// # Errors
    /// A value that cannot be read, is no text, or would change the shape of the place it goes to
    /// ([`EvalError::is_misplaced`]): an empty or dot segment, a host that is none, a control byte in a header.
    pub fn render<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<Cow<'a, str>, EvalError> {
        if let Some(text) = self.literal() {
            return Ok(Cow::Borrowed(text));
        }
        let ground = ground.into();
        match self.place {
            Place::PathOrUrl => self.render_target(ground).map(Cow::Owned),
            Place::Text | Place::Header => self.render_text(ground),
        }
    }

    fn render_text<'a>(&'a self, ground: Ground<'a>) -> Result<Cow<'a, str>, EvalError> {
        let value = |expression: &'a Expression| {
            let value = expression.text(ground)?;
            match self.place == Place::Header && !valid_value(value.as_bytes()) {
                true => Err(expression.misplaced("would put control bytes into a header")),
                false => Ok(value),
            }
        };
        if let Some(expression) = self.single() {
            return value(expression);
        }
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(expression, _) => out.push_str(&value(expression)?),
            }
        }
        Ok(Cow::Owned(out))
    }

    fn render_target(&self, ground: Ground<'_>) -> Result<String, EvalError> {
        let mut out = String::with_capacity(64);
        let mut values: smallvec::SmallVec<[(usize, &Expression); 4]> = smallvec::SmallVec::new();
        for piece in &self.pieces {
            let (expression, spot) = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Hole(expression, spot) => (expression, *spot),
            };
            let raw = expression.as_param().and_then(|position| ground.exchange.param_at(position));
            match (spot, raw) {
                (Spot::Scheme, _) => out.push_str(&expression.text(ground)?),
                (Spot::Host, _) => {
                    let host = expression.text(ground)?;
                    if !encode::is_host(&host) {
                        return Err(expression.misplaced("is no part of a host"));
                    }
                    out.push_str(&host);
                }
                (Spot::Root | Spot::Path, _) if expression.is_path() => {
                    encode::join_path(&expression.text(ground)?, spot == Spot::Root, &mut out);
                }
                (Spot::Query, _) if expression.is_path() => {
                    encode::recode(&expression.text(ground)?, &mut out);
                }
                (spot, raw) => {
                    if spot == Spot::Path {
                        values.push((out.len(), expression));
                    }
                    match raw {
                        Some(raw) => encode::recode(raw, &mut out),
                        None => encode::encode(expression.text(ground)?.as_bytes(), &mut out),
                    }
                }
            }
        }
        if let Some((_, expression)) = values.iter().find(|(at, _)| encode::is_broken_segment(&out, *at)) {
            return Err(expression.misplaced("would make an empty or a dot segment"));
        }
        if let Some(first) = self.expressions().next().filter(|_| !self.absolute && out.starts_with("//")) {
            return Err(first.misplaced("would make the target begin with `//`, which names a host"));
        }
        Ok(out)
    }
}

impl fmt::Display for Template {
    /// The template as it could be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Piece::Hole(expression, _) => write!(f, "{{{}}}", expression.source())?,
            }
        }
        Ok(())
    }
}

/// Reads the pieces of a template.
struct Reader<'s> {
    scope: &'s Scope,
    pieces: Vec<Piece>,
    errors: Vec<CompileError>,
    /// Where the segment at hand begins.
    offset: usize,
}

impl Reader<'_> {
    fn literal(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn error(&mut self, at: usize, len: usize, what: &str, mend: &str) {
        let (offset, mend) = (self.offset + at, Some(mend.to_owned()));
        self.errors.push(CompileError { offset, len, what: what.to_owned(), mend });
    }

    fn read(&mut self, text: &str) {
        let mut at = 0;
        while let Some(brace) = text[at..].find(['{', '}']).map(|found| at + found) {
            self.literal(&text[at..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                self.literal(&rest[..1]);
                at = brace + 2;
            } else if rest.starts_with('}') {
                self.error(brace, 1, "this brace was never opened", "a literal brace is `}}`");
                at = brace + 1;
            } else if let Some(end) = closing(&rest[1..]) {
                self.hole(&rest[1..1 + end], brace + 1);
                at = brace + 1 + end + 1;
            } else {
                self.error(brace, 1, "this brace is never closed", "a literal brace is `{{`");
                return;
            }
        }
        self.literal(&text[at..]);
    }

    fn hole(&mut self, text: &str, at: usize) {
        let name = text.trim();
        let is_name = !name.is_empty()
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some(position) = self.scope.params.iter().position(|param| param == name) {
            self.pieces
                .push(Piece::Hole(Expression::param(name, position).starting(self.offset + at), Spot::Path));
            return;
        }
        match Expression::compile(text, self.scope) {
            Ok(expression) => {
                self.pieces.push(Piece::Hole(expression.starting(self.offset + at), Spot::Path));
            }
            Err(errors) => {
                for mut error in errors {
                    error.offset += self.offset + at;
                    if is_name && error.mend.is_none() {
                        error.mend = did_you_mean(name, self.scope.params.iter().map(String::as_str));
                    }
                    self.errors.push(error);
                }
            }
        }
    }
}

/// Where the brace that ends an expression stands; braces inside it balance, those in its texts do not count.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (0, 0usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            b'{' => open += 1,
            b'\'' | b'"' => {
                let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
                at = text_end(bytes, at, raw)?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One past the closing quote of the CEL text that begins at `at`.
fn text_end(bytes: &[u8], at: usize, raw: bool) -> Option<usize> {
    let quote = bytes[at];
    let long = bytes[at..].starts_with(&[quote; 3]);
    let end: &[u8] = if long { &[quote; 3] } else { &[quote] };
    let mut at = at + end.len();
    while at < bytes.len() {
        if bytes[at..].starts_with(end) {
            return Some(at + end.len());
        }
        at += if bytes[at] == b'\\' && !raw { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests;
