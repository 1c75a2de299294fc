//! A text value with its references resolved, which remembers what came from where.

use std::fmt;
use std::ops::Range;

use super::span::Span;

/// A text value as a reader gets it: references expanded, place kept.
///
/// Bytes inside [`Text::literal_ranges`] came from a reference (or were an escaped `$${`): a template must take
/// them as they are, braces included.
///
/// Texts are equal where they mean the same, wherever and however they were written.
#[derive(Clone)]
pub struct Text {
    value: String,
    literal: Vec<Range<usize>>,
    expanded: bool,
    span: Span,
    offset: Option<u32>,
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.value == other.value && self.taken_as_is().eq(other.taken_as_is())
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    /// Hides what a reference brought in: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.expanded {
            f.write_str("Text(from a reference)")
        } else {
            write!(f, "Text({:?})", self.value)
        }
    }
}

impl Text {
    /// Text exactly as written. `offset`: characters between the span's start and the text's first character,
    /// where the text stands in the file letter by letter.
    pub(super) fn written(value: String, span: Span, offset: Option<u32>) -> Self {
        Self { value, literal: Vec::new(), expanded: false, span, offset }
    }

    /// An empty text to which pieces are added.
    pub(super) fn empty(span: Span) -> Self {
        Self { value: String::new(), literal: Vec::new(), expanded: false, span, offset: None }
    }

    /// Adds a piece that stands in the file itself.
    pub(super) fn push_written(&mut self, piece: &str) {
        self.value.push_str(piece);
    }

    /// Adds a piece that no template may read; `referred` where it came from outside the file.
    pub(super) fn push_literal(&mut self, piece: &str, referred: bool) {
        let start = self.value.len();
        self.value.push_str(piece);
        self.literal.push(start..self.value.len());
        self.expanded |= referred;
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.value
    }

    /// Byte ranges, in order, that are no template syntax whatever they hold.
    pub fn literal_ranges(&self) -> &[Range<usize>] {
        &self.literal
    }

    /// Whether the byte at `index` is no template syntax whatever it is.
    pub fn is_literal(&self, index: usize) -> bool {
        self.literal.iter().any(|range| range.contains(&index))
    }

    /// The braces in it that are no template syntax: with the text all that its meaning depends on.
    pub(super) fn taken_as_is(&self) -> impl Iterator<Item = usize> {
        let braces = |range: Range<usize>| {
            let bytes = self.value.as_bytes();
            range.filter(move |at| matches!(bytes.get(*at), Some(b'{' | b'}')))
        };
        self.literal.iter().cloned().flat_map(braces)
    }

    /// Whether a reference brought in a part of it, so that it must not be shown.
    pub fn is_expanded(&self) -> bool {
        self.expanded
    }

    /// Calls `visit` with every part that a reference brought in: what must not be shown.
    pub fn referred<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        if self.expanded {
            self.literal.iter().map(|range| &self.value[range.clone()]).for_each(visit);
        }
    }

    /// Where the whole value was written.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where a byte range of the text was written; the whole value where that cannot be told.
    pub fn part(&self, range: Range<usize>) -> Span {
        let Some(offset) = self.offset else { return self.span };
        let (Some(before), Some(inside)) = (self.value.get(..range.start), self.value.get(range.clone()))
        else {
            return self.span;
        };
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let column = self.span.column.saturating_add(offset).saturating_add(count(before));
        Span { column, length: count(inside), ..self.span }
    }

    /// The text between backticks for a message, or a stand-in where it must not be shown.
    pub fn shown(&self) -> String {
        if self.expanded { "what this reference holds".to_owned() } else { quoted(&self.value) }
    }
}

/// Text between backticks for a message, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("`{}...`", &text[..cut]),
        None => format!("`{text}`"),
    }
}
