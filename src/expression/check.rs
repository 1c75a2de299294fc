//! Judges a parsed expression against the names and functions that it may use.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use crate::config;

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
            Expr::Call(call) if is_of_strings(call) && !self.is_bound("strings") => {
                self.called(part, call, &format!("strings.{}", call.func_name), None);
                return call.args.iter().for_each(|arg| self.walk(arg));
            }
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
                let help = Some("a map is written `{\"key\": value}`".into());
                self.error(self.parsed.token(part), "messages cannot be made", help);
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

    fn error(&mut self, at: super::error::Span, what: impl Into<String>, help: Option<String>) {
        self.findings.errors.push(at.error(what, help));
    }

    fn path(&mut self, part: &IdedExpr, root: &str, keys: &[Key]) {
        if is_type(root, keys) {
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
        self.called(part, call, name, call.target.as_deref());
    }

    /// A call by name, on a target or on none.
    fn called(&mut self, part: &IdedExpr, call: &CallExpr, name: &str, target: Option<&IdedExpr>) {
        let at = self.parsed.name(part, name);
        if let Some((_, shape)) = MACROS.iter().find(|(other, _)| *other == name) {
            return self.error(at, format!("`{name}` is not called so"), Some(format!("write `{shape}`")));
        }
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            let known =
                FUNCTIONS.iter().map(|function| function.name).chain(MACROS.iter().map(|(name, _)| *name));
            return self.error(at, format!("there is no function `{name}`"), did_you_mean(name, known));
        };
        let wanted = if target.is_some() { function.member } else { function.global };
        let given = call.args.len();
        match wanted {
            [] if target.is_some() => {
                let help = Some(format!("write `{name}(x)`"));
                self.error(at, format!("`{name}` is not called on a value"), help);
            }
            [] => {
                let arguments = if function.member.contains(&0) { "" } else { "part" };
                let help = format!("write `text.{name}({arguments})`");
                self.error(at, format!("`{name}` is called on a value"), Some(help));
            }
            _ if !wanted.contains(&given) => {
                let counts: Vec<String> = wanted.iter().map(usize::to_string).collect();
                let plural = if wanted == [1] { "" } else { "s" };
                let what = format!("`{name}` takes {} argument{plural}, not {given}", counts.join(" or "));
                self.error(at, what, None);
            }
            _ if name == "matches" => self.pattern(call),
            _ => {}
        }
    }

    /// A pattern is compiled at load, which also keeps clients from choosing one.
    fn pattern(&mut self, call: &CallExpr) {
        let Some(argument) = call.args.last() else { return };
        let at = self.parsed.token(argument);
        match literal_text(argument).map(config::regex) {
            None => self.error(at, "the pattern of `matches` must be a literal text", None),
            Some(Err(error)) => {
                let what = format!("the pattern cannot be compiled: {}", error.what);
                self.error(self.parsed.inside(argument, error.at), what, error.help.map(str::to_owned));
            }
            Some(Ok(_)) => {}
        }
    }
}

/// Whether a call is written as one of `strings.quote`, the one function whose name has a dot, or of one like it.
fn is_of_strings(call: &CallExpr) -> bool {
    let on = call.target.as_ref().map(|target| &target.expr);
    matches!(on, Some(Expr::Ident(name)) if name == "strings")
}

/// Whether a path is the name of a type.
pub(super) fn is_type(root: &str, keys: &[Key]) -> bool {
    TYPES.iter().any(|name| {
        let mut names = name.split('.');
        names.next() == Some(root)
            && keys.iter().all(|key| matches!(key, Key::Name(key) if names.next() == Some(key)))
            && names.next().is_none()
    })
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
