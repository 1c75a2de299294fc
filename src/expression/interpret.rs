//! Runs what has no simple shape in the interpreter of the `cel` crate; the simple parts reach it as variables that
//! are read when, and only if, they are asked for.

use std::sync::{Arc, OnceLock};

use cel::common::ast::Expr;
use cel::common::value::{CowVal, Val as CelVal};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, IdedExpr, Value};

use super::budget::{self, Budget, TOO_COSTLY};
use super::convert::{into_cel, of_cel};
use super::environment::ENV;
use super::error::{EvalError, Fault, Span};
use super::facts::Facts;
use super::node::Node;
use super::numbers::LOSES_DIGITS;
use super::parse::{Parsed, parts};
use super::rewrite::{PATTERN, Rewrite};
use super::texts::Pattern;
use super::value::Val;

/// An expression with its simple parts cut out.
#[derive(Debug)]
pub(super) struct Mixed {
    pub(super) tree: IdedExpr,
    pub(super) slots: Vec<Node>,
    patterns: Vec<Pattern>,
    /// Where each function and operator first stands, for messages.
    calls: Vec<(String, Span)>,
}

impl Mixed {
    pub(super) fn new(mut tree: IdedExpr, slots: Vec<Node>, parsed: &Parsed<'_>) -> Mixed {
        let mut calls = Vec::new();
        collect(&parsed.tree, parsed, &mut calls);
        let mut rewrite = Rewrite { slots: &slots, patterns: Vec::new() };
        rewrite.part(&mut tree, false);
        let patterns = rewrite.patterns;
        Mixed { tree, slots, patterns, calls }
    }

    /// Evaluates; `text` is the expression's text.
    pub(super) fn eval<'a>(&'a self, facts: &Facts<'a>, text: &str) -> Result<Val<'a>, EvalError> {
        let cells = self.slots.iter().map(|_| OnceLock::new()).collect();
        let budget = OnceLock::new();
        let slots = Slots { nodes: &self.slots, patterns: &self.patterns, budget: &budget, facts, cells };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&slots);
        let whole = Span { start: 0, end: text.len() as u32 };
        match Value::resolve_val(&self.tree, &context) {
            _ if budget.get().is_some_and(Budget::is_spent) => {
                Err(EvalError::new(whole, text, TOO_COSTLY).incalculable())
            }
            Ok(value) => of_cel(&*value).map_err(|why| Fault { at: whole, why }.explain(text)),
            Err(error) => Err(self.explain(&error, facts, text)),
        }
    }

    /// The interpreter's error without the values it carries.
    fn explain(&self, error: &ExecutionError, facts: &Facts<'_>, text: &str) -> EvalError {
        let fault = |at: Span, why: &str| EvalError::new(at, text, why.to_owned());
        let whole = Span { start: 0, end: text.len() as u32 };
        let find =
            |name: &str| self.calls.iter().find(|(other, _)| other == name).map_or(whole, |(_, at)| *at);
        match error {
            ExecutionError::UndeclaredReference(name) => {
                let node = slot(name).and_then(|slot| self.slots.get(slot));
                match node.map(|node| node.eval(facts)) {
                    Some(Err(fault)) => fault.explain(text),
                    _ => fault(whole, "names something unknown"),
                }
            }
            ExecutionError::NoSuchOverload(overload) => {
                let types = overload.argument_types().join(", ");
                fault(find(overload.function()), &format!("does not take ({types})"))
            }
            ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => {
                Fault { at: whole, why: super::error::Why::Absent }.explain(text)
            }
            ExecutionError::FunctionError { function, message } if message == LOSES_DIGITS => {
                fault(find(function), LOSES_DIGITS).incalculable()
            }
            ExecutionError::FunctionError { function, message } if message == TOO_COSTLY => {
                fault(find(function), TOO_COSTLY).incalculable()
            }
            ExecutionError::FunctionError { function, .. } => fault(find(function), "failed").incalculable(),
            ExecutionError::DivisionByZero(_) => fault(find("_/_"), "divides by zero"),
            ExecutionError::RemainderByZero(_) => fault(find("_%_"), "divides by zero"),
            ExecutionError::Overflow(..) => fault(whole, "overflows").incalculable(),
            ExecutionError::UnexpectedType { got, want } => {
                fault(whole, &format!("gives {got} where {want} is wanted"))
            }
            _ => fault(whole, "cannot be evaluated with these types"),
        }
    }
}

fn collect(part: &IdedExpr, parsed: &Parsed<'_>, calls: &mut Vec<(String, Span)>) {
    if let Expr::Call(call) = &part.expr
        && !calls.iter().any(|(name, _)| *name == call.func_name)
    {
        calls.push((call.func_name.clone(), parsed.name(part, &call.func_name)));
    }
    for part in parts(part) {
        collect(part, parsed, calls);
    }
}

fn slot(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// The simple parts as variables, each read at most once.
struct Slots<'a, 'f> {
    nodes: &'a [Node],
    patterns: &'a [Pattern],
    budget: &'f OnceLock<Budget>,
    facts: &'f Facts<'a>,
    cells: Vec<OnceLock<Option<Box<dyn CelVal + 'a>>>>,
}

impl VariableResolver for Slots<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable == budget::VARIABLE {
            return Some(CowVal::Borrowed(self.budget.get_or_init(Budget::new)));
        }
        if let Some(pattern) = variable.strip_prefix(PATTERN) {
            return Some(CowVal::Borrowed(self.patterns.get(pattern.parse::<usize>().ok()?)?));
        }
        let slot = slot(variable)?;
        let (node, cell) = (self.nodes.get(slot)?, self.cells.get(slot)?);
        // A fault leaves the variable unknown to the interpreter, which then fails or absorbs it as CEL wants.
        let value = cell.get_or_init(|| node.eval(self.facts).ok().map(into_cel));
        Some(CowVal::Borrowed(value.as_deref()?))
    }
}
