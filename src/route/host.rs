//! Lists of host names that a request's authority is compared with.

use std::fmt;

use crate::exchange::Authority;
use crate::exchange::authority::is_below;

/// Host names a listener or a condition answers for: whole names, and `*.example.com` for every name below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList {
    hosts: Vec<Host>,
}

/// A name in lower case without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Exact(Box<str>),
    /// At least one label stands before it.
    Below(Box<str>),
}

/// Why a host name cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// No name, or an empty label in it.
    Empty,
    /// A port: hosts are compared without.
    Port,
    /// `*` anywhere but as the whole first label before a name.
    Star,
    /// A character that no host name has. International names are written in their `xn--` form.
    Character(char),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a host name has no empty label"),
            Self::Port => f.write_str("hosts are compared without their port; leave it out"),
            Self::Star => f.write_str("`*` stands for whole labels at the front, as in `*.example.com`"),
            Self::Character(c) if !c.is_ascii() => {
                write!(f, "`{c}` is not allowed in a host; write the name in its `xn--` form")
            }
            Self::Character(c) => write!(f, "`{c}` is not allowed in a host"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostList {
    /// Reads the names of a list.
    ///
    /// # Errors
    /// The place in the list of the first name that cannot be read, and why.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, (usize, HostError)> {
        let hosts = names
            .iter()
            .enumerate()
            .map(|(index, name)| Host::parse(name.as_ref()).map_err(|why| (index, why)))
            .collect::<Result<_, _>>()?;
        Ok(Self { hosts })
    }

    /// Whether one of the names stands for `authority`, the value of `Host` or `:authority`. Its port, a trailing
    /// dot and case do not count (RFC 9110 section 4.2.3).
    pub fn matches(&self, authority: &str) -> bool {
        let name = bare(authority);
        self.hosts.iter().any(|host| host.matches(name))
    }

    /// How closely the list fits `authority`, to choose among lists: a whole name before `*.`, and there the longer
    /// one. `None` where no name stands for it.
    pub fn closeness(&self, authority: &str) -> Option<usize> {
        let name = bare(authority);
        self.hosts.iter().filter(|host| host.matches(name)).map(Host::closeness).max()
    }
}

impl Host {
    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(text) => name.eq_ignore_ascii_case(text.as_bytes()),
            Self::Below(domain) => is_below(name, domain.as_bytes()),
        }
    }

    fn closeness(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Below(domain) => domain.len(),
        }
    }

    fn parse(text: &str) -> Result<Self, HostError> {
        if text.starts_with('[') {
            let inner =
                text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(HostError::Port)?;
            return match inner.chars().find(|c| !c.is_ascii_hexdigit() && !matches!(c, ':' | '.')) {
                Some(character) => Err(HostError::Character(character)),
                None => Ok(Self::Exact(text.to_ascii_lowercase().into())),
            };
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let (star, rest) = match name.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        for character in rest.chars() {
            match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => {}
                '*' => return Err(HostError::Star),
                ':' => return Err(HostError::Port),
                other => return Err(HostError::Character(other)),
            }
        }
        if rest.split('.').any(str::is_empty) {
            return Err(HostError::Empty);
        }
        let lower = rest.to_ascii_lowercase();
        Ok(if star { Self::Below(lower.into()) } else { Self::Exact(lower.into()) })
    }
}

/// The name alone, without port and trailing dot.
fn bare(authority: &str) -> &[u8] {
    Authority::split(authority.as_bytes()).name()
}

#[cfg(test)]
mod tests;
