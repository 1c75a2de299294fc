//! A compiled expression.

use std::borrow::Cow;
use std::sync::Arc;

use crate::exchange::JsonValue as Json;

use super::check::check;
use super::error::{CompileError, EvalError, Fault, Span, Why};
use super::facts::Facts;
use super::ground::Ground;
use super::interpret::Mixed;
use super::lower::Lower;
use super::node::Node;
use super::origin::Origin;
use super::parse::parse;
use super::path::{Path, Read};
use super::scope::{Reference, Scope};
use super::value::Val;

/// A CEL expression, compiled and checked at load.
///
/// Headers are a map from names in lower case to values, several lines joined with `, ` (cookies with `; `). Query
/// values are decoded as a form is (`+` is a space) and, as cookies, which stay as they are, the first of a name
/// counts. Path parameters are percent-decoded once, `rest` and `request.path` are the normalised path as it is.
/// `has(identity.x)` is false where nobody is known; else what is absent is an error when read.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    code: Code,
    references: Vec<Reference>,
    /// Whether the names of listener, route or parameters are read.
    names: bool,
    /// The value it is in, and with which byte of that it begins.
    origin: Option<Arc<Origin>>,
    start: usize,
}

#[derive(Debug)]
enum Code {
    Native(Node),
    Mixed(Box<Mixed>),
}

impl Expression {
    /// Compiles a text against the names that are known where it stands.
    ///
    /// # Errors
    /// Everything that is wrong with it: what cannot be parsed (the first fault), unknown names, members and
    /// functions, wrong numbers of arguments, bad patterns, texts over 8 KiB, more than 2000 parts, nesting deeper than 64
    /// (3 of loops).
    pub fn compile(text: &str, scope: &Scope) -> Result<Expression, Vec<CompileError>> {
        let parsed = parse(text)?;
        let findings = check(&parsed, scope);
        if !findings.errors.is_empty() {
            return Err(findings.errors);
        }
        let lower = Lower { parsed: &parsed, scope };
        let (code, names) = match lower.node(&parsed.tree) {
            Some(node) => {
                let names = node.names();
                (Code::Native(node), names)
            }
            None => {
                let (mut tree, mut slots) = (parsed.tree.clone(), Vec::new());
                lower.extract(&mut tree, &mut slots);
                let names = slots.iter().any(Node::names);
                (Code::Mixed(Box::new(Mixed::new(tree, slots, &parsed))), names)
            }
        };
        let (references, origin) = (findings.references, None);
        Ok(Expression { text: text.into(), code, references, names, origin, start: 0 })
    }

    /// The expression `params.NAME`, as a template's `{NAME}` means it.
    pub(super) fn param(name: &str, position: usize) -> Expression {
        let at = Span { start: 0, end: name.len() as u32 };
        Expression {
            text: name.into(),
            code: Code::Native(Node::Read(Path { read: Read::Param(position), at })),
            references: vec![Reference::Param(Some(name.to_owned()))],
            names: false,
            origin: None,
            start: 0,
        }
    }

    /// The same as a part of a longer text, which it begins in at this byte.
    pub(super) fn starting(mut self, start: usize) -> Expression {
        self.start = start;
        self
    }

    /// From where errors of its evaluation are told to come.
    pub(super) fn set_origin(&mut self, origin: Arc<Origin>) {
        self.origin = Some(origin);
    }

    /// Where it begins, as `FILE:LINE:COLUMN`; empty where it is not of a file.
    pub fn place(&self) -> String {
        self.origin.as_ref().map_or_else(String::new, |origin| origin.at(self.start))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// What it reads, each once, in the order it is written.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Whether it reads `identity`.
    pub fn needs_identity(&self) -> bool {
        self.references.iter().any(|reference| matches!(reference, Reference::Identity(_)))
    }

    /// Whether it is evaluated without the interpreter.
    pub fn is_native(&self) -> bool {
        matches!(self.code, Code::Native(_))
    }

    /// Whether it is `client.ip` and nothing else: a caller may then take the address itself, not its text.
    pub fn is_client_ip(&self) -> bool {
        matches!(self.read(), Some(Read::ClientIp))
    }

    fn fault(&self, why: Why) -> EvalError {
        self.explain(Fault { at: Span { start: 0, end: self.text.len() as u32 }, why })
    }

    fn explain(&self, fault: Fault) -> EvalError {
        self.placed(fault.explain(&self.text))
    }

    fn placed(&self, error: EvalError) -> EvalError {
        match &self.origin {
            Some(origin) => error.placed(|byte| origin.at(self.start + byte)),
            None => error,
        }
    }

    fn eval<'a>(&'a self, ground: Ground<'a>) -> Result<Val<'a>, EvalError> {
        let facts = Facts::of(ground, self.names);
        match &self.code {
            Code::Native(node) => node.eval(&facts).map_err(|fault| self.explain(fault)),
            Code::Mixed(mixed) => mixed.eval(&facts, &self.text).map_err(|error| self.placed(error)),
        }
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    /// Something that was read is absent or has the wrong type, or the result is neither true nor false.
    pub fn bool<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<bool, EvalError> {
        let ground = ground.into();
        match &self.code {
            Code::Native(node) => {
                node.holds(&Facts::of(ground, self.names)).map_err(|fault| self.explain(fault))
            }
            Code::Mixed(_) => match self.eval(ground)? {
                Val::Bool(truth) => Ok(truth),
                _ => Err(self.fault(Why::NotBool)),
            },
        }
    }

    /// Whether a condition holds; one that cannot be evaluated does not, and nobody is told why.
    pub fn holds<'a>(&'a self, ground: impl Into<Ground<'a>>) -> bool {
        let ground = ground.into();
        match &self.code {
            Code::Native(node) => node.holds(&Facts::of(ground, self.names)).unwrap_or(false),
            Code::Mixed(_) => self.bool(ground).unwrap_or(false),
        }
    }

    /// Evaluates to text: a text as it is, a number of JSON in the digits it came in, what was calculated as CEL's
    /// `string()` writes it.
    ///
    /// # Errors
    /// As [`Expression::bool`]; null counts as absent, a list or a map is no text.
    pub fn text<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<Cow<'a, str>, EvalError> {
        self.eval(ground.into())?.into_text().map_err(|why| self.fault(why))
    }

    /// Evaluates to a number, as the nearest double: NaN and the infinities among them. `None` for what is no number.
    ///
    /// # Errors
    /// As [`Expression::bool`].
    pub fn number<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<Option<f64>, EvalError> {
        Ok(self.eval(ground.into())?.as_double())
    }

    /// Evaluates to a JSON value; bytes are base64.
    ///
    /// # Errors
    /// As [`Expression::bool`]; a number that JSON does not know (NaN, infinity) is an error.
    pub fn value<'a>(&'a self, ground: impl Into<Ground<'a>>) -> Result<Json, EvalError> {
        self.eval(ground.into())?.into_json().map_err(|why| self.fault(why))
    }

    /// Evaluates to JSON text: what a service has written stays as it is.
    ///
    /// # Errors
    /// As [`Expression::value`].
    pub(super) fn json_text<'a>(&'a self, ground: Ground<'a>) -> Result<Cow<'a, str>, EvalError> {
        match self.raw(ground) {
            Some(raw) => raw.map(Cow::Borrowed).map_err(|why| self.fault(why)),
            None => self.value(ground).map(|value| Cow::Owned(value.to_string())),
        }
    }

    /// What is read of a service's body, where the expression does that and nothing else.
    fn raw<'a>(&self, ground: Ground<'a>) -> Option<Result<&'a str, Why>> {
        let read = self.read().filter(|read| matches!(read, Read::Answer(..)))?;
        read.raw(&Facts::of(ground, false))
    }

    /// The path, where the expression is one and nothing else.
    fn read(&self) -> Option<&Read> {
        match &self.code {
            Code::Native(Node::Read(Path { read, .. })) => Some(read),
            _ => None,
        }
    }

    /// The parameter's position, where the expression reads one path parameter and nothing else.
    pub(super) fn as_param(&self) -> Option<usize> {
        match self.read()? {
            Read::Param(position) => Some(*position),
            _ => None,
        }
    }

    /// Whether it is `rest`, or `request.path`: normalised, so that slashes and escapes stay in a path.
    pub(super) fn is_path(&self) -> bool {
        matches!(self.read(), Some(Read::Rest | Read::Path))
    }

    /// Whether it is `request.scheme`.
    pub(super) fn is_scheme(&self) -> bool {
        matches!(self.read(), Some(Read::Scheme))
    }

    /// Whether it is `request.host`.
    pub(super) fn is_host(&self) -> bool {
        matches!(self.read(), Some(Read::Host))
    }

    /// A reason of the caller's why its value cannot be used.
    pub(super) fn misplaced(&self, why: &'static str) -> EvalError {
        self.fault(Why::Misplaced(why))
    }
}

#[cfg(test)]
mod tests;
