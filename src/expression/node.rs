//! The tree of simple shapes that is evaluated in place, with CEL's meaning: `&&` and `||` give their result from
//! either side, even where the other fails.

use regex::Regex;

use super::error::{Fault, Span, Why};
use super::facts::Facts;
use super::path::{Part, Path, Read};
use super::value::Val;

/// A literal.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
}

impl Literal {
    fn val(&self) -> Val<'_> {
        match self {
            Literal::Null => Val::Null,
            Literal::Bool(truth) => Val::Bool(*truth),
            Literal::Int(int) => Val::Int(*int),
            Literal::Uint(uint) => Val::Uint(*uint),
            Literal::Double(double) => Val::Double(*double),
            Literal::Text(text) => Val::Text((&**text).into()),
        }
    }
}

/// What is asked of two texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

/// An expression of a simple shape.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Literal),
    Read(Path),
    /// `has(path)`
    Has(Path),
    /// A text in a list or a map that a path reads.
    In(Box<Node>, Path),
    /// A value in a list of literals.
    OneOf(Box<Node>, Vec<Literal>),
    /// Equal, or not equal where the flag is false.
    Equal(Box<Node>, Box<Node>, bool),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Text(TextTest, Box<Node>, Box<Node>),
    Matches(Box<Node>, Regex),
}

impl Node {
    /// Whether the value, where there is one, is always a text.
    pub(super) fn is_text(&self) -> bool {
        match self {
            Node::Literal(literal) => matches!(literal, Literal::Text(_)),
            Node::Read(path) => path.read.is_text(),
            _ => false,
        }
    }

    /// Whether the value is never a list or a map.
    pub(super) fn is_scalar(&self) -> bool {
        match self {
            Node::Read(path) => path.read.is_text() || matches!(path.read, Read::Answer(_, Part::Status)),
            _ => true,
        }
    }

    /// Whether [`Val::equals`] may judge the value: scalars and claims.
    pub(super) fn is_comparable(&self) -> bool {
        match self {
            Node::Read(path) => !path.read.is_map() && !matches!(path.read, Read::Scopes),
            _ => true,
        }
    }

    /// Evaluates.
    pub(super) fn eval<'a>(&'a self, facts: &Facts<'a>) -> Result<Val<'a>, Fault> {
        Ok(match self {
            Node::Literal(literal) => literal.val(),
            Node::Read(path) => path.read.get(facts).map_err(|why| Fault { at: path.at, why })?,
            _ => Val::Bool(self.holds(facts)?),
        })
    }

    /// Evaluates a condition.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, Fault> {
        match self {
            Node::Literal(_) | Node::Read(_) => match self.eval(facts)? {
                Val::Bool(truth) => Ok(truth),
                _ => Err(Fault { at: self.at(), why: Why::NotBool }),
            },
            Node::Has(path) => path.read.has(facts).map_err(|why| Fault { at: path.at, why }),
            Node::In(item, path) => {
                let item = item.text(facts)?;
                path.read.contains(&item, facts).map_err(|why| Fault { at: path.at, why })
            }
            Node::OneOf(item, literals) => {
                let item = item.eval(facts)?;
                Ok(literals.iter().any(|literal| literal.val().equals(&item)))
            }
            Node::Equal(a, b, equal) => {
                // Nothing on the left hides a fault on the right.
                let a = a.eval(facts)?;
                Ok(a.equals(&b.eval(facts)?) == *equal)
            }
            Node::And(a, b) => Node::both(a, b, facts, false),
            Node::Or(a, b) => Node::both(a, b, facts, true),
            Node::Not(a) => a.holds(facts).map(|truth| !truth),
            Node::Text(test, a, b) => {
                let (a, b) = (a.text(facts)?, b.text(facts)?);
                Ok(match test {
                    TextTest::Contains => a.contains(&*b),
                    TextTest::StartsWith => a.starts_with(&*b),
                    TextTest::EndsWith => a.ends_with(&*b),
                })
            }
            Node::Matches(a, pattern) => Ok(pattern.is_match(&a.text(facts)?)),
        }
    }

    fn both(a: &Node, b: &Node, facts: &Facts<'_>, decides: bool) -> Result<bool, Fault> {
        let a = a.holds(facts);
        if a == Ok(decides) {
            return a;
        }
        match b.holds(facts) {
            Ok(b) if b == decides => Ok(b),
            Ok(_) => a,
            // As the interpreter, which tells the right fault; which one is told changes no verdict.
            Err(fault) => Err(fault),
        }
    }

    fn text<'a>(&'a self, facts: &Facts<'a>) -> Result<std::borrow::Cow<'a, str>, Fault> {
        match self.eval(facts)? {
            Val::Text(text) => Ok(text),
            _ => Err(Fault { at: self.at(), why: Why::NotText }),
        }
    }

    /// The place of the leftmost path, for messages.
    fn at(&self) -> Span {
        match self {
            Node::Literal(_) => Span::default(),
            Node::Read(path) | Node::Has(path) => path.at,
            Node::In(a, _)
            | Node::OneOf(a, _)
            | Node::Equal(a, _, _)
            | Node::And(a, _)
            | Node::Or(a, _)
            | Node::Not(a)
            | Node::Text(_, a, _)
            | Node::Matches(a, _) => a.at(),
        }
    }

    /// Whether a path below needs the names of listener, route and parameters.
    pub(super) fn names(&self) -> bool {
        match self {
            Node::Literal(_) => false,
            Node::Read(path) | Node::Has(path) => path.read.names(),
            Node::In(a, path) => a.names() || path.read.names(),
            Node::OneOf(a, _) | Node::Not(a) | Node::Matches(a, _) => a.names(),
            Node::Equal(a, b, _) | Node::And(a, b) | Node::Or(a, b) | Node::Text(_, a, b) => {
                a.names() || b.names()
            }
        }
    }
}
