//! Who the client is, after authentication.

use super::value::JsonValue;

/// A verified identity. Made by an authenticator, shared by every exchange that shows the same credential.
#[derive(Debug)]
pub struct Identity {
    /// The subject, key id or user: never empty.
    pub id: String,
    /// All verified claims; an object.
    pub claims: JsonValue,
    /// The scopes granted (`scope` as RFC 8693 section 4.2 writes it, or a list `scp`).
    pub scopes: Vec<String>,
    /// The kind of credential: `jwt`.
    pub method: &'static str,
    /// The header lines that tell the upstream who this is: names in lower case, values judged.
    pub headers: Vec<(String, Vec<u8>)>,
}
