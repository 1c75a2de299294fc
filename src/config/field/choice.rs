//! Values that are one of some words.

use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Scalar, ScalarType, Value};
use crate::config::suggest::{nearest, respelt};
use crate::config::text::quoted;

use super::{Field, not_yet};

impl Field<'_> {
    /// One of some words. `later` are words of the language that this version does not build.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        self.chosen(words, later, true)
    }

    /// One of some words. None is suggested for another: for words that are dangerous to guess.
    pub fn choice_unguessed<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        self.chosen(words, &[], false)
    }

    fn chosen<T: Copy>(&self, words: &[(&str, T)], later: &[&str], guess: bool) -> Option<T> {
        let known: Vec<String> = words.iter().map(|(word, _)| quoted(word)).collect();
        let help = format!("it is one of {}", known.join(", "));
        let is_text = |scalar: &Scalar| matches!(scalar.resolve_type(), ScalarType::Text | ScalarType::Null);
        if !matches!(&self.node.value, Value::Scalar(scalar) if is_text(scalar)) {
            let what = format!("{} must be one word, not {}", quoted(self.name), self.node.described());
            self.error(what, help);
            return None;
        }
        let text = self.text_as("one word")?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.as_str()) {
            return Some(*value);
        }
        if later.contains(&text.as_str()) {
            self.out.add(not_yet(self.node.span, text.as_str()));
            return None;
        }
        let what = format!("{} cannot be {}", quoted(self.name), text.shown());
        let names = words.iter().map(|(word, _)| *word);
        let near = match guess {
            _ if text.is_expanded() => None,
            true => nearest(text.as_str(), names),
            false => respelt(text.as_str(), names),
        };
        self.out.add(Diagnostic::error(self.node.span, what).help(help).did_you_mean(near));
        None
    }
}
