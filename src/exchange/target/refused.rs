//! Why a target is refused, in words for the client.

use std::fmt;

use crate::exchange::error::Error;
use crate::exchange::kind::ErrorKind;

/// Why a target is refused; every one of them is a malformed request (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// Neither origin-form, absolute-form nor asterisk-form (RFC 9112 section 3.2).
    Form,
    /// The authority of an absolute-form target is empty or holds what no host and port can.
    Authority,
    /// The authority names a user (`user@host`).
    UserInfo,
    /// A raw character that RFC 3986 does not allow in this place.
    Character,
    /// A raw byte above 0x7F.
    NonAscii,
    /// A control byte, raw or (in the path) encoded.
    Control,
    /// A `#`: fragments never travel.
    Fragment,
    /// A backslash in the path, raw or encoded.
    Backslash,
    /// `%` without two hexadecimal digits in the path.
    Escape,
    /// `%2F` in the path where it is not kept, or one that hides a dot segment.
    EncodedSlash,
    /// A `;` in the path where it is not kept.
    Semicolon,
    /// The path climbs above its root.
    Climb,
    /// A dot segment with parameters, as in `..;x`.
    DotParameters,
    /// A segment inside the path that is nothing but parameters, as in `/;x/admin`.
    BareParameters,
}

impl TargetError {
    /// A short text that a client may see.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Form => "request target is neither a path nor an http URL",
            Self::Authority => "invalid authority in request target",
            Self::UserInfo => "user information in request target",
            Self::Character => "character not allowed in request target",
            Self::NonAscii => "non-ASCII byte in request target",
            Self::Control => "control character in request target",
            Self::Fragment => "fragment in request target",
            Self::Backslash => "backslash in path",
            Self::Escape => "invalid percent-encoding in path",
            Self::EncodedSlash => "encoded slash in path",
            Self::Semicolon => "semicolon in path",
            Self::Climb => "path climbs above its root",
            Self::DotParameters => "dot segment with parameters in path",
            Self::BareParameters => "empty segment with parameters in path",
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for TargetError {}

/// A target that breaks the rules of the edge is refused with the reason.
impl From<TargetError> for Error {
    fn from(error: TargetError) -> Error {
        Error::new(ErrorKind::MalformedRequest).reason("target").detail(error.reason())
    }
}
