//! The method list of a route: `GET`, `GET,POST`, or none at all.

use http::Method;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// Which methods a route serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// No list was written: every method except `TRACE` and `CONNECT`.
    Any,
    /// Those listed, in the order written, and `HEAD` where `GET` is.
    Only(SmallVec<[Method; 4]>),
}

/// Why a method list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodsError {
    /// Not a token (RFC 9110 section 9.1), or empty.
    Token(String),
    /// A registered method in the wrong case: methods are case-sensitive.
    Case(String),
    /// Listed twice.
    Twice(String),
}

impl fmt::Display for MethodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(text) => write!(f, "`{text}` is not an HTTP method"),
            Self::Case(text) => {
                write!(f, "methods are written in capitals: `{}`, not `{text}`", text.to_ascii_uppercase())
            }
            Self::Twice(text) => write!(f, "method `{text}` is listed twice"),
        }
    }
}

impl std::error::Error for MethodsError {}

/// The methods of a route without a list that `Allow` names, in the order it names them.
const USUAL: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

impl Methods {
    /// The methods of a route without a list, as the value of `Allow`: most tables have this one alone.
    pub(super) const ALLOW_USUAL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

    /// Reads a list such as `GET,POST`.
    ///
    /// # Errors
    /// A [`MethodsError`] that names the method at fault.
    pub fn parse(list: &str) -> Result<Self, MethodsError> {
        let mut methods = SmallVec::new();
        for text in list.split(',') {
            let method =
                Method::from_bytes(text.as_bytes()).map_err(|_| MethodsError::Token(text.to_owned()))?;
            let capitals = text.to_ascii_uppercase();
            if capitals != text && is_registered(&capitals) {
                return Err(MethodsError::Case(text.to_owned()));
            }
            if methods.contains(&method) {
                return Err(MethodsError::Twice(text.to_owned()));
            }
            methods.push(method);
        }
        Ok(Self::Only(methods))
    }

    /// Whether the list names `method` itself.
    pub(super) fn names(&self, method: &Method) -> bool {
        match self {
            Self::Any => false,
            Self::Only(methods) => methods.contains(method),
        }
    }

    /// Whether a route without a list serves `method`. `TRACE` echoes credentials and `CONNECT` opens tunnels, so
    /// both must be asked for by name.
    pub(super) fn any_serves(method: &Method) -> bool {
        *method != Method::TRACE && *method != Method::CONNECT
    }

    /// The value of `Allow` for all rows of one pattern (RFC 9110 section 10.2.1).
    pub(super) fn allow<'a>(rows: impl Iterator<Item = &'a Self> + Clone) -> Cow<'static, str> {
        let any = rows.clone().any(|methods| *methods == Self::Any);
        if any && rows.clone().all(|methods| *methods == Self::Any) {
            return Cow::Borrowed(Self::ALLOW_USUAL);
        }
        let listed = |method: &Method| rows.clone().any(|methods| methods.names(method));
        let mut allowed: SmallVec<[&Method; 8]> = USUAL
            .iter()
            .filter(|method| any || listed(method) || (**method == Method::HEAD && listed(&Method::GET)))
            .collect();
        for methods in rows.clone() {
            let Self::Only(methods) = methods else { continue };
            for method in methods {
                if !allowed.contains(&method) {
                    allowed.push(method);
                }
            }
        }
        let mut text = String::new();
        for method in allowed {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(method.as_str());
        }
        Cow::Owned(text)
    }
}

fn is_registered(capitals: &str) -> bool {
    capitals == "TRACE" || capitals == "CONNECT" || USUAL.iter().any(|method| method.as_str() == capitals)
}

#[cfg(test)]
mod tests;
