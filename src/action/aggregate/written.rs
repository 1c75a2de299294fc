//! A source and where it is written, for those who check it.

use crate::config::Span;

use super::source::Source;

/// A source with what the checks must know of how it is written.
pub(super) struct WrittenSource {
    /// The source.
    pub(super) source: Source,
    /// Where its name stands.
    pub(super) span: Span,
    /// Where `required` stands.
    pub(super) required_at: Option<Span>,
    /// Where `fallback` stands.
    pub(super) fallback_at: Option<Span>,
    /// Where `timeout` stands.
    pub(super) timeout_at: Option<Span>,
}
