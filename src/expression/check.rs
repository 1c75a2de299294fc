//! Judges a parsed expression against the names and functions that it may use.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use regex::Regex;

use super::error::CompileError;
use super::functions::{FUNCTIONS, MACROS, TYPES, did_you_mean};
use super::parse::{Parsed, literal_text, parts};
use super::path::Key;
use super::resolve::{self, resolve};
use super::scope::{Reference, Scope};

/// Everything wrong with an expression and everything that it reads.
pub(super) struct Findings {
    pub(super) errors: Vec<CompileError>,
    pub(super) references: Vec<Reference>,
}

/// Walks the whole expression.
pub(super) fn check(parsed: &Parsed<'_>, scope: &Scope) -> Findings {
    let findings = Findings { errors: Vec::new(), references: Vec::new() };
    let mut check = Check { parsed, scope, bound: Vec::new(), findings };
    check.walk(&parsed.tree);
    check.findings
}

struct Check<'c> {
    parsed: &'c Parsed<'c>,
    scope: &'c Scope,
    /// The variables of the loops around.
    bound: Vec<&'c str>,
    findings: Findings,
}

impl<'c> Check<'c> {
    fn walk(&mut self, part: &'c IdedExpr) {
        if let Some((root, keys)) = as_path(part).filter(|(root, _)| !self.is_bound(root)) {
            return self.path(part, root, &keys);
        }
        match &part.expr {
            Expr::Call(call) => self.call(part, call),
            Expr::Comprehension(loop_) => {
                self.walk(&loop_.iter_range);
                self.walk(&loop_.accu_init);
                if resolve::is_root(&loop_.iter_var) {
                    let what = format!(
                        "`{}` is a name of the gateway and cannot be a loop's variable",
                        loop_.iter_var
                    );
                    self.error(self.parsed.token(part), what, None);
                }
                self.bound.push(&loop_.iter_var);
                for part in [&loop_.loop_cond, &loop_.loop_step, &loop_.result] {
                    self.walk(part);
                }
                self.bound.pop();
                return;
            }
            Expr::Struct(_) => {
                let mend = Some("a map is written `{\"key\": value}`".into());
                self.error(self.parsed.token(part), "messages cannot be made", mend);
            }
            _ => {}
        }
        for part in parts(part) {
            self.walk(part);
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        name.starts_with('@') || self.bound.contains(&name)
    }

    fn error(&mut self, at: super::error::Span, what: impl Into<String>, mend: Option<String>) {
        self.findings.errors.push(at.error(what, mend));
    }

    fn path(&mut self, part: &IdedExpr, root: &str, keys: &[Key]) {
        if keys.is_empty() && TYPES.contains(&root) {
            return;
        }
        match resolve(root, keys, self.scope) {
            Ok((_, reference)) => {
                if !self.findings.references.contains(&reference) {
                    self.findings.references.push(reference);
                }
            }
            Err(unknown) => self.error(self.parsed.path(part), unknown.what, unknown.mend),
        }
    }

    fn call(&mut self, part: &IdedExpr, call: &CallExpr) {
        let name = call.func_name.as_str();
        if name == operators::IN {
            let header = call.args.first().and_then(literal_text);
            let in_headers = call.args.get(1).and_then(as_path);
            if let (Some(header), Some(("request", keys))) = (header, in_headers)
                && keys == [Key::Name("headers".into())]
                && let Err(unknown) = resolve::header_name(header)
            {
                self.error(self.parsed.token(&call.args[0]), unknown.what, unknown.mend);
            }
        }
        // Operators have names that nobody can call.
        if name.contains(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            return;
        }
        let at = self.parsed.name(part, name);
        if let Some((_, shape)) = MACROS.iter().find(|(other, _)| *other == name) {
            return self.error(at, format!("`{name}` is not called so"), Some(format!("write `{shape}`")));
        }
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            let known =
                FUNCTIONS.iter().map(|function| function.name).chain(MACROS.iter().map(|(name, _)| *name));
            return self.error(at, format!("there is no function `{name}`"), did_you_mean(name, known));
        };
        let wanted = if call.target.is_some() { function.member } else { function.global };
        match wanted {
            None if call.target.is_some() => {
                self.error(
                    at,
                    format!("`{name}` is not called on a value"),
                    Some(format!("write `{name}(x)`")),
                );
            }
            None => {
                let mend = format!("write `text.{name}(part)`");
                self.error(at, format!("`{name}` is called on a value"), Some(mend));
            }
            Some(wanted) if wanted != call.args.len() => {
                let given = call.args.len();
                let what = format!(
                    "`{name}` takes {wanted} argument{}, not {given}",
                    if wanted == 1 { "" } else { "s" }
                );
                self.error(at, what, None);
            }
            Some(_) if name == "matches" => self.pattern(call),
            Some(_) => {}
        }
    }

    /// A pattern is compiled at load, which also keeps clients from choosing one.
    fn pattern(&mut self, call: &CallExpr) {
        let Some(argument) = call.args.last() else { return };
        let at = self.parsed.token(argument);
        match literal_text(argument).map(Regex::new) {
            None => self.error(at, "the pattern of `matches` must be a literal text", None),
            Some(Err(error)) => {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.error(at, format!("the pattern cannot be compiled: {last}"), None);
            }
            Some(Ok(_)) => {}
        }
    }
}

/// A root name and its literal keys, if the part is a member path or asks for the last member of one.
pub(super) fn as_path(part: &IdedExpr) -> Option<(&str, Vec<Key>)> {
    let mut keys = Vec::new();
    let mut part = part;
    let mut outermost = true;
    loop {
        part = match &part.expr {
            Expr::Ident(name) => {
                keys.reverse();
                return Some((name, keys));
            }
            Expr::Select(select) if outermost || !select.test => {
                keys.push(Key::Name(select.field.as_str().into()));
                &select.operand
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, key] = call.args.as_slice() else { return None };
                keys.push(match &key.expr {
                    Expr::Literal(LiteralValue::String(name)) => Key::Name(name.inner().into()),
                    Expr::Literal(LiteralValue::Int(at)) => Key::At(usize::try_from(*at.inner()).ok()?),
                    _ => return None,
                });
                operand
            }
            _ => return None,
        };
        outermost = false;
    }
}
