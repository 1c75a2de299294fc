//! The last change to a tree before it is interpreted: functions of ours stand in for the interpreter's, patterns are
//! compiled, and loops and what makes values pay for it.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, ListExpr};

use crate::config;

use super::budget;
use super::node::Node;
use super::numbers;
use super::parse::{literal_text, parts};
use super::texts::{self, Pattern};
use super::times;

/// The prefix of the variables that hold patterns.
pub(super) const PATTERN: &str = "@/";

/// Functions that cost the same whatever they are given; the accessors of times do too.
const CHEAP: &[&str] = &["bool", "dyn", "int", "size", "type", "uint"];

/// Functions whose results pay for themselves: they may be larger than what they were made of.
const GROWING: &[&str] = &["@replace", "@join", "split"];

/// Rewrites one tree.
pub(super) struct Rewrite<'s> {
    /// The parts that were cut out.
    pub(super) slots: &'s [Node],
    /// The patterns of `matches`, in the order of their variables.
    pub(super) patterns: Vec<Pattern>,
}

impl Rewrite<'_> {
    /// Rewrites a part; `looped` where it is evaluated more than once.
    pub(super) fn part(&mut self, part: &mut IdedExpr, looped: bool) {
        match &mut part.expr {
            Expr::Call(call) => {
                call.target.iter_mut().for_each(|target| self.part(target, looped));
                call.args.iter_mut().for_each(|arg| self.part(arg, looped));
                self.call(call, part.id, looped);
                if GROWING.contains(&call.func_name.as_str()) {
                    budget::pay_for(part);
                }
            }
            Expr::Comprehension(loop_) => {
                self.part(&mut loop_.iter_range, looped);
                self.part(&mut loop_.accu_init, looped);
                let rounds = count(&loop_.loop_cond) + count(&loop_.loop_step);
                for part in [&mut loop_.loop_cond, &mut loop_.loop_step, &mut loop_.result] {
                    self.part(part, true);
                }
                budget::pay_rounds(&mut loop_.iter_range, rounds);
            }
            Expr::List(list) => {
                for element in &mut list.elements {
                    self.part(element, looped);
                    self.kept(element, looped);
                }
            }
            Expr::Map(map) => {
                let mut elements = Vec::with_capacity(2 * map.entries.len());
                for entry in std::mem::take(&mut map.entries) {
                    let EntryExpr::MapEntry(mut entry) = entry.expr else { continue };
                    self.part(&mut entry.key, looped);
                    self.part(&mut entry.value, looped);
                    self.kept(&mut entry.value, looped);
                    elements.extend([entry.key, entry.value]);
                }
                let list = Expr::List(ListExpr { elements, optional_indices: Vec::new() });
                let args = vec![IdedExpr { id: part.id, expr: list }];
                part.expr = Expr::Call(CallExpr { func_name: "@map".to_owned(), target: None, args });
            }
            Expr::Select(select) => self.part(&mut select.operand, looped),
            Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    /// What is kept in a list or a map is copied, which it pays for where it can be large or is done often.
    fn kept(&self, element: &mut IdedExpr, looped: bool) {
        if !self.is_small(element, looped) {
            budget::pay_for(element);
        }
    }

    /// Whether it is written in the expression, or one text or number of the exchange that is read once.
    fn is_small(&self, part: &IdedExpr, looped: bool) -> bool {
        match &part.expr {
            Expr::Literal(_) => true,
            Expr::Ident(name) if !looped => {
                let slot = name.strip_prefix('@').and_then(|slot| slot.parse::<usize>().ok());
                slot.and_then(|slot| self.slots.get(slot)).is_some_and(Node::is_scalar)
            }
            _ => false,
        }
    }

    fn call(&mut self, call: &mut CallExpr, id: u64, looped: bool) {
        let is_named = call.func_name.starts_with(|first: char| first.is_ascii_alphabetic());
        if is_named
            && looped
            && !CHEAP.contains(&call.func_name.as_str())
            && !call.func_name.starts_with("get")
        {
            let looked_at = call.target.as_deref_mut().or(call.args.first_mut());
            if let Some(part) = looked_at.filter(|part| !matches!(part.expr, Expr::Literal(_))) {
                budget::pay_for(part);
            }
        }
        match call.func_name.as_str() {
            "matches" => {
                if let Some(pattern) = call.args.last_mut() {
                    // It was compiled when it was checked; where it is none, the call finds no such function.
                    if let Some(Ok(regex)) = literal_text(pattern).map(config::regex) {
                        pattern.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
                        self.patterns.push(Pattern(regex));
                    }
                }
            }
            "quote" => {
                call.target = None;
                call.func_name = "strings.quote".to_owned();
            }
            "format" => {
                let format = call.target.as_deref().filter(|format| literal_text(format).is_some()).cloned();
                if let Some(list) = call.args.first_mut() {
                    let inner = std::mem::replace(list, IdedExpr { id, expr: Expr::Unspecified });
                    let args = std::iter::once(inner).chain(format).collect();
                    list.expr = Expr::Call(CallExpr { func_name: "@exact".to_owned(), target: None, args });
                }
            }
            _ => {}
        }
        let milliseconds = Some(&times::MILLISECONDS).filter(|_| call.args.is_empty());
        let members = texts::STAND_INS.iter().chain(milliseconds);
        if let Some((_, name)) = members.into_iter().find(|(name, _)| *name == call.func_name) {
            call.func_name = (*name).to_owned();
            let target = call.target.take();
            call.args.splice(0..0, target.map(|target| *target));
        }
        if let Some((_, name)) = times::STAND_INS.iter().find(|(name, _)| *name == call.func_name) {
            call.func_name = (*name).to_owned();
        }
        // One sum of two texts of a request is small; a sum of sums need not be.
        let pays = call.args.iter().any(|arg| !self.is_small(arg, looped));
        numbers::rewrite(call, looped, pays);
    }
}

/// How many parts a tree has.
pub(super) fn count(tree: &IdedExpr) -> usize {
    1 + parts(tree).into_iter().map(count).sum::<usize>()
}
