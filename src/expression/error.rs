//! What can be wrong with an expression: at load ([`CompileError`]) and when it is read ([`EvalError`]).

use std::borrow::Cow;
use std::fmt;

/// A mistake found at load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileError {
    /// First byte of the faulty part in the text that was compiled.
    pub offset: usize,
    /// Bytes of the faulty part; 0 where it is a point between two bytes.
    pub len: usize,
    /// What is wrong, without a full stop.
    pub what: String,
    /// How to mend it, where that can be told.
    pub mend: Option<String>,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.what, self.offset)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

/// A part of an expression's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn error(self, what: impl Into<String>, mend: Option<String>) -> CompileError {
        CompileError {
            offset: self.start as usize,
            len: (self.end.saturating_sub(self.start)) as usize,
            what: what.into(),
            mend,
        }
    }

    /// The part of the text, or nothing where it lies outside.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Why a value could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Nothing is there.
    Absent,
    /// The bytes are no UTF-8.
    NotUtf8,
    /// A member, a position or `in` was asked of something that has none.
    NoMembers,
    /// A condition or its part is not true or false.
    NotBool,
    /// A list, a map, null or bytes where text is wanted.
    NotText,
    /// A value that JSON cannot say.
    NotJson,
    /// A body that cannot be made a tree of.
    Unreadable,
    /// A calculation or a conversion failed, for the size of its numbers in the first place.
    Incalculable,
    /// The value would break the place it goes to.
    Misplaced(&'static str),
}

impl Why {
    fn say(self) -> &'static str {
        match self {
            Why::Absent => "is absent",
            Why::NotUtf8 => "is not UTF-8",
            Why::NoMembers => "asks for a member of what has none",
            Why::NotBool => "is neither true nor false",
            Why::NotText => "is no text",
            Why::NotJson => "cannot be written as JSON",
            Why::Unreadable => "cannot be read as JSON",
            Why::Incalculable => "cannot be calculated",
            Why::Misplaced(why) => why,
        }
    }
}

/// A fault where it happened: cheap to make, because `||` and `&&` throw many away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) at: Span,
    pub(super) why: Why,
}

impl Fault {
    pub(super) fn explain(self, text: &str) -> EvalError {
        let whole = Span { start: 0, end: text.len() as u32 };
        // A literal has no place of its own.
        let at = if self.at == Span::default() { whole } else { self.at };
        EvalError { why: Some(self.why), ..EvalError::new(at, text, self.why.say()) }
    }
}

/// An expression that could not be evaluated. It never opens: a condition does not hold, a key is missing.
///
/// It quotes the configuration's own text and never a value that a request carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvalError {
    /// The part of the expression that failed.
    part: String,
    /// Its first byte.
    at: usize,
    /// Where that stands in the configuration, as far as that is known.
    place: Option<String>,
    what: Cow<'static, str>,
    why: Option<Why>,
}

impl EvalError {
    pub(super) fn new(at: Span, text: &str, what: impl Into<Cow<'static, str>>) -> EvalError {
        EvalError {
            part: at.of(text).to_owned(),
            at: at.start as usize,
            place: None,
            what: what.into(),
            why: None,
        }
    }

    /// The same, told with the place that `find` knows for a byte of the expression.
    pub(super) fn placed(mut self, find: impl FnOnce(usize) -> String) -> EvalError {
        self.place = Some(find(self.at));
        self
    }

    /// The same, of a calculation that failed.
    pub(super) fn incalculable(self) -> EvalError {
        EvalError { why: Some(Why::Incalculable), ..self }
    }

    /// Whether a calculation or a conversion failed, mostly because a number was too large for it.
    pub fn is_incalculable(&self) -> bool {
        self.why == Some(Why::Incalculable)
    }

    /// Whether it failed because something that was read is not there, or is null where text is wanted.
    pub fn is_absent(&self) -> bool {
        self.why == Some(Why::Absent)
    }

    /// Whether a value that a request chose would have changed the shape of a target or a header: a bad request.
    pub fn is_misplaced(&self) -> bool {
        matches!(self.why, Some(Why::Misplaced(_)))
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EvalError { part, at, place, what, .. } = self;
        match place {
            Some(place) => write!(f, "`{part}` (at {place}) {what}"),
            None => write!(f, "`{part}` (at {at}) {what}"),
        }
    }
}

impl std::error::Error for EvalError {}
