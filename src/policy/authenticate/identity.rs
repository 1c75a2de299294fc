//! From verified claims to an identity: its id, its scopes and the header lines that tell the upstream.
//!
//! **The id** is `sub`: a text that is not empty, or an integer in its written form. Where a token has no `sub` (or
//! null), the claim of the first identity header stands in, under the same rules; without either there is no identity.
//!
//! **A header's value** is its claim: a text, a number as it is written in the token, `true` or `false`, or a list of
//! these joined by `,`. An absent or null claim sends no line. An object, a list within a list, or a control character
//! anywhere makes the whole credential invalid. So that an upstream that decodes percent signs gets exactly the
//! claim, and no two claims become one value, these are percent-encoded (UTF-8): `%`, what is not ASCII, a blank at
//! either end, and a comma within an item of a list.
//!
//! **A claim path** names a member (`sub`), or a member of a member (`realm_access.roles`). A member whose own name
//! holds dots (`https://idp.example/roles`) wins over a path that means the same.

use std::fmt;

use crate::exchange::headers::{same_folded, valid_name};
use crate::exchange::{HeaderId, Identity, JsonValue as Value};

/// Which claims the upstream is told in which headers.
#[derive(Clone, Debug, Default)]
pub struct IdentityMap {
    headers: Vec<(String, String)>,
}

/// A header that cannot be an identity header: no token, one the gate has a rule for, or named twice
/// (`_` and `-` are one to many upstreams).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnfitHeader(pub String);

/// Claims that make no identity; the text is for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// No `sub`, and no claim that stands in for it.
    NoId,
    /// The id is empty, or neither a text nor an integer.
    BadId,
    /// A control character in the id or a header's value.
    Control,
    /// An object, or a list within a list, where a header's value is wanted.
    Shape,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::NoId => "no claim tells the identity's id",
            Unfit::BadId => "the identity's id is empty, or neither a text nor an integer",
            Unfit::Control => "a claim for the identity holds a control character",
            Unfit::Shape => "a claim for an identity header is an object or a nested list",
        })
    }
}

impl IdentityMap {
    /// A map of header names (any case) to claim paths, in the order written.
    ///
    /// # Errors
    /// The first header that cannot be one.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Result<IdentityMap, UnfitHeader> {
        let mut map = IdentityMap::default();
        for (name, path) in headers {
            let lower = name.to_ascii_lowercase();
            let known = HeaderId::folded(lower.as_bytes()) != HeaderId::Other;
            if known
                || !valid_name(lower.as_bytes())
                || map.headers.iter().any(|(other, _)| same_folded(other.as_bytes(), lower.as_bytes()))
            {
                return Err(UnfitHeader(name));
            }
            map.headers.push((lower, path));
        }
        Ok(map)
    }

    /// The header names in lower case: the gate takes them out of every incoming request.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// The identity that these claims tell.
    ///
    /// # Errors
    /// [`Unfit`] where they tell none, or something no header can hold.
    pub fn identity(&self, claims: Value, method: &'static str) -> Result<Identity, Unfit> {
        let id = self.id(&claims)?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, path) in &self.headers {
            if let Some(claim) = present(&claims, path) {
                headers.push((name.clone(), header_value(claim)?));
            }
        }
        Ok(Identity { id, scopes: scopes(&claims), claims, method, headers })
    }

    fn id(&self, claims: &Value) -> Result<String, Unfit> {
        let first = self.headers.first().map(|(_, path)| path.as_str());
        let claim =
            ["sub"].into_iter().chain(first).find_map(|path| present(claims, path)).ok_or(Unfit::NoId)?;
        let id = match claim {
            Value::String(id) => id.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(Unfit::BadId),
        };
        let fits = !id.is_empty() && (claim.as_str().is_some() || is_integer(&id));
        match id.chars().any(char::is_control) {
            _ if !fits => Err(Unfit::BadId),
            true => Err(Unfit::Control),
            false => Ok(id),
        }
    }
}

/// The claim at a path; `None` where it is absent or null.
fn present<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    let members = claims.as_object()?;
    match members.get(path) {
        Some(Value::Null) => None,
        Some(claim) => Some(claim),
        None => {
            let (member, rest) = path.split_once('.')?;
            present(members.get(member)?, rest)
        }
    }
}

fn is_integer(number: &str) -> bool {
    number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
}

fn header_value(claim: &Value) -> Result<Vec<u8>, Unfit> {
    let mut value = Vec::new();
    match claim {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    value.push(b',');
                }
                push_scalar(&mut value, item, true)?;
            }
        }
        claim => push_scalar(&mut value, claim, false)?,
    }
    Ok(value)
}

fn push_scalar(out: &mut Vec<u8>, claim: &Value, in_list: bool) -> Result<(), Unfit> {
    match claim {
        Value::String(text) => push_text(out, text, in_list)?,
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(Unfit::Shape),
    }
    Ok(())
}

fn push_text(out: &mut Vec<u8>, text: &str, in_list: bool) -> Result<(), Unfit> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if text.chars().any(char::is_control) {
        return Err(Unfit::Control);
    }
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        let encode = match byte {
            b'%' => true,
            b' ' => index == 0 || index == last,
            b',' => in_list,
            byte => !byte.is_ascii(),
        };
        if encode {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
    Ok(())
}

/// `scope` as RFC 8693 section 4.2 writes it, else `scp`; each a text with blanks between the scopes, or a list.
fn scopes(claims: &Value) -> Vec<String> {
    let claim = ["scope", "scp"].into_iter().find_map(|name| present(claims, name));
    match claim {
        Some(Value::String(text)) => {
            text.split(' ').filter(|scope| !scope.is_empty()).map(Into::into).collect()
        }
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(Into::into).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
