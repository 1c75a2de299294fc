//! The HTTP/1 codec (RFC 9112), used at both ends: a listener reads requests and writes answers with it, a transport
//! writes requests and reads answers.
//!
//! It touches no socket and no clock: bytes go in, heads and pieces of bodies come out. What is not exactly one
//! message by the standard's grammar is refused, never repaired, and every limit is the caller's to set:
//! - [`head`] reads request and response heads and decides how the body is framed,
//! - [`body`] reads a body by its framing,
//! - [`encode`] writes heads, chunks and trailers,
//! - [`upgrade`] judges offers of other protocols and what a service makes of them.
//!
//! What a parser says depends on the bytes alone, not on how the network cut them up.

pub mod body;
mod chunk;
pub mod encode;
mod fields;
pub mod head;
mod line;
pub mod upgrade;

use crate::exchange::{Error, ErrorKind};

pub use body::{Decoder, Piece};
pub use encode::ConnectionLine;
pub use head::{RequestHead, ResponseHead, parse_request, parse_response};
pub use line::METHOD;

/// How much a head may hold.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head with its blank line.
    pub head: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of the request target; a response has none.
    pub target: usize,
}

/// Why a head is refused. The connection's framing is lost with it: nothing more may be read from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadError {
    /// It breaks the grammar or its framing is not plain; with a short reason that a client may read.
    Malformed(&'static str),
    /// It is longer than [`HeadLimits::head`].
    TooLarge,
    /// It has more lines than [`HeadLimits::headers`].
    TooManyHeaders,
    /// The target is longer than [`HeadLimits::target`].
    TargetTooLong,
    /// Another major version than 1.
    VersionNotSupported,
    /// A request expects something other than `100-continue` (RFC 9110 section 10.1.1).
    ExpectationFailed,
}

impl HeadError {
    /// The reason in a few words; nothing of the head itself.
    pub const fn reason(self) -> &'static str {
        match self {
            HeadError::Malformed(reason) => reason,
            HeadError::TooLarge => "the head is larger than allowed",
            HeadError::TooManyHeaders => "more header lines than allowed",
            HeadError::TargetTooLong => "the target is longer than allowed",
            HeadError::VersionNotSupported => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            HeadError::ExpectationFailed => "only 100-continue can be expected",
        }
    }
}

impl From<HeadError> for Error {
    fn from(error: HeadError) -> Error {
        let kind = match error {
            HeadError::Malformed(_) => ErrorKind::MalformedRequest,
            HeadError::TooLarge | HeadError::TooManyHeaders => ErrorKind::HeadersTooLarge,
            HeadError::TargetTooLong => ErrorKind::UriTooLong,
            HeadError::VersionNotSupported => ErrorKind::VersionNotSupported,
            HeadError::ExpectationFailed => ErrorKind::ExpectationFailed,
        };
        Error::new(kind).detail(error.reason()).closing()
    }
}

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, the last of them empty.
    Chunked,
    /// Everything until the connection ends; responses only.
    UntilClose,
}
