//! A route's pattern as written, and its segments as they are matched.

use super::methods::{Methods, MethodsError};
use crate::exchange::target::{PathRules, Target, TargetError, percent_decode};
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// More segments than any path needs; it also bounds how deep a lookup goes.
const MAX_SEGMENTS: usize = 128;

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes and no others. Kept percent-decoded, as segments are compared, so that no spelling of a path
    /// (`%3A` for `:`, `%c3` for `%C3`) slips past a literal. A pattern that ends in `/` ends in an empty one.
    Literal(Box<[u8]>),
    /// `{name}`: any one segment that is not empty.
    Param,
    /// `*`: everything from here, and what stands before it alone. Always last.
    Rest,
}

/// A pattern such as `/api/users/{id}` or `/static/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
    names: Arc<[Arc<str>]>,
}

/// Why a pattern or a route's key cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It does not start with `/`.
    Start,
    /// `//` inside: paths are matched with their slashes merged, so it would never match.
    EmptySegment,
    /// `*` anywhere but as the whole last segment.
    Star,
    /// Braces that are not the whole of a segment, or do not pair.
    Braces(String),
    /// A parameter's name that is no identifier.
    Name(String),
    /// Two parameters of one name.
    NameTwice(String),
    /// `{rest}`: the name of what `*` matched.
    NameReserved,
    /// `.` or `..`: paths are matched with them resolved.
    DotSegment,
    /// A raw `;`.
    Semicolon,
    /// A `?`: routes match paths; queries are for `match`.
    Query,
    /// A segment that no request could send.
    Literal(String, TargetError),
    /// Too many segments.
    TooLong,
    /// The method list before the pattern.
    Methods(MethodsError),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("a pattern starts with `/`"),
            Self::EmptySegment => {
                f.write_str("`//` never matches: paths are matched with their slashes merged")
            }
            Self::Star => {
                f.write_str("`*` is the whole last segment of a pattern (write a literal star as `%2A`)")
            }
            Self::Braces(segment) => {
                write!(f, "`{segment}`: a parameter is a whole segment, as in `/{{id}}/`")
            }
            Self::Name(name) => write!(f, "`{name}` is not a parameter name (letters, digits, `_`)"),
            Self::NameTwice(name) => write!(f, "parameter `{name}` stands twice in the pattern"),
            Self::NameReserved => {
                f.write_str("`rest` is the name of what `*` matched; call the parameter something else")
            }
            Self::DotSegment => f.write_str("`.` and `..` never match: paths are matched with them resolved"),
            Self::Semicolon => f.write_str("a `;` in a pattern is written `%3B`"),
            Self::Query => f.write_str("a pattern has no query; use `match: { query: ... }`"),
            Self::Literal(segment, why) => write!(f, "`{segment}` never matches: {why}"),
            Self::TooLong => write!(f, "more than {MAX_SEGMENTS} segments"),
            Self::Methods(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A [`PatternError`], also for patterns that could never match a normalised path.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or(PatternError::Start)?;
        let mut segments = Vec::with_capacity(1 + memchr::memchr_iter(b'/', inner.as_bytes()).count());
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut pieces = inner.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let segment = match piece {
                "" if !last => return Err(PatternError::EmptySegment),
                "*" if last => Segment::Rest,
                _ if piece.contains('*') => return Err(PatternError::Star),
                _ if piece.contains(['{', '}']) => {
                    let name = parameter(piece)?;
                    if names.iter().any(|known| **known == *name) {
                        return Err(PatternError::NameTwice(name.to_owned()));
                    }
                    names.push(name.into());
                    Segment::Param
                }
                _ => Segment::Literal(literal(piece)?),
            };
            segments.push(segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        Ok(Self { text: text.into(), segments, names: names.into() })
    }

    /// Reads a route's key: `[METHOD[,METHOD...] ]PATTERN`.
    ///
    /// # Errors
    /// A [`PatternError`] for the method list or the pattern.
    pub fn parse_key(key: &str) -> Result<(Methods, Self), PatternError> {
        match key.split_once(' ') {
            Some((methods, pattern)) if !methods.starts_with('/') => {
                let methods = Methods::parse(methods).map_err(PatternError::Methods)?;
                Ok((methods, Self::parse(pattern.trim_start_matches(' '))?))
            }
            _ => Ok((Methods::Any, Self::parse(key)?)),
        }
    }

    /// The pattern as written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its segments from the left.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of its parameters from the left.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// Whether it ends in `*`.
    pub fn has_rest(&self) -> bool {
        self.segments.last() == Some(&Segment::Rest)
    }
}

fn parameter(piece: &str) -> Result<&str, PatternError> {
    let name = piece
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|name| !name.contains(['{', '}']))
        .ok_or_else(|| PatternError::Braces(piece.to_owned()))?;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(PatternError::Name(name.to_owned()));
    }
    if name == "rest" {
        return Err(PatternError::NameReserved);
    }
    Ok(name)
}

/// Reads a literal the way a request's segment is read, with one kindness: non-ASCII text may stand as it is.
fn literal(piece: &str) -> Result<Box<[u8]>, PatternError> {
    if piece.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Ok(piece.as_bytes().into());
    }
    if piece.contains(';') {
        return Err(PatternError::Semicolon);
    }
    if piece.contains('?') {
        return Err(PatternError::Query);
    }
    let mut path = String::from("/");
    for character in piece.chars() {
        if character.is_ascii() {
            path.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String never fails.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    let parsed = match Target::parse(path.as_bytes(), PathRules::KEEP) {
        Ok(parsed) => parsed,
        Err(TargetError::Climb) => return Err(PatternError::DotSegment),
        Err(why) => return Err(PatternError::Literal(piece.to_owned(), why)),
    };
    let segment = &parsed.target.path()[1..];
    if segment.is_empty() && !piece.is_empty() {
        return Err(PatternError::DotSegment);
    }
    Ok(percent_decode(segment).into())
}

#[cfg(test)]
mod tests;
