//! stand-in
use std::borrow::Cow;
use crate::exchange::Exchange;
/// e
#[derive(Debug)]
pub struct EvalError(String);
impl std::fmt::Display for EvalError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }
/// t
pub struct Template(pub String);
impl Template {
    /// r
    pub fn render(&self, ex: &Exchange) -> Result<Cow<'_, str>, EvalError> {
        if !self.0.contains('{') { return Ok(Cow::Borrowed(&self.0)); }
        let mut out = String::new(); let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') { out.push_str(before); let (name, tail) = after.split_once('}').ok_or(EvalError("x".into()))?; out.push_str(ex.param(name).ok_or_else(|| EvalError(format!("no {name}")))?); rest = tail; }
        out.push_str(rest); Ok(out.into())
    }
}
/// j
pub struct JsonTemplate(pub String);
impl JsonTemplate {
    /// r
    pub fn render(&self, _: &Exchange) -> Result<String, EvalError> { Ok(self.0.clone()) }
}
