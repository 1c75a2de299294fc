//! JSON whose strings are templates.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::error::{CompileError, EvalError, Span};
use super::ground::Ground;
use super::origin::Origin;
use super::scope::{Reference, Scope};
use super::template::{Place, Segment, Template};

/// A piece of a JSON text.
#[derive(Clone, Copy, Debug)]
pub enum JsonPart<'a> {
    /// JSON text that stays as it is, byte for byte.
    Raw(&'a str),
    /// A string (without quotes and escapes) that is a template.
    Text(&'a [Segment<'a>]),
}

/// JSON whose strings are templates; everything else stays byte for byte. A string that is one `{...}` keeps the
/// type of its value.
#[derive(Debug)]
pub struct JsonTemplate {
    pieces: Vec<Piece>,
    /// Of which part each template among the pieces was made, in their order.
    parts: Vec<usize>,
}

#[derive(Debug)]
enum Piece {
    Raw(String),
    Text(Template),
}

impl JsonTemplate {
    /// Compiles a JSON text; member names are no templates.
    ///
    /// # Errors
    /// It is no JSON, or one of its strings is no template; offsets in strings are exact where they hold no escapes.
    pub fn compile(json: &str, scope: &Scope) -> Result<JsonTemplate, Vec<CompileError>> {
        let whole = Span { start: 0, end: json.len() as u32 };
        if let Err(error) = serde_json::from_str::<IgnoredAny>(json) {
            return Err(vec![whole.error(format!("this is no JSON: {error}"), None)]);
        }
        let mut made = JsonTemplate { pieces: Vec::new(), parts: Vec::new() };
        let (mut errors, mut done, mut at) = (Vec::new(), 0, 0);
        while let Some(start) = json[at..].find('"').map(|found| at + found) {
            let end = string_end(json.as_bytes(), start);
            at = end;
            if json[end..].trim_start().starts_with(':') {
                continue;
            }
            let text: String = serde_json::from_str(&json[start..end]).unwrap_or_default();
            if !text.contains(['{', '}']) {
                continue;
            }
            made.raw(&json[done..start]);
            done = end;
            made.text(&[Segment { text: &text, literal: false }], scope, start + 1, &mut errors);
        }
        made.raw(&json[done..]);
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }

    /// As [`JsonTemplate::compile`], from pieces that somebody else has told apart.
    ///
    /// # Errors
    /// As [`Template::compile_segments`]; offsets are bytes of all the pieces put together.
    pub fn from_parts(parts: &[JsonPart<'_>], scope: &Scope) -> Result<JsonTemplate, Vec<CompileError>> {
        let mut made = JsonTemplate { pieces: Vec::new(), parts: Vec::new() };
        let (mut errors, mut offset) = (Vec::new(), 0);
        for (at, part) in parts.iter().enumerate() {
            match part {
                JsonPart::Raw(text) => {
                    made.raw(text);
                    offset += text.len();
                }
                JsonPart::Text(segments) => {
                    made.text(segments, scope, offset, &mut errors);
                    made.parts.resize(made.templates().count(), at);
                    offset += segments.iter().map(|segment| segment.text.len()).sum::<usize>();
                }
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }

    /// From where errors of its rendering are told to come, part by part of what it was made of.
    pub(super) fn set_origins(&mut self, origin: impl Fn(usize) -> Option<Arc<Origin>>) {
        let templates = self.pieces.iter_mut().filter_map(|piece| match piece {
            Piece::Text(template) => Some(template),
            Piece::Raw(_) => None,
        });
        for (template, part) in templates.zip(&self.parts) {
            template.set_origin(|| origin(*part));
        }
    }

    fn raw(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Raw(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Raw(text.to_owned())),
        }
    }

    fn text(
        &mut self,
        segments: &[Segment<'_>],
        scope: &Scope,
        offset: usize,
        errors: &mut Vec<CompileError>,
    ) {
        match Template::compile_segments(segments, scope, Place::Text) {
            Ok(template) => match template.literal() {
                Some(text) => self.raw(&quoted(text)),
                None => self.pieces.push(Piece::Text(template)),
            },
            Err(found) => errors.extend(found.into_iter().map(|mut error| {
                error.offset += offset;
                error
            })),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(template) => Some(template),
            Piece::Raw(_) => None,
        })
    }

    /// The JSON text, where nothing has to be read.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Raw(text)] => Some(text),
            _ => None,
        }
    }

    /// What its expressions read.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.templates().flat_map(Template::references)
    }

    /// Whether it reads `identity`.
    pub fn needs_identity(&self) -> bool {
        self.templates().any(Template::needs_identity)
    }

    /// Fills the template.
    ///
    /// # Errors
    /// A value that cannot be read, or that JSON or a text cannot say.
    pub fn render<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<String, EvalError> {
        let ground = ground.into();
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Raw(text) => out.push_str(text),
                Piece::Text(template) => match template.single().map(|value| value.json_text(ground)) {
                    Some(value) => out.push_str(&value?),
                    None => out.push_str(&quoted(&template.render(ground)?)),
                },
            }
        }
        Ok(out)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One past the closing quote of the string that begins at `start`; the text is known to be JSON.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests;
