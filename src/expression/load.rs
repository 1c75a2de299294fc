//! Texts of the configuration as expressions and templates, with faults put at their place in the file.

use std::sync::Arc;

use crate::config::{Diagnostic, Diagnostics, Field, Json, Text, write_string};

use super::origin::Origin;
use super::{CompileError, Expression, JsonPart, JsonTemplate, Place, Scope, Segment, Template};

/// Compiles a CEL text; `None` after its faults were reported.
pub fn expression(text: &Text, scope: &Scope, out: &Diagnostics) -> Option<Expression> {
    let mut expression = report(Expression::compile(text.as_str(), scope), text, out)?;
    expression.set_origin(Arc::new(Origin::new(text, out.files())));
    Some(expression)
}

/// Compiles a map or list whose strings are templates.
pub fn json_template(json: &Json, scope: &Scope, field: Field<'_>) -> Option<JsonTemplate> {
    let mut pieces = Vec::new();
    let mut raw = String::new();
    flatten(json, &mut raw, &mut pieces);
    pieces.push(Piece::Raw(raw));
    let segments: Vec<Vec<Segment<'_>>> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Raw(_) => Vec::new(),
            Piece::Text(text) => segments(text),
        })
        .collect();
    let parts: Vec<JsonPart<'_>> = pieces
        .iter()
        .zip(&segments)
        .map(|(piece, segments)| match piece {
            Piece::Raw(raw) => JsonPart::Raw(raw),
            Piece::Text(_) => JsonPart::Text(segments),
        })
        .collect();
    match JsonTemplate::from_parts(&parts, scope) {
        Ok(mut template) => {
            template.set_origins(|part| match pieces.get(part)? {
                Piece::Raw(_) => None,
                Piece::Text(text) => Some(Arc::new(Origin::new(text, field.out().files()))),
            });
            Some(template)
        }
        Err(faults) => {
            for fault in faults {
                tell(fault, &pieces, field);
            }
            None
        }
    }
}

enum Piece<'a> {
    Raw(String),
    Text(&'a Text),
}

/// Reports a fault in the string that it is in; offsets count over all pieces.
fn tell(mut fault: CompileError, pieces: &[Piece<'_>], field: Field<'_>) {
    for piece in pieces {
        let length = match piece {
            Piece::Raw(raw) => raw.len(),
            Piece::Text(text) => text.as_str().len(),
        };
        match piece {
            Piece::Text(text) if fault.offset + fault.len <= length => {
                return add(fault, text, field.out());
            }
            _ => fault.offset = fault.offset.saturating_sub(length),
        }
    }
}

/// Cuts JSON into what stays as it is and strings that are templates.
fn flatten<'a>(json: &'a Json, raw: &mut String, pieces: &mut Vec<Piece<'a>>) {
    match json {
        Json::Text(text) => {
            pieces.push(Piece::Raw(std::mem::take(raw)));
            pieces.push(Piece::Text(text));
        }
        Json::List(items) => {
            raw.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    raw.push(',');
                }
                flatten(item, raw, pieces);
            }
            raw.push(']');
        }
        Json::Map(members) => {
            raw.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    raw.push(',');
                }
                write_string(name, raw);
                raw.push(':');
                flatten(value, raw, pieces);
            }
            raw.push('}');
        }
        plain => plain.write(raw),
    }
}

/// Compiles a template; what a reference brought in is no template syntax.
pub fn template(text: &Text, scope: &Scope, place: Place, out: &Diagnostics) -> Option<Template> {
    let mut template = report(Template::compile_segments(&segments(text), scope, place), text, out)?;
    template.set_origin(|| Some(Arc::new(Origin::new(text, out.files()))));
    Some(template)
}

/// What a reference brought in is literal, the rest is template text.
fn segments(text: &Text) -> Vec<Segment<'_>> {
    let whole = text.as_str();
    let mut segments = Vec::new();
    let mut at = 0;
    for range in text.literal_ranges() {
        segments.push(Segment { text: &whole[at..range.start], literal: false });
        segments.push(Segment { text: &whole[range.clone()], literal: true });
        at = range.end;
    }
    segments.push(Segment { text: &whole[at..], literal: false });
    segments
}

fn report<T>(compiled: Result<T, Vec<CompileError>>, text: &Text, out: &Diagnostics) -> Option<T> {
    match compiled {
        Ok(compiled) => Some(compiled),
        Err(faults) => {
            for fault in faults {
                add(fault, text, out);
            }
            None
        }
    }
}

fn add(fault: CompileError, text: &Text, out: &Diagnostics) {
    let span = text.part(fault.offset..fault.offset + fault.len);
    let diagnostic = Diagnostic::error(span, fault.what);
    out.add(match fault.mend {
        Some(mend) => diagnostic.help(mend),
        None => diagnostic,
    });
}
