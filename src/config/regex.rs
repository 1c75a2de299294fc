//! Regular expressions: one dialect, RE2's, for `matches` of CEL and for every key that takes an expression.
//!
//! The `regex` crate shares RE2's engine and most of its syntax, but reads `\d`, `\w`, `\s` and `\b` as Unicode classes
//! and knows constructs that RE2 reads otherwise or not at all. Here the classes are replaced by those of RE2, and what
//! the two read differently is refused, so that no expression means one thing here and another at an Envoy.

use std::ops::Range;

use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Flag};
use regex_syntax::ast::{ClassUnicodeKind, ErrorKind, FlagsItemKind, GroupKind, HexLiteralKind, LiteralKind};
use regex_syntax::ast::{RepetitionKind, RepetitionRange};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::text::Text;

/// The largest compiled regular expression, in bytes.
const COMPILED: usize = 1 << 20;

/// How often RE2 lets a part be repeated by number.
const REPEATED: u32 = 1000;

/// Why a text is no regular expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRegex {
    /// The faulty bytes of the text.
    pub at: Range<usize>,
    /// What is wrong, without a full stop.
    pub what: String,
    /// What to write instead, where that is known.
    pub help: Option<&'static str>,
}

impl BadRegex {
    fn new(at: &ast::Span, what: impl Into<String>, help: Option<&'static str>) -> BadRegex {
        BadRegex { at: at.start.offset..at.end.offset, what: what.into(), help }
    }

    /// Reports it at its place in a value of the configuration; what a reference brought in is not shown.
    pub(super) fn report(self, text: &Text, out: &Diagnostics) {
        if text.is_expanded() {
            let help = "look at what the reference holds";
            return out.add(Diagnostic::error(text.span(), "not a regular expression").help(help));
        }
        let diagnostic =
            Diagnostic::error(text.part(self.at), format!("not a regular expression: {}", self.what));
        out.add(diagnostic.help(self.help.unwrap_or("quote it singly, so that YAML keeps its `\\`")));
    }
}

/// Compiles an expression that is searched for in text.
///
/// # Errors
/// It is no expression of the dialect, or larger than 1 MiB when compiled.
pub fn regex(text: &str) -> Result<regex::Regex, BadRegex> {
    let translated = translated(text)?;
    regex::RegexBuilder::new(&translated).size_limit(COMPILED).build().map_err(|error| refused(text, &error))
}

/// As [`regex()`], for bytes, of which those that are no UTF-8 are matched by nothing.
///
/// # Errors
/// As [`regex()`].
pub fn bytes_regex(text: &str) -> Result<regex::bytes::Regex, BadRegex> {
    let translated = translated(text)?;
    let built = regex::bytes::RegexBuilder::new(&translated).size_limit(COMPILED).build();
    built.map_err(|error| refused(text, &error))
}

/// What only the compiler finds: the size, and names of classes.
fn refused(text: &str, error: &regex::Error) -> BadRegex {
    let what = match error {
        regex::Error::CompiledTooBig(_) => format!("it is larger than {} KiB when compiled", COMPILED >> 10),
        error => {
            // The last line of the library's message names the fault; those before draw it.
            let message = error.to_string();
            message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    };
    BadRegex { at: 0..text.len(), what, help: None }
}

/// The expression as the `regex` crate has to read it.
fn translated(text: &str) -> Result<String, BadRegex> {
    let tree = ast::parse::Parser::new().parse(text).map_err(|error| {
        let what = error.kind().to_string();
        let rest = text.get(error.span().start.offset..).unwrap_or_default();
        let help = match error.kind() {
            ErrorKind::UnsupportedLookAround | ErrorKind::UnsupportedBackreference => Some("RE2 has none"),
            _ if rest.starts_with("\\C") => Some("a single byte cannot be matched"),
            _ if rest.starts_with("\\Q") => Some("escape what is meant literally, letter by letter"),
            _ => None,
        };
        BadRegex::new(error.span(), what, help)
    })?;
    let replacements = ast::visit(&tree, Replacements(Vec::new()))?;
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for (at, replacement) in replacements {
        out.push_str(&text[done..at.start]);
        out.push_str(&replacement);
        done = at.end;
    }
    out.push_str(&text[done..]);
    Ok(out)
}

/// The parts that are written otherwise, in the order of the text.
struct Replacements(Vec<(Range<usize>, String)>);

impl Replacements {
    fn replace(&mut self, at: &ast::Span, by: impl Into<String>) {
        self.0.push((at.start.offset..at.end.offset, by.into()));
    }

    /// RE2's classes; with `(?i)` they are folded as every other class is.
    fn perl(&mut self, class: &ast::ClassPerl) {
        let inside = match class.kind {
            ClassPerlKind::Digit => "0-9",
            ClassPerlKind::Space => r"\t\n\f\r ",
            ClassPerlKind::Word => "0-9A-Za-z_",
        };
        let not = if class.negated { "^" } else { "" };
        self.replace(&class.span, format!("[{not}{inside}]"));
    }
}

impl ast::Visitor for Replacements {
    type Output = Vec<(Range<usize>, String)>;
    type Err = BadRegex;

    fn finish(self) -> Result<Self::Output, BadRegex> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, part: &Ast) -> Result<(), BadRegex> {
        match part {
            Ast::ClassPerl(class) => self.perl(class),
            Ast::ClassUnicode(class) => unicode(class)?,
            Ast::Literal(literal) => escape(literal)?,
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.replace(&assertion.span, r"(?-u:\b)"),
                AssertionKind::NotWordBoundary => self.replace(&assertion.span, r"(?-u:\B)"),
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                AssertionKind::WordBoundaryStartAngle | AssertionKind::WordBoundaryEndAngle => {
                    let help = "a literal `<` or `>` needs no `\\`, an edge of a word is `\\b`";
                    return Err(BadRegex::new(&assertion.span, "no escape of RE2's", Some(help)));
                }
                _ => return Err(BadRegex::new(&assertion.span, "no escape of RE2's", Some("write `\\b`"))),
            },
            Ast::Flags(set) => flags(&set.flags)?,
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(set) = &group.kind {
                    flags(set)?;
                }
            }
            Ast::Repetition(repetition) => repeated(repetition)?,
            Ast::Empty(_) | Ast::Dot(_) | Ast::ClassBracketed(_) | Ast::Alternation(_) | Ast::Concat(_) => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), BadRegex> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class),
            ClassSetItem::Unicode(class) => unicode(class)?,
            ClassSetItem::Literal(literal) => escape(literal)?,
            ClassSetItem::Range(range) => {
                escape(&range.start)?;
                escape(&range.end)?;
            }
            ClassSetItem::Bracketed(class) => {
                let help = "a literal bracket is written `\\[`";
                return Err(BadRegex::new(&class.span, "a class within a class", Some(help)));
            }
            ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) | ClassSetItem::Union(_) => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, operation: &ClassSetBinaryOp) -> Result<(), BadRegex> {
        let help = "literal `&`, `-` and `~` in a class are written `\\&`, `\\-` and `\\~`";
        Err(BadRegex::new(&operation.span, "classes cannot be combined", Some(help)))
    }
}

fn unicode(class: &ast::ClassUnicode) -> Result<(), BadRegex> {
    match class.kind {
        ClassUnicodeKind::NamedValue { .. } => {
            let help = "write the category or the script alone, as in `\\p{Greek}`";
            Err(BadRegex::new(&class.span, "properties have no values", Some(help)))
        }
        ClassUnicodeKind::OneLetter(_) | ClassUnicodeKind::Named(_) => Ok(()),
    }
}

fn escape(literal: &ast::Literal) -> Result<(), BadRegex> {
    match &literal.kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => Ok(()),
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => {
            Err(BadRegex::new(&literal.span, "no escape of RE2's", Some("write `\\x{...}`")))
        }
        _ => Ok(()),
    }
}

fn flags(set: &ast::Flags) -> Result<(), BadRegex> {
    for item in &set.items {
        if let FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace) = item.kind {
            let help = "the flags are `i`, `m`, `s` and `U`";
            return Err(BadRegex::new(&item.span, "no flag of RE2's", Some(help)));
        }
    }
    Ok(())
}

fn repeated(repetition: &ast::Repetition) -> Result<(), BadRegex> {
    if let Ast::Repetition(inner) = &*repetition.ast {
        let at = ast::Span::new(inner.op.span.start, repetition.op.span.end);
        let help = "put the first repetition into a group: `(?:a*)*`";
        return Err(BadRegex::new(&at, "a repetition of a repetition", Some(help)));
    }
    let most = match &repetition.op.kind {
        RepetitionKind::Range(RepetitionRange::Exactly(most) | RepetitionRange::AtLeast(most)) => *most,
        RepetitionKind::Range(RepetitionRange::Bounded(_, most)) => *most,
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 0,
    };
    if most > REPEATED {
        let what = format!("a repetition by more than {REPEATED}");
        return Err(BadRegex::new(&repetition.op.span, what, None));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
