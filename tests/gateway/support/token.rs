//! HS256 tokens of any shape.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A shared secret that is long enough for HS256.
pub(crate) const SECRET: &str = "a secret of the tests, at least 32 bytes";

/// A token with that header and those claims, as they are.
pub(crate) fn sign(secret: &str, header: &Value, claims: &Value) -> String {
    sign_text(secret, &header.to_string(), &claims.to_string())
}

/// A token of two texts, which need not be JSON.
pub(crate) fn sign_text(secret: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A good token for that subject, five minutes long, signed with [`SECRET`].
pub(crate) fn for_subject(subject: &str) -> String {
    with_claims(&json!({ "sub": subject, "iat": now(), "exp": now() + 300 }))
}

/// A token with a usual header and those claims, signed with [`SECRET`].
pub(crate) fn with_claims(claims: &Value) -> String {
    sign(SECRET, &json!({ "alg": "HS256", "typ": "JWT" }), claims)
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
