//! Texts of the configuration as expressions and templates, with faults put at their place in the file.

use crate::config::{Diagnostic, Diagnostics, Json, Text};

use super::{CompileError, Expression, JsonPart, JsonTemplate, Place, Scope, Segment, Template};

/// Compiles a CEL text; `None` after its faults were reported.
pub fn expression(text: &Text, scope: &Scope, out: &Diagnostics) -> Option<Expression> {
    report(Expression::compile(text.as_str(), scope), text, out)
}

/// Compiles a template; what a reference brought in is no template syntax.
pub fn template(text: &Text, scope: &Scope, place: Place, out: &Diagnostics) -> Option<Template> {
    let whole = text.as_str();
    let mut segments = Vec::new();
    let mut at = 0;
    for range in text.literal_ranges() {
        segments.push(Segment { text: &whole[at..range.start], literal: false });
        segments.push(Segment { text: &whole[range.clone()], literal: true });
        at = range.end;
    }
    segments.push(Segment { text: &whole[at..], literal: false });
    report(Template::compile_segments(&segments, scope, place), text, out)
}

fn report<T>(compiled: Result<T, Vec<CompileError>>, text: &Text, out: &Diagnostics) -> Option<T> {
    match compiled {
        Ok(compiled) => Some(compiled),
        Err(faults) => {
            for fault in faults {
                let span = text.part(fault.offset..fault.offset + fault.len);
                let diagnostic = Diagnostic::error(span, fault.what);
                out.add(match fault.mend {
                    Some(mend) => diagnostic.help(mend),
                    None => diagnostic,
                });
            }
            None
        }
    }
}
