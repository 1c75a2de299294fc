//! Cuts the simple shapes out of a checked expression and turns them into nodes that are evaluated in place.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};

use super::check::as_path;
use super::node::{Literal, Node, TextTest};
use super::parse::{Parsed, literal_text};
use super::path::Path;
use super::resolve::resolve;
use super::scope::Scope;

/// Lowers parts of one expression, which must have passed the check.
pub(super) struct Lower<'c> {
    pub(super) parsed: &'c Parsed<'c>,
    pub(super) scope: &'c Scope,
}

impl Lower<'_> {
    /// The node for a part, if it has a simple shape.
    pub(super) fn node(&self, part: &IdedExpr) -> Option<Node> {
        if let Some(path) = self.path(part) {
            let has = matches!(&part.expr, Expr::Select(select) if select.test);
            return Some(if has { Node::Has(path) } else { Node::Read(path) });
        }
        match &part.expr {
            Expr::Literal(_) => literal(part).map(Node::Literal),
            Expr::Call(call) => self.call(call),
            _ => None,
        }
    }

    fn path(&self, part: &IdedExpr) -> Option<Path> {
        let (root, keys) = as_path(part)?;
        let (read, _) = resolve(root, &keys, self.scope).ok()?;
        Some(Path { read, at: self.parsed.path(part) })
    }

    fn call(&self, call: &CallExpr) -> Option<Node> {
        let name = call.func_name.as_str();
        let two = || {
            let [a, b] = call.args.as_slice() else { return None };
            Some((Box::new(self.node(a)?), Box::new(self.node(b)?)))
        };
        match name {
            operators::LOGICAL_AND => two().map(|(a, b)| Node::And(a, b)),
            operators::LOGICAL_OR => two().map(|(a, b)| Node::Or(a, b)),
            operators::LOGICAL_NOT => self.node(call.args.first()?).map(|a| Node::Not(Box::new(a))),
            operators::EQUALS | operators::NOT_EQUALS => {
                let (a, b) = two().filter(|(a, b)| a.is_comparable() && b.is_comparable())?;
                Some(Node::Equal(a, b, name == operators::EQUALS))
            }
            operators::IN => self.contained(call),
            "matches" => {
                let (target, pattern) = match (&call.target, call.args.as_slice()) {
                    (Some(target), [pattern]) => (&**target, pattern),
                    (None, [target, pattern]) => (target, pattern),
                    _ => return None,
                };
                let pattern = crate::config::regex(literal_text(pattern)?).ok()?;
                Some(Node::Matches(Box::new(self.node(target)?), pattern))
            }
            "contains" | "startsWith" | "endsWith" => {
                let test = match name {
                    "contains" => TextTest::Contains,
                    "startsWith" => TextTest::StartsWith,
                    _ => TextTest::EndsWith,
                };
                let a = self.node(call.target.as_deref()?)?;
                let b = self.node(call.args.first()?)?;
                Some(Node::Text(test, Box::new(a), Box::new(b)))
            }
            _ => None,
        }
    }

    fn contained(&self, call: &CallExpr) -> Option<Node> {
        let [item, container] = call.args.as_slice() else { return None };
        let item = self.node(item)?;
        if let Expr::List(list) = &container.expr {
            let literals = list.elements.iter().map(literal).collect::<Option<Vec<_>>>()?;
            return item.is_comparable().then(|| Node::OneOf(Box::new(item), literals));
        }
        let is_test = matches!(&container.expr, Expr::Select(select) if select.test);
        let path = self.path(container).filter(|path| !is_test && !path.read.is_text())?;
        item.is_text().then(|| Node::In(Box::new(item), path))
    }

    /// Replaces every part of a simple shape by a variable `@N` that stands for the node at that place in `slots`.
    pub(super) fn extract(&self, part: &mut IdedExpr, slots: &mut Vec<Node>) {
        if matches!(part.expr, Expr::Literal(_)) {
            return;
        }
        if let Some(node) = self.node(part) {
            part.expr = Expr::Ident(format!("@{}", slots.len()));
            slots.push(node);
            return;
        }
        let mut each = |part: &mut IdedExpr| self.extract(part, slots);
        match &mut part.expr {
            Expr::Call(call) => {
                call.target.iter_mut().for_each(|target| each(target));
                call.args.iter_mut().for_each(each);
            }
            Expr::Comprehension(loop_) => {
                each(&mut loop_.iter_range);
                each(&mut loop_.loop_cond);
                each(&mut loop_.loop_step);
                each(&mut loop_.result);
            }
            Expr::List(list) => list.elements.iter_mut().for_each(each),
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        each(&mut entry.key);
                        each(&mut entry.value);
                    }
                }
            }
            Expr::Select(select) => each(&mut select.operand),
            Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }
}

fn literal(part: &IdedExpr) -> Option<Literal> {
    let Expr::Literal(literal) = &part.expr else { return None };
    Some(match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(truth) => Literal::Bool(*truth.inner()),
        LiteralValue::Int(int) => Literal::Int(*int.inner()),
        LiteralValue::UInt(uint) => Literal::Uint(*uint.inner()),
        LiteralValue::Double(double) => Literal::Double(*double.inner()),
        LiteralValue::String(text) => Literal::Text(text.inner().into()),
        LiteralValue::Bytes(_) => return None,
    })
}
