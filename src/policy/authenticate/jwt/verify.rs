//! Verification of one token: pure, with the time as an argument (RFC 7515, RFC 7519, RFC 8725).
//!
//! Nothing of the payload is read before the signature holds.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, Key};
use super::claims::{self, Times};
use super::fault::Fault;
use crate::exchange::{Identity, JsonValue as Value, Members};
use crate::policy::authenticate::IdentityMap;

/// The longest token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// What a token must be.
pub(super) struct Verifier {
    pub(super) keys: Vec<(Algorithm, Key)>,
    pub(super) issuer: Vec<String>,
    pub(super) audience: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) require: Vec<String>,
    pub(super) identity: IdentityMap,
}

/// A token that holds.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    pub(super) times: Times,
}

impl Verifier {
    /// Verifies a token at `now` (since 1970).
    pub(super) fn verify(&self, token: &[u8], now: Duration) -> Result<Verified, Fault> {
        let payload = self.signed_payload(token)?;
        let text = std::str::from_utf8(&payload).map_err(|_| Fault::Payload)?;
        let claims = claims::object(text).ok_or(Fault::Payload)?;

        let times = Times::of(&claims)?;
        times.check(now, self.leeway)?;
        if self.require.iter().any(|name| matches!(claims.get(name), None | Some(Value::Null))) {
            return Err(Fault::Required);
        }
        if !self.issuer.is_empty() && !self.issuer_fits(&claims) {
            return Err(Fault::Issuer);
        }
        if !self.audience.is_empty() && !self.audience_fits(&claims) {
            return Err(Fault::Audience);
        }
        let identity =
            self.identity.identity(Value::Object(Box::new(claims)), "jwt").map_err(Fault::Identity)?;
        Ok(Verified { identity, times })
    }

    /// The payload's bytes, once the signature over them holds.
    pub(super) fn signed_payload(&self, token: &[u8]) -> Result<Vec<u8>, Fault> {
        if token.len() > MAX_TOKEN {
            return Err(Fault::TooLong);
        }
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Fault::Parts);
        };
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Encoding);
        let key = self.key(&decode(&token[..first])?)?;
        let payload = decode(&token[first + 1..second])?;
        let signature = decode(&token[second + 1..])?;
        if !key.verifies(&token[..second], &signature) {
            return Err(Fault::Signature);
        }
        Ok(payload)
    }

    /// The key for the header's algorithm; nothing else in the header chooses anything.
    fn key(&self, header: &[u8]) -> Result<&Key, Fault> {
        let header = std::str::from_utf8(header).ok().and_then(claims::object).ok_or(Fault::Header)?;
        if header.contains_key("crit") {
            return Err(Fault::Critical);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(Fault::Algorithm)?;
        let found = self.keys.iter().find(|(algorithm, _)| algorithm.name() == name);
        found.map(|(_, key)| key).ok_or(Fault::Algorithm)
    }

    fn issuer_fits(&self, claims: &Members) -> bool {
        let issuer = claims.get("iss").and_then(Value::as_str);
        issuer.is_some_and(|issuer| self.issuer.iter().any(|accepted| accepted == issuer))
    }

    /// One audience of ours among the token's is enough (RFC 7519 section 4.1.3).
    fn audience_fits(&self, claims: &Members) -> bool {
        let ours = |name: &str| self.audience.iter().any(|audience| audience == name);
        match claims.get("aud") {
            Some(Value::String(name)) => ours(name),
            Some(Value::Array(names)) => {
                names.iter().all(|name| name.as_str().is_some())
                    && names.iter().filter_map(Value::as_str).any(ours)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
pub(in crate::policy::authenticate::jwt) mod tests;
