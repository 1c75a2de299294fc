//! Why a token does not verify: for the log alone, since a client that learns the reason learns how to forge.

use std::fmt;

use crate::policy::authenticate::identity::Unfit;

/// What is wrong with a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Longer than any token the gate reads.
    TooLong,
    /// Not three parts.
    Parts,
    /// A part is not base64url as RFC 7515 section 2 wants it: no padding, no blank, no stray bits.
    Encoding,
    /// The header is not a JSON object with members that stand once.
    Header,
    /// `alg` is not one of the allowed algorithms.
    Algorithm,
    /// `crit` names extensions, and the gate knows none (RFC 7515 section 4.1.11).
    Critical,
    /// The signature is not the key's.
    Signature,
    /// The payload is not a JSON object with members that stand once.
    Payload,
    /// `exp`, `nbf` or `iat` is no number.
    TimeType,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYet,
    /// A claim that `require` names is absent.
    Required,
    /// `iss` is not one of the configured issuers.
    Issuer,
    /// `aud` names none of the configured audiences, or is neither a text nor a list of texts.
    Audience,
    /// The claims make no identity.
    Identity(Unfit),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::TooLong => "the token is too long",
            Fault::Parts => "the token has not three parts",
            Fault::Encoding => "a part of the token is not base64url",
            Fault::Header => "the token's header is not a JSON object with unique members",
            Fault::Algorithm => "the token's algorithm is not allowed",
            Fault::Critical => "the token names critical extensions",
            Fault::Signature => "the token's signature does not verify",
            Fault::Payload => "the token's payload is not a JSON object with unique members",
            Fault::TimeType => "exp, nbf or iat is not a number",
            Fault::Expired => "the token has expired",
            Fault::NotYet => "the token is not valid yet",
            Fault::Required => "a required claim is absent",
            Fault::Issuer => "the token's issuer is not accepted",
            Fault::Audience => "the token is not for this audience",
            Fault::Identity(unfit) => return unfit.fmt(f),
        })
    }
}
